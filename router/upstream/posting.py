"""Messages that a thread of its own posts to one place, on the same way as calls to providers: `Posting`.

So what `transport.py` and `egress.py` promise holds for them too: no redirect is followed, no proxy or password is read
from the environment, and no address is connected to that was not looked at.
"""

import asyncio
import threading
from collections.abc import Mapping

from router.upstream.address import BadAddress, address
from router.upstream.connection import Timeouts
from router.upstream.egress import says_private
from router.upstream.faults import TransportError
from router.upstream.transport import Origin, PreparedHead, Resolve, UpstreamTransport, resolved

_MOST_ANSWER_BYTES = 64 * 1024  # what is beyond is not read
_IDLE_S = 60.0  # nothing runs between two messages, so that an older connection is found out by looking at it


class Posting:
    """Posts to one URL, one message at a time. To be used by one thread; `close` by any."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        is_private: bool | None,
        timeout_s: float,
        resolve: Resolve = resolved,
    ) -> None:
        """`is_private`: the URL's host may be in a private network; None: if its name can be in no other.

        `timeout_s` is for a whole exchange.
        """
        self._url = url
        self._headers = [(b"accept-encoding", b"identity"), (b"user-agent", b"penstock")]
        self._headers += [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        self._is_private = is_private
        self._timeouts = Timeouts(timeout_s, timeout_s, timeout_s, timeout_s, timeout_s)
        self._head: PreparedHead | None = None
        self._transport = UpstreamTransport(idle_s=_IDLE_S, resolve=resolve)
        self._is_under_way = threading.Lock()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)  # whose loop runs while something is posted

    def __call__(self, message: bytes) -> tuple[int, bytes]:
        """The status of the answer and what it says, its first 64 KiB. Raises OSError, which names what went wrong."""
        try:
            with self._is_under_way:
                return self._runner.run(self._exchange(message))
        except (TransportError, BadAddress) as error:
            raise OSError(type(error).__name__) from error

    def close(self) -> None:
        """Close the connection. No effect while a message is under way: whoever stops does not wait for it."""
        if self._is_under_way.acquire(blocking=False):
            self._runner.run(self._transport.aclose())
            self._runner.close()
            self._is_under_way.release()

    async def _exchange(self, message: bytes) -> tuple[int, bytes]:
        if self._head is None:
            self._head = self._made_head()
        answer = await self._transport.ask(self._head, message, self._timeouts)
        said = b""
        try:
            while len(said) < _MOST_ANSWER_BYTES and (chunk := await answer.read_chunk()) is not None:
                said += chunk
        finally:
            answer.close()
        return answer.status, said[:_MOST_ANSWER_BYTES]

    def _made_head(self) -> PreparedHead:
        """Raises BadAddress and LocalProtocolError."""
        to = address(self._url)
        is_private = says_private(to.host) if self._is_private is None else self._is_private
        return PreparedHead(Origin(to.scheme, to.host, to.port, is_private), b"POST", to.target, self._headers)
