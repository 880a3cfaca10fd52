"""One attempt at a provider: send, wait for the head, hand over the body. httpx2's errors become ours here."""

import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum

import anyio
import httpx2

from router.apis import Api
from router.catalog.catalog import Deployment, Provider, ProviderName
from router.errors import UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from router.keys import Secret
from router.upstream.transport import is_unsent
from router.wire.replies import Bill, ReplyReader

# A whole (not streamed) answer is kept in memory; images come as base64, 20 of 2 MB at the most seen in practice.
MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_LISTING_BYTES = 32 * 1024 * 1024  # of one page of a list of models; OpenRouter's had 0.5 MB in August 2026
_MAX_ERROR_BYTES = 64 * 1024
_ERROR_TEXT_S = 5.0
_CODING_CHARS = 40  # of a coding's name, in our message
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


class UpstreamReply:
    """The head of a good answer (status 200) and the way to its body. Must be closed."""

    __slots__ = ("_provider", "_response", "generation_id", "is_stream")

    def __init__(self, response: httpx2.Response, *, provider: ProviderName) -> None:
        self._response = response
        self._provider = provider
        self.generation_id = response.headers.get("x-generation-id")
        self.is_stream = response.headers.get("content-type", "").lower().startswith("text/event-stream")

    @property
    def encoding(self) -> str | None:
        """How the body is compressed although identity was asked for; None if it is not."""
        headers = self._response.headers
        codings = f"{headers.get('content-encoding', '')},{headers.get('transfer-encoding', '')}".lower().split(",")
        return next((each for each in map(str.strip, codings) if each not in _PLAIN_CODINGS), None)

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body as it arrives. Raises UpstreamBroken or UpstreamTimeout when it breaks off, or is compressed."""
        if self.encoding is not None:  # not at the head, which names the call by which its cost can be asked for
            raise _compressed(self, self._provider)
        stream = self._response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        with _translated(self._provider, is_sent=True):
            async for chunk in stream:
                yield chunk

    async def body(self) -> bytes:
        """The whole body. Raises UpstreamBroken if it is longer than `MAX_BODY_BYTES`."""
        return await _collected(self, MAX_BODY_BYTES, self._provider)

    async def aclose(self) -> None:
        """Give the connection back, or close it if the body was not read to its end."""
        with _translated(self._provider, is_sent=True):
            await self._response.aclose()


class UpstreamClient:
    """Sends to the providers of one configuration."""

    def __init__(
        self, transport: httpx2.AsyncBaseTransport, endpoints: Mapping[ProviderName, Endpoint], reader: ReplyReader
    ) -> None:
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

    async def ask(self, deployment: Deployment, api: Api, body: bytes, *, is_stream: bool) -> UpstreamReply:
        """The head of the answer to what is asked by `api`.

        Raises UpstreamError; its `may_be_owed` says whether the call may have been billed.
        """
        name = deployment.provider.name
        response = await self._send(self._asking[name, api], name, content=body, is_stream=is_stream)
        reply = UpstreamReply(response, provider=name)
        if response.status_code == 200:
            return reply
        async with aclosing(reply):
            text = await _error_text(reply, name)
        if 200 < response.status_code < 300:  # it was done, whatever it is, and so it may be billed
            raise UpstreamBroken(f"{name} answered {response.status_code} where 200 was expected.", provider=name)
        raise self._reader.refusal(
            text,
            status=response.status_code,
            provider=name,
            retry_after_s=_retry_after_s(response.headers),
        )

    def patience_s(self, provider: ProviderName, *, is_stream: bool) -> float:
        """How long the beginning of a stream, or the whole of an answer, may take, whatever trickles in meanwhile."""
        first_byte_s = self._endpoints[provider].first_byte_s
        return first_byte_s if is_stream else 2 * first_byte_s

    def keeps_records(self, provider: ProviderName) -> bool:
        """Whether the provider can be asked afterwards what a call cost."""
        return self._endpoints[provider].provider.kind == "openrouter"

    async def record(self, provider: ProviderName, generation_id: str) -> Bill | None:
        """What the provider's own record says a call cost, or None if it has none (yet)."""
        try:
            route = self._record[provider]
            url = route.url.copy_merge_params({"id": generation_id})
            response = await self._send(route, provider, url=url, is_stream=False)
            async with aclosing(UpstreamReply(response, provider=provider)) as reply:
                text = await _collected(reply, _MAX_ERROR_BYTES, provider)
        except (UpstreamError, httpx2.InvalidURL):  # the id is the provider's own text, of any length
            return None  # asked again later; until then the hold stays booked
        return self._reader.record(text) if response.status_code == 200 else None

    async def models_page(
        self, provider: ProviderName, following: str | None, which: ModelList = ModelList.ALL
    ) -> bytes:
        """A page of one of the provider's lists of models: the first, or what `following` of another page names.

        Raises UpstreamError.
        """
        route = self._models[provider, which]
        url = route.url if following is None else self._next_page(provider, route.url, following)
        response = await self._send(route, provider, url=url, is_stream=False)
        async with aclosing(UpstreamReply(response, provider=provider)) as reply:
            if response.status_code != 200:
                text = await _error_text(reply, provider)
                raise self._reader.refusal(text, status=response.status_code, provider=provider)
            return await _collected(reply, MAX_LISTING_BYTES, provider)

    def _next_page(self, provider: ProviderName, first: httpx2.URL, following: str) -> httpx2.URL:
        """The address of another page. Our key goes with it, so that it may lead to no other server."""
        try:
            url = first.join(following)
        except (httpx2.InvalidURL, ValueError):
            url = None
        if url is None or (url.scheme, url.host, url.port) != (first.scheme, first.host, first.port):
            raise UpstreamBroken(f"{provider} says that its list goes on at another server.", provider=provider)
        return url

    async def _send(
        self,
        route: "_Route",
        provider: ProviderName,
        *,
        content: bytes | None = None,
        url: httpx2.URL | None = None,
        is_stream: bool,
    ) -> httpx2.Response:
        request = httpx2.Request(
            route.method,
            url or route.url,
            headers=route.headers,
            content=content,
            extensions={"timeout": route.stream_timeouts if is_stream else route.timeouts},
        )
        with _translated(provider, is_sent=False):
            return await self._transport.handle_async_request(request)


