"""What a client asks: the members of a request that we act on, and its body as received.

The body is never rebuilt from our types: `ModelRequest.members` keeps every top-level member as the bytes that came,
and `body_with` replaces single members among them, so that numbers, escapes, key order inside members and fields
we do not know reach the provider untouched. A request by another API than chat completions is read as the chat request
that says the same, and its own members are kept beside it (`Original`), for providers that speak that API too.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from router.apis import Api
from router.errors import InvalidRequest
from router.wire.foreign import UNREADABLE
from router.wire.json_faults import json_fault
from router.wire.strict_json import refuse_ambiguous, structure_of

_Typed = TypeVar("_Typed", bound=Struct)


class ImageUrl(Struct):
    url: str
    detail: str | None = None


class Part(Struct):
    """One part of a message's content; `type` says which of the other members count."""

    type: str
    text: str | None = None
    image_url: ImageUrl | None = None
    # Read only to tell one prompt from another, as they came:
    input_audio: Raw | UnsetType = UNSET
    video_url: Raw | UnsetType = UNSET
    input_video: Raw | UnsetType = UNSET
    file: Raw | UnsetType = UNSET
    cache_control: Raw | UnsetType = UNSET


class ToolCallFunction(Struct):
    name: str = ""
    arguments: str = ""


class ToolCall(Struct):
    function: ToolCallFunction | None = None


