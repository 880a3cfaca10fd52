"""One attempt at a provider: send, wait for the head, hand over the body. The errors of the way become the house's."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Protocol

import anyio

from router.apis import Api
from router.catalog.catalog import Deployment, Provider, ProviderName
from router.errors import UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from router.keys import Secret
from router.upstream.address import Address, BadAddress, address
from router.upstream.connection import Timeouts
from router.upstream.egress import says_private
from router.upstream.faults import TimeoutException, TransportError, UnsupportedProtocol, is_unsent
from router.upstream.transport import Origin, PreparedHead
from router.wire.replies import Bill, ReplyReader

# A whole (not streamed) answer is kept in memory; images come as base64, 20 of 2 MB at the most seen in practice.
MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_LISTING_BYTES = 32 * 1024 * 1024  # of one page of a list of models; OpenRouter's had 0.5 MB in August 2026
_MAX_ERROR_BYTES = 64 * 1024
_ERROR_TEXT_S = 5.0
_CODING_CHARS = 40  # of a coding's name, in our message
_CODING_HEADERS = (b"content-encoding", b"transfer-encoding")
_PLAIN_CODINGS = frozenset({"", "identity", "chunked"})
_SECONDS = re.compile("[0-9]{1,9}")


class ModelList(Enum):
    """Where a provider lists models: all that write text, or those for embeddings (openrouter.md §4)."""

    ALL = "/models"
    EMBEDDINGS = "/embeddings/models"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a provider is reached."""

    provider: Provider
    api_key: Secret | None
    connect_s: float
    first_byte_s: float
    between_bytes_s: float