class _Route:
    """Everything about a call to one provider that does not change from call to call, made once."""

    __slots__ = ("headers", "method", "stream_timeouts", "timeouts", "url")

    def __init__(self, endpoint: Endpoint, method: str, path: str) -> None:
        self.method = method
        self.url = httpx2.URL(endpoint.provider.base_url.rstrip("/") + path)
        self.headers = [
            ("accept-encoding", "identity"),  # bytes are relayed as received, so they must not be compressed
            ("accept", "application/json, text/event-stream"),
            ("content-type", "application/json"),
            ("user-agent", "penstock"),
        ]
        if endpoint.api_key is not None:
            self.headers.append(("authorization", f"Bearer {endpoint.api_key.reveal()}"))
        common = {"connect": endpoint.connect_s, "write": endpoint.between_bytes_s, "pool": endpoint.connect_s}
        self.timeouts = {**common, "read": endpoint.first_byte_s}
        self.stream_timeouts = {**common, "read": endpoint.between_bytes_s}


async def _collected(reply: UpstreamReply, limit_bytes: int, provider: ProviderName) -> bytes:
    parts: list[bytes] = []
    size = 0
    async with aclosing(reply.chunks()) as chunks:
        async for chunk in chunks:
            size += len(chunk)
            if size > limit_bytes:
                raise UpstreamBroken(f"{provider} sent more than {limit_bytes} bytes.", provider=provider)
            parts.append(chunk)
    return b"".join(parts)


def _compressed(reply: UpstreamReply, provider: ProviderName) -> UpstreamBroken:
    """Never unpacked: a bomb of megabytes would become one of gigabytes. Nor relayed: no client asked for it."""
    coding = (reply.encoding or "")[:_CODING_CHARS]
    return UpstreamBroken(f"{provider} compressed its answer ({coding!r}) although asked not to.", provider=provider)


async def _error_text(reply: UpstreamReply, provider: ProviderName) -> bytes:
    """The body of an error, or nothing if it breaks off or does not end: the status alone says that nothing is owed."""
    with anyio.move_on_after(_ERROR_TEXT_S), suppress(UpstreamError):
        return await _collected(reply, _MAX_ERROR_BYTES, provider)
    return b""


@contextmanager
def _translated(provider: str, *, is_sent: bool) -> Iterator[None]:
    try:
        yield
    except httpx2.TransportError as error:
        raise _translation(error, provider, is_sent=is_sent) from error


def _translation(error: httpx2.TransportError, provider: str, *, is_sent: bool) -> UpstreamError:
    kind = type(error).__name__
    if is_unsent(error):
        return UpstreamUnreachable(f"{provider} could not be reached ({kind}); nothing was sent.", provider=provider)
    if isinstance(error, httpx2.TimeoutException):
        return UpstreamTimeout(f"{provider} did not answer in time ({kind}).", provider=provider)
    when = "while answering" if is_sent else "before answering"
    return UpstreamBroken(f"{provider} broke off {when} ({kind}).", provider=provider)


def _retry_after_s(headers: httpx2.Headers) -> float | None:
    """What the Retry-After header says, in seconds; None if that is no number of them and no date (RFC 9110, 10.2.3).

    A date is measured by the provider's own clock, which the Date header tells.
    """
    told = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(told):
        return float(told)
    try:
        wait = parsedate_to_datetime(told) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):  # of no date, of one with and one without a zone, of an absurd zone
        return None
    return max(wait.total_seconds(), 0.0)