class Message(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    images: list[Part] | None = None  # that the model made, sent back (openrouter.md §1.4)
    audio: Raw | UnsetType = UNSET  # that the model made, by its id
    reasoning: str | None = None
    reasoning_content: str | None = None


class ToolFunction(Struct):
    name: str = ""
    description: str | None = None
    parameters: Raw | UnsetType = UNSET


class Tool(Struct):
    type: str = "function"
    function: ToolFunction | None = None
    cache_control: Raw | UnsetType = UNSET


class ResponseFormat(Struct):
    type: str
    json_schema: Raw | UnsetType = UNSET


class StreamOptions(Struct):
    include_usage: bool | None = None


class Reasoning(Struct):
    effort: str | None = None
    max_tokens: int | None = None
    enabled: bool | None = None


class _ChatBody(Struct):
    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    tools: list[Tool] | None = None
    functions: Raw | UnsetType = UNSET  # what OpenAI had before tools
    response_format: ResponseFormat | None = None
    reasoning: Reasoning | None = None
    reasoning_effort: str | None = None
    modalities: list[str] | None = None
    service_tier: str | None = None
    cache_control: Raw | UnsetType = UNSET
    provider: dict[str, Raw] | None = None


class DataPreferences(Struct, frozen=True):
    """The members of OpenRouter's `provider` object that protect the prompt (openrouter.md §1.2)."""

    zdr: bool | None = None
    data_collection: Literal["allow", "deny"] | None = None
    only: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None


NO_DATA_PREFERENCES = DataPreferences()


class Original(msgspec.Struct, frozen=True, gc=False):
    """A request as its client sent it, where that was not a chat request."""

    api: Api
    members: Mapping[str, Raw]
    untranslatable: str | None = None  # what of it no chat request can say; None: `ModelRequest.members` says it all

    def body_with(self, changes: Mapping[str, Any], *, without: Sequence[str] = ()) -> bytes:
        """As `ModelRequest.body_with`."""
        return _edited(self.members, changes, without)


class ModelRequest(msgspec.Struct, frozen=True, gc=False):
    """A request to a model, checked. Nobody changes it; `body_with` makes the outgoing body beside it."""

    model: str  # as the client wrote it: an alias or a model id
    messages: Sequence[Message]
    is_stream: bool
    includes_usage: bool  # the client asked for the usage chunk at the end of the stream
    max_output_tokens: int | None  # max_completion_tokens, else max_tokens, else None
    choices: int
    tools: Sequence[Tool]
    functions: Raw | None  # OpenAI's name for tools until 2023, as they came
    response_format: ResponseFormat | None
    reasoning_effort: str | None  # as the client says it; "none" also where it switches thinking off
    reasoning_tokens: int | None  # a budget for thinking, instead of an effort
    asks_reasoning: bool
    asks_cache: bool  # somewhere, or for the whole prompt, with Anthropic's `cache_control`
    asks_one_hour_cache: bool  # somewhere in the prompt, a cache lifetime of an hour, which is dearer to write
    caches_prompt: bool  # asks, at its top level, that the whole prompt be put into the provider's cache
    names_conversation: bool  # by a `session_id` or `prompt_cache_key` of the client's own
    output_modalities: Sequence[str]
    provider_preferences: Mapping[str, Raw]  # OpenRouter's `provider` object, member by member
    data_preferences: DataPreferences  # what of it says who may see the prompt, and what they may do with it
    max_price: Mapping[str, Decimal]  # its `max_price`, USD per million tokens; empty if it has none
    members: Mapping[str, Raw]  # of the chat request
    body_bytes: int  # length of the body as received; more, where its provider makes more of it than stands there
    original: Original | None = None  # None: it was asked as a chat
    # Each of `messages` is a prompt of its own, without the frame of a chat, and so is each entry of `token_ids`: how
    # many tokens there are in a prompt that came as the ids of the model's own vocabulary.
    is_plain: bool = False
    token_ids: Sequence[int] = ()
    echoes_prompt: bool = False  # the answer begins with the prompt

    @property
    def api(self) -> Api:
        """By which the client asked."""
        return Api.CHAT if self.original is None else self.original.api

    @property
    def apis(self) -> tuple[Api, ...]:
        """By which it can be put to a model, the client's own first: what is not translated loses nothing."""
        if self.original is None:
            return _AS_CHAT
        if self.original.untranslatable is not None:
            return (self.original.api,)
        return (self.original.api, Api.CHAT)

    def body_with(self, changes: Mapping[str, Any], *, without: Sequence[str] = ()) -> bytes:
        """The chat body with these top-level members set (or appended) and those left out, the rest as received."""
        return _edited(self.members, changes, without)


_AS_CHAT = (Api.CHAT,)


def _edited(members: Mapping[str, Raw], changes: Mapping[str, Any], without: Sequence[str]) -> bytes:
    edited: dict[str, Any] = dict(members)
    for name in without:
        edited.pop(name, None)
    edited.update(changes)
    return msgspec.json.encode(edited)


def _asks_one_hour(body: bytes) -> bool:
    """Whether a cache lifetime of an hour may be asked for somewhere in the body, by whatever member: OpenRouter has
    `ttl` in `cache_control` and in `prompt_cache_options`."""
    # Each look through a prompt of a million tokens takes 2 ms, but for the one for a single byte: that mostly settles
    # whether anything is escaped.
    if _ONE_HOUR in body:
        return True
    return b"\\" in body and _ESCAPE_OF_ASCII in body and any(spelling in body for spelling in _ONE_HOUR_ESCAPED)


def is_given(member: Raw | UnsetType | None) -> bool:
    """Whether a member that is kept raw is there, and not null."""
    return isinstance(member, Raw) and bytes(member) != b"null"


# No body that opens fewer arrays and objects is nested too deeply for any stack: half of sys.getrecursionlimit.
_FEW_OPENINGS = 500


def _members_of(decoder: msgspec.json.Decoder[dict[str, Raw]], body: bytes) -> dict[str, Raw]:
    """The top-level members of a body, for which there will be room deeper in the stack too.

    How deeply nested a body may be is what is left of the stack (sys.getrecursionlimit). Parts of it are read again
    when it is sent, and in answers that repeat it, 20 calls deeper: what was just not too deep here must not be there,
    when it is paid for, and when a provider seems to have failed. A long body is read in a thread, whose stack is up to
    80 calls emptier than the event loop's. Raises RecursionError for what is too deep.
    """
    structure = structure_of(body)
    if structure.count(b"[") + structure.count(b"{") < _FEW_OPENINGS:  # those in texts are counted too, and do no harm
        return _read_strictly(decoder, body, structure)
    return _deeper(decoder, body, structure, calls=160)


def _deeper(
    decoder: msgspec.json.Decoder[dict[str, Raw]], body: bytes, structure: bytes, *, calls: int
) -> dict[str, Raw]:
    if calls:
        return _deeper(decoder, body, structure, calls=calls - 1)
    return _read_strictly(decoder, body, structure)


def _read_strictly(decoder: msgspec.json.Decoder[dict[str, Raw]], body: bytes, structure: bytes) -> dict[str, Raw]:
    refuse_ambiguous(body, structure)
    return decoder.decode(body)


class BodyReader(Generic[_Typed]):
    """Reads the bodies of one API; holds the decoders, which are costly to make and safe to share."""

    def __init__(self, kind: type[_Typed]) -> None:
        self._members = msgspec.json.Decoder(dict[str, Raw])
        self._body = msgspec.json.Decoder(kind)

    def members(self, body: bytes) -> dict[str, Raw]:
        """The top-level members as they came. Raises InvalidRequest saying what is wrong with the body."""
        try:
            return _members_of(self._members, body)
        except UNREADABLE as error:
            raise explained(error, body) from error

    def read(self, body: bytes) -> tuple[dict[str, Raw], _Typed]:
        """The same, and those that we act on. Raises InvalidRequest naming the member at fault."""
        members = self.members(body)
        try:
            return members, self._body.decode(body)
        except UNREADABLE as error:
            raise explained(error, body) from error


class ChatReader:
    """Reads chat requests."""

    def __init__(self) -> None:
        self._bodies = BodyReader(_ChatBody)

    def read(self, body: bytes) -> ModelRequest:
        """The request in `body`. Raises InvalidRequest naming the member at fault and what was expected there."""
        members, typed = self._bodies.read(body)
        _refuse_what_cannot_be_bounded(typed, members)
        return ModelRequest(
            model=typed.model,
            messages=_non_empty(typed.messages),
            is_stream=bool(typed.stream),
            includes_usage=bool(typed.stream_options and typed.stream_options.include_usage),
            max_output_tokens=_max_output_tokens(typed),
            choices=1 if typed.n is None else in_range("n", typed.n, MOST_CHOICES),
            tools=typed.tools or (),
            functions=_functions(typed.functions),
            response_format=typed.response_format,
            reasoning_effort=_reasoning_effort(typed),
            reasoning_tokens=typed.reasoning.max_tokens if typed.reasoning else None,
            asks_reasoning=_asks_reasoning(typed),
            asks_cache=b'"cache_control"' in body,  # escaped or quoted, it misleads a forecast and no hold
            asks_one_hour_cache=_asks_one_hour(body),
            caches_prompt=is_given(typed.cache_control),
            names_conversation=conversation_name(members) is not None,
            output_modalities=typed.modalities or (),
            provider_preferences=typed.provider or {},
            data_preferences=_data_preferences(typed.provider or {}),
            max_price=_max_price(typed.provider or {}),
            members=members,
            body_bytes=len(body),
        )

    def members(self, body: bytes) -> dict[str, Raw]:
        """The top-level members of a body of any API. Raises InvalidRequest."""
        return self._bodies.members(body)

    def read_translated(
        self, chat: Mapping[str, Any], *, body: bytes, original: Original, further_bytes: int = 0
    ) -> ModelRequest:
        """The request in `body`, of another API, that these members of a chat request say too.

        Whatever bounds the hold is taken from the larger of both, with `further_bytes` for what its provider makes of
        it beyond what stands there. Raises InvalidRequest naming the chat's member.
        """
        translated = msgspec.json.encode(chat)
        request = self.read(translated)
        return replace(
            request,
            body_bytes=max(len(body), len(translated)) + further_bytes,
            asks_cache=request.asks_cache or b'"cache_control"' in body,
            asks_one_hour_cache=request.asks_one_hour_cache or _asks_one_hour(body),
            original=original,
        )


# By either, OpenRouter sends the requests of a conversation to one provider (openrouter.md §1.1, §6).
_CONVERSATION_NAMES = ("session_id", "prompt_cache_key")


def conversation_name(members: Mapping[str, Raw]) -> Raw | None:
    """The client's own name for its conversation, among the members of a body."""
    for name in _CONVERSATION_NAMES:
        member = members.get(name)
        if member is not None and is_given(member):
            return member
    return None


# OpenAI's own limit for `n` (its API reference, 2026).
MOST_CHOICES = 128
# Far above every model, and low enough that its price in nano-dollars fits the stores' integers.
MOST_OUTPUT_TOKENS = 100_000_000
_MOST_USD_PER_MTOK = 1_000_000
_LEAST_PRICE_EXPONENT = -18  # decimal places of a price: beyond them it would only be long to write out

# Every way to write "1h" in JSON. It doubles what a cache write costs, so that an escape must not hide it.
_ONE_HOUR = b'"1h"'
_ONE_HOUR_ESCAPED = (b'"\\u0031h"', b'"1\\u0068"', b'"\\u0031\\u0068"')
_ESCAPE_OF_ASCII = b"\\u00"  # and of Latin letters beyond it

_MISSING_FIELD = "Object missing required field `"  # how msgspec's message begins; its path is the object's


def explained(error: Exception, body: bytes = b"", *, at: str = "") -> InvalidRequest:
    """What is wrong with a body, or with the member `at` a path of it, that a decoder did not take."""
    if isinstance(error, msgspec.ValidationError):
        text, _, path = str(error).partition(" - at `$")
        path = f"{at}{path.rstrip('`')}".lstrip(".")
        message = f"{text}{f' at {path}' if path else ''}."
        if text.startswith(_MISSING_FIELD):
            path = ".".join(filter(None, (path, text.removeprefix(_MISSING_FIELD).rstrip("`"))))
        return InvalidRequest(message, param=path or None, code="invalid_type")
    fault = json_fault(body, error)
    return InvalidRequest(
        f"The body is not valid JSON ({fault}). Send one JSON object encoded as UTF-8.", code="invalid_json"
    )


def _non_empty(messages: Sequence[Message]) -> Sequence[Message]:
    if not messages:
        raise InvalidRequest("`messages` is empty; send at least one message.", param="messages", code="empty_array")
    return messages


def _max_output_tokens(typed: _ChatBody) -> int | None:
    if typed.max_completion_tokens is not None:
        return in_range("max_completion_tokens", typed.max_completion_tokens, MOST_OUTPUT_TOKENS)
    return None if typed.max_tokens is None else in_range("max_tokens", typed.max_tokens, MOST_OUTPUT_TOKENS)


def _functions(given: Raw | UnsetType) -> Raw | None:
    return given if isinstance(given, Raw) and bytes(given) not in (b"null", b"[]") else None


def in_range(name: str, value: int, most: int, *, least: int = 1) -> int:
    """The value. Raises InvalidRequest if it is below `least` or above `most`."""
    if value < least:
        raise InvalidRequest(
            f"`{name}` is {value}; it must be at least {least}.", param=name, code="integer_below_min_value"
        )
    if value > most:
        raise InvalidRequest(f"`{name}` must be at most {most}.", param=name, code="integer_above_max_value")
    return value


def _max_price(preferences: Mapping[str, Raw]) -> Mapping[str, Decimal]:
    """The client's own ceiling. Read here and not when sending: by then the money is held."""
    asked = preferences.get("max_price")
    if asked is None:
        return {}
    try:
        prices = msgspec.json.decode(asked, type=dict[str, Decimal | None] | None) or {}
    except msgspec.DecodeError as error:
        raise _invalid_max_price() from error
    given = {name: figure for name, figure in prices.items() if figure is not None}
    if not all(_is_price(figure) for figure in given.values()):
        raise _invalid_max_price()
    return given


def _data_preferences(preferences: Mapping[str, Raw]) -> DataPreferences:
    """Read here and not when sending: they decide who may be asked at all."""
    named = {name: preferences[name] for name in DataPreferences.__struct_fields__ if name in preferences}
    if not named:
        return NO_DATA_PREFERENCES
    try:
        return msgspec.json.decode(msgspec.json.encode(named), type=DataPreferences)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        name = path.rstrip("`").lstrip(".")
        raise InvalidRequest(f"{text} at provider.{name}.", param=f"provider.{name}", code="invalid_type") from error


def _is_price(figure: Decimal) -> bool:
    exponent = figure.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= _LEAST_PRICE_EXPONENT and 0 <= figure <= _MOST_USD_PER_MTOK


def _invalid_max_price() -> InvalidRequest:
    return InvalidRequest(
        "`provider.max_price` must be an object of prices in USD per million tokens, each from 0 to 1000000.",
        param="provider.max_price",
        code="invalid_type",
    )


def _reasoning_effort(typed: _ChatBody) -> str | None:
    if typed.reasoning is not None and typed.reasoning.enabled is False:
        return "none"
    return typed.reasoning_effort or (typed.reasoning and typed.reasoning.effort) or None


def _asks_reasoning(typed: _ChatBody) -> bool:
    if typed.reasoning is not None and typed.reasoning.enabled is False:
        return False
    effort = typed.reasoning_effort or (typed.reasoning.effort if typed.reasoning else None)
    return typed.reasoning is not None if effort is None else effort != "none"


# Each of these, unless it is null or an empty list of what is listed there, lets the provider choose another model, or
# adds fees that no price in the catalog bounds. Sent on unseen, they would let a request cost more than was held for it
# (reference: openrouter.md §1.1, §1.3).
_UNBOUNDED = {
    "models": "it lets the provider fall back to models outside your team's policy; list candidates in the policy",
    "route": "routing is decided by your team's policy; leave it out",
    "preset": "a preset can change the model and its price unseen; spell its settings out in the request",
    "plugins": "plugins bill fees beside tokens that cannot be held in advance; leave them out",
    "web_search_options": "web search bills a fee per call that cannot be held in advance; leave it out",
    "stop_server_tools_when": "server tools bill fees that cannot be held in advance; leave it out",
    "deferred_tools": "server tools among them bill fees that cannot be held in advance; use `tools`",
    "container": "code that runs at the provider bills fees that cannot be held in advance; leave it out",
}
_NOTHING, _NO_CONTAINER = (b"null", b"[]"), (b"null",)  # as JSON has it; an empty container is one all the same
# What is allowed rather than what is not: a tier or a server tool that is new tomorrow must not slip through.
# OpenRouter takes `web_search` and `web_search_preview` for its own server tool (its OpenAPI file, 2026-08).
_CATALOG_PRICED_TIERS = frozenset({"auto", "default", "flex"})
_CLIENT_TOOLS = frozenset({"function", "custom"})


# As JSON has it: what a member says that asks for no more than the one answer that there is anyway.
_ONE_ANSWER = (b"null", b"1")


def refuse_more_answers(members: Mapping[str, Raw], name: str) -> None:
    """Raises InvalidRequest if the member `name`, which this API has not, asks for more than one answer.

    A provider may heed it all the same, and bill each answer that is written, whether it is shown or not: vLLM took
    `best_of` until November 2025 (its pull request 29090), OpenVINO's server takes it as the number of beams of a chat
    (its reference of the chat API; both read on 2026-11-30).
    """
    if name in members and bytes(members[name]) not in _ONE_ANSWER:
        raise InvalidRequest(
            f"`{name}` is not accepted here: it may be billed as more answers than can be held for; leave it out.",
            param=name,
            code="unsupported_parameter",
        )


def _refuse_what_cannot_be_bounded(typed: _ChatBody, members: Mapping[str, Raw]) -> None:
    refuse_more_answers(members, "best_of")
    if not _UNBOUNDED.keys().isdisjoint(members):
        for name, reason in _UNBOUNDED.items():
            if name in members and bytes(members[name]) not in (_NO_CONTAINER if name == "container" else _NOTHING):
                raise InvalidRequest(f"`{name}` is not accepted: {reason}.", param=name, code="unsupported_parameter")
    if typed.service_tier is not None and typed.service_tier not in _CATALOG_PRICED_TIERS:
        raise InvalidRequest(
            f"`service_tier` {typed.service_tier[:60]!r} is not accepted: it may be billed above the catalog's prices; "
            "use 'auto', 'default' or 'flex'.",
            param="service_tier",
            code="unsupported_parameter",
        )
    for tool in typed.tools or ():
        if tool.type not in _CLIENT_TOOLS:
            raise InvalidRequest(
                f"The tool type {tool.type[:60]!r} is not accepted: tools that run at the provider bill fees that "
                "cannot be held in advance; use 'function'.",
                param="tools",
                code="unsupported_parameter",
            )
