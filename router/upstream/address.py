"""The URLs of a configuration, and what becomes of them on the wire: `Address`."""

from typing import NamedTuple
from urllib.parse import quote, urlencode, urljoin, urlsplit

import idna

DEFAULT_PORTS = {"http": 80, "https": 443}

_MOST_CHARS = 8_192  # of a path with its query; providers' own text gets into some
# What may stand in a path or a query as it is (RFC 3986, 3.3 and 3.4), `%` of what is encoded already among it.
_PLAIN = "/%:@!$&'()*+,;=~"


class BadAddress(ValueError):
    """No URL that can be called. Says why."""


class Address(NamedTuple):
    url: str
    scheme: str  # "http" or "https"
    host: str  # name or address, ASCII, IPv6 without brackets
    port: int
    target: bytes  # path and query, encoded

    def joined(self, reference: str) -> "Address":
        """Where a reference leads that stands in an answer from here. Raises BadAddress."""
        try:
            return address(urljoin(self.url, reference))
        except ValueError as error:  # BadAddress is one; urljoin raises others
            raise BadAddress(str(error)) from error

    def asked(self, **query: str) -> "Address":
        """The same with a query. Raises BadAddress."""
        return address(f"{self.url}?{urlencode(query)}")


def address(url: str) -> Address:
    """Raises BadAddress."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
    except (ValueError, idna.IDNAError) as error:
        raise BadAddress(f"no URL: {error}") from error
    if parts.scheme not in DEFAULT_PORTS or not host:
        raise BadAddress("expected an http or https URL with a host")
    target = quote(parts.path or "/", safe=_PLAIN)
    if parts.query:
        target = f"{target}?{quote(parts.query, safe=_PLAIN + '?')}"
    if len(target) > _MOST_CHARS:
        raise BadAddress(f"a path of {len(target)} characters, at most {_MOST_CHARS} are sent")
    port = DEFAULT_PORTS[parts.scheme] if port is None else port
    return Address(url, parts.scheme, host, port, target.encode("ascii"))
