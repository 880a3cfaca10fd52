"""What can go wrong on the way to a provider and back. The names are httpx's, which people know.

    TransportError
    ├── LocalProtocolError      what was to be sent cannot be           nothing was sent
    ├── UnsupportedProtocol     neither http nor https                  nothing was sent
    ├── NetworkError
    │   ├── ConnectError        no connection, or no trust in it        nothing was sent
    │   │   └── AddressRefused  its name led to where nothing is sent   nothing was sent
    │   ├── ReadError
    │   └── WriteError
    ├── RemoteProtocolError     what came is not HTTP
    └── TimeoutException
        ├── ConnectTimeout                                              nothing was sent
        ├── PoolTimeout         all connections are in use              nothing was sent
        ├── ReadTimeout
        └── WriteTimeout

After any other error the request may have been received, and must be assumed to cost money (`is_unsent`).
"""


class TransportError(Exception):
    """A call did not come to its end."""


class LocalProtocolError(TransportError):
    pass


class UnsupportedProtocol(TransportError):
    pass


class NetworkError(TransportError):
    pass


class ConnectError(NetworkError):
    pass


class AddressRefused(ConnectError):
    """A name resolved only to addresses that are not connected to. Says which, and why."""


class ReadError(NetworkError):
    pass


class WriteError(NetworkError):
    pass


class RemoteProtocolError(TransportError):
    pass


class TimeoutException(TransportError):
    pass


class ConnectTimeout(TimeoutException):
    pass


class PoolTimeout(TimeoutException):
    pass


class ReadTimeout(TimeoutException):
    pass


class WriteTimeout(TimeoutException):
    pass


def is_unsent(error: TransportError) -> bool:
    """True if not a byte of the request can have reached the upstream, so that it may be sent again anywhere."""
    return isinstance(error, ConnectError | ConnectTimeout | PoolTimeout | LocalProtocolError | UnsupportedProtocol)