class RawAnswer(Protocol):
    """An answer of which the head is here."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """As received."""
        ...

    async def read_chunk(self) -> bytes | None:
        """The next piece of the body, as sent; None at its end. Raises TransportError."""
        ...

    async def pump(self, sink: Callable[[bytes], bool], /) -> bool:
        """Give `sink` each piece as it arrives until it returns False; whether that was so, and not the body's end.

        Raises TransportError. `sink` neither waits nor raises.
        """
        ...

    async def aclose(self) -> None:
        """Nobody reads on. No effect on an answer that has arrived completely."""


class Transport(Protocol):
    """What carries requests. Raises TransportError."""

    async def ask(self, head: PreparedHead, body: bytes, timeouts: Timeouts, /) -> RawAnswer: ...


class UpstreamReply:
    """The head of a good answer (status 200) and the way to its body. Must be closed."""

    __slots__ = ("_headers", "_is_plain", "_provider", "_raw", "generation_id", "is_stream", "status")

    def __init__(self, raw: RawAnswer, *, provider: ProviderName) -> None:
        self._raw = raw
        self._provider = provider
        self._headers = _fields(raw.headers)
        self._is_plain: bool | None = None  # not looked yet
        self.status = raw.status
        generation_id = self._headers.get(b"x-generation-id")
        self.generation_id = None if generation_id is None else generation_id.decode("latin-1")
        self.is_stream = self.header(b"content-type").lower().startswith("text/event-stream")

    def header(self, name: bytes) -> str:
        """The value of the header of that lower-case name, or nothing; several as one, as RFC 9110 has it (5.3)."""
        return self._headers.get(name, b"").decode("latin-1")

    @property
    def encoding(self) -> str | None:
        """How the body is compressed although identity was asked for; None if it is not."""
        for name in _CODING_HEADERS:
            value = self._headers.get(name)
            if value is None or value == b"chunked":
                continue
            for coding in value.decode("latin-1").lower().split(","):
                if coding.strip() not in _PLAIN_CODINGS:
                    return coding.strip()
        return None

    async def next_chunk(self) -> bytes | None:
        """What has arrived of the body since the last call, and at least a byte; None at its end.

        Raises UpstreamBroken or UpstreamTimeout when it breaks off, or is compressed.
        """
        self._require_plain()
        try:
            return await self._raw.read_chunk()
        except TransportError as error:
            raise _translation(error, self._provider, is_sent=True) from error

    async def pump(self, sink: Callable[[bytes], bool]) -> bool:
        """Give `sink` each piece as it arrives until it returns False; whether that was so, and not the body's end.

        Raises as `next_chunk`. `sink` neither waits nor raises.
        """
        self._require_plain()
        try:
            return await self._raw.pump(sink)
        except TransportError as error:
            raise _translation(error, self._provider, is_sent=True) from error

    def _require_plain(self) -> None:
        if self._is_plain is None:
            self._is_plain = self.encoding is None
        if not self._is_plain:  # not at the head, which names the call by which its cost can be asked for
            raise _compressed(self, self._provider)

    async def body(self, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
        """The whole body. Raises UpstreamBroken if it is longer than the limit."""
        parts: list[bytes] = []
        size = 0
        while (chunk := await self.next_chunk()) is not None:
            size += len(chunk)
            if size > limit_bytes:
                raise UpstreamBroken(f"{self._provider} sent more than {limit_bytes} bytes.", provider=self._provider)
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def aclose(self) -> None:
        """Give the connection back, or close it if the body was not read to its end."""
        try:
            await self._raw.aclose()
        except TransportError as error:
            raise _translation(error, self._provider, is_sent=True) from error


class UpstreamClient:
    """Sends to the providers of one configuration."""

    def __init__(self, transport: Transport, endpoints: Mapping[ProviderName, Endpoint], reader: ReplyReader) -> None:
        self._transport = transport
        self._reader = reader
        self._endpoints = endpoints
        self._asking = {
            (name, api): _Route(endpoint, "POST", f"/{api.value}")
            for name, endpoint in endpoints.items()
            for api in endpoint.provider.apis
        }
        self._models = {
            (name, which): _Route(endpoint, "GET", which.value)
            for name, endpoint in endpoints.items()
            for which in ModelList
        }
        self._record = {name: _Route(endpoint, "GET", "/generation") for name, endpoint in endpoints.items()}

    @property
    def origins(self) -> frozenset[Origin]:
        """The servers that it sends to."""
        return frozenset(origin for route in self._record.values() if (origin := route.origin) is not None)

    async def ask(
        self,
        deployment: Deployment,
        api: Api,
        body: bytes,
        *,
        is_stream: bool,
        more_headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> UpstreamReply:
        """The head of the answer to what is asked by `api`. `more_headers` are sent with this call only.

        Raises UpstreamError; its `may_be_owed` says whether the call may have been billed.
        """
        name = deployment.provider.name
        route = self._asking[name, api]
        reply = await self._send(route, name, content=body, is_stream=is_stream, more_headers=more_headers)
        if reply.status == 200:
            return reply
        async with aclosing(reply):
            text = await _error_text(reply)
        if 200 < reply.status < 300:  # it was done, whatever it is, and so it may be billed
            raise UpstreamBroken(f"{name} answered {reply.status} where 200 was expected.", provider=name)
        raise self._reader.refusal(
            text,
            status=reply.status,
            provider=name,
            retry_after_s=_retry_after_s(reply),
        )

    def patience_s(self, provider: ProviderName, *, is_stream: bool) -> float:
        """How long the beginning of a stream, or the whole of an answer, may take, whatever trickles in meanwhile.

        `ask` keeps to it for what is asked for whole, and for streams whoever asks.
        """
        return _patience_s(self._endpoints[provider], is_stream=is_stream)

    def keeps_records(self, provider: ProviderName) -> bool:
        """Whether the provider can be asked afterwards what a call cost; not one that is configured no more."""
        endpoint = self._endpoints.get(provider)
        return endpoint is not None and endpoint.provider.kind == "openrouter"

    async def record(self, provider: ProviderName, generation_id: str) -> Bill | None:
        """What the provider's own record says a call cost, or None if it has none (yet)."""
        try:
            route = self._record[provider]
            url = route.url.asked(id=generation_id)
            async with aclosing(await self._send(route, provider, url=url, is_stream=False)) as reply:
                text = await reply.body(_MAX_ERROR_BYTES)
        except (UpstreamError, BadAddress, UnsupportedProtocol):  # the id is the provider's own text, of any length
            return None  # asked again later; until then the hold stays booked
        return self._reader.record(text) if reply.status == 200 else None

    async def models_page(
        self, provider: ProviderName, following: str | None, which: ModelList = ModelList.ALL
    ) -> bytes:
        """A page of one of the provider's lists of models: the first, or what `following` of another page names.

        Raises UpstreamError.
        """
        route = self._models[provider, which]
        url = None if following is None else self._next_page(provider, route, following)
        async with aclosing(await self._send(route, provider, url=url, is_stream=False)) as reply:
            if reply.status != 200:
                text = await _error_text(reply)
                raise self._reader.refusal(text, status=reply.status, provider=provider)
            return await reply.body(MAX_LISTING_BYTES)

    async def look_up(self, provider: ProviderName, path: str) -> UpstreamReply:
        """The answer to a GET of that path behind the provider's address, whatever its status. Raises UpstreamError."""
        return await self._send(_Route(self._endpoints[provider], "GET", path), provider, is_stream=False)

    def _next_page(self, provider: ProviderName, route: "_Route", following: str) -> Address:
        """The address of another page. Our key goes with it, so that it may lead to no other server."""
        elsewhere = UpstreamBroken(f"{provider} says that its list goes on at another server.", provider=provider)
        try:
            first = route.url
            url = first.joined(following)
        except (BadAddress, UnsupportedProtocol) as error:
            raise elsewhere from error
        if (url.scheme, url.host, url.port) != (first.scheme, first.host, first.port):
            raise elsewhere
        return url

    async def _send(
        self,
        route: "_Route",
        provider: ProviderName,
        *,
        content: bytes = b"",
        url: Address | None = None,
        is_stream: bool,
        more_headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> UpstreamReply:
        timeouts = route.stream_timeouts if is_stream else route.timeouts
        try:
            head = route.head() if url is None else route.head_at(url)
            if more_headers:
                head = head.with_headers(more_headers)
            raw = await self._transport.ask(head, content, timeouts)
        except TransportError as error:
            raise _translation(error, provider, is_sent=False) from error
        return UpstreamReply(raw, provider=provider)


class _Route:
    """Everything about a call to one provider that does not change from call to call, made once."""

    __slots__ = (
        "_base_url",
        "_head",
        "_is_private",
        "_path",
        "_url",
        "headers",
        "method",
        "stream_timeouts",
        "timeouts",
    )

    def __init__(self, endpoint: Endpoint, method: str, path: str) -> None:
        self.method = method
        self._base_url = endpoint.provider.base_url
        self._path = path
        self._url: Address | None = None
        self._is_private = endpoint.provider.is_private
        self.headers = [
            (b"accept-encoding", b"identity"),  # bytes are relayed as received, so they must not be compressed
            (b"accept", b"application/json, text/event-stream"),
            (b"content-type", b"application/json"),
            (b"user-agent", b"penstock"),
        ]
        if endpoint.api_key is not None:
            self.headers.append((b"authorization", f"Bearer {endpoint.api_key.reveal()}".encode()))
        self._head: PreparedHead | None = None
        connect_s, between_s = endpoint.connect_s, endpoint.between_bytes_s
        self.timeouts = Timeouts(
            connect_s,
            read_s=endpoint.first_byte_s,
            whole_s=_patience_s(endpoint, is_stream=False),
            write_s=between_s,
            pool_s=connect_s,
        )
        self.stream_timeouts = Timeouts(connect_s, read_s=between_s, write_s=between_s, pool_s=connect_s)

    def head(self) -> PreparedHead:
        """Of calls to the route's own address. Raises LocalProtocolError."""
        if self._head is None:
            self._head = self.head_at(self.url)
        return self._head

    @property
    def url(self) -> Address:
        """Raises UnsupportedProtocol for what is no URL that can be called; `penstock check` finds most of them."""
        if self._url is None:
            try:
                self._url = address(self._base_url.rstrip("/") + self._path)
            except BadAddress as error:
                raise UnsupportedProtocol(str(error)) from error
        return self._url

    @property
    def origin(self) -> Origin | None:
        try:
            return self._origin_of(self.url)
        except UnsupportedProtocol:
            return None

    def head_at(self, url: Address) -> PreparedHead:
        """Of calls to another address of the same server. Raises LocalProtocolError."""
        return PreparedHead(self._origin_of(url), self.method.encode("ascii"), url.target, self.headers)

    def _origin_of(self, url: Address) -> Origin:
        is_private = says_private(url.host) if self._is_private is None else self._is_private
        return Origin(url.scheme, url.host, url.port, is_private)


def _patience_s(endpoint: Endpoint, *, is_stream: bool) -> float:
    return endpoint.first_byte_s if is_stream else 2 * endpoint.first_byte_s


def _fields(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """By lower-case name."""
    fields = {name.lower(): value for name, value in headers}
    if len(fields) == len(headers):
        return fields
    fields = {}  # some came several times
    for name, value in headers:
        key = name.lower()
        fields[key] = b"%b, %b" % (fields[key], value) if key in fields else value
    return fields


def _compressed(reply: UpstreamReply, provider: ProviderName) -> UpstreamBroken:
    """Never unpacked: a bomb of megabytes would become one of gigabytes. Nor relayed: no client asked for it."""
    coding = (reply.encoding or "")[:_CODING_CHARS]
    return UpstreamBroken(f"{provider} compressed its answer ({coding!r}) although asked not to.", provider=provider)


async def _error_text(reply: UpstreamReply) -> bytes:
    """The body of an error, or nothing if it breaks off or does not end: the status alone says that nothing is owed."""
    with anyio.move_on_after(_ERROR_TEXT_S), suppress(UpstreamError):
        return await reply.body(_MAX_ERROR_BYTES)
    return b""


def _translation(error: TransportError, provider: str, *, is_sent: bool) -> UpstreamError:
    kind = type(error).__name__
    if is_unsent(error):
        return UpstreamUnreachable(f"{provider} could not be reached ({kind}); nothing was sent.", provider=provider)
    if isinstance(error, TimeoutException):
        return UpstreamTimeout(f"{provider} did not answer in time ({kind}).", provider=provider)
    when = "while answering" if is_sent else "before answering"
    return UpstreamBroken(f"{provider} broke off {when} ({kind}).", provider=provider)


def _retry_after_s(reply: UpstreamReply) -> float | None:
    """What the Retry-After header says, in seconds; None if that is no number of them and no date (RFC 9110, 10.2.3).

    A date is measured by the provider's own clock, which the Date header tells.
    """
    told = reply.header(b"retry-after").strip()
    if _SECONDS.fullmatch(told):
        return float(told)
    try:
        wait = parsedate_to_datetime(told) - parsedate_to_datetime(reply.header(b"date"))
    except (ValueError, TypeError, OverflowError):  # of no date, of one with and one without a zone, of an absurd zone
        return None
    return max(wait.total_seconds(), 0.0)
