"""The shape of the three kinds of file: `PenstockFile`, `ModelsFile`, `TeamFile`, and what each key means.

What can be judged by looking at one value, or at one entry, is judged here; what needs a second file is judged in
`references`. The descriptions are for the editor: they travel in the JSON Schemas.
"""

import re
import warnings
from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from importlib.util import find_spec
from itertools import pairwise
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic import Tag as Case
from pydantic_core import PydanticCustomError

from router.apis import Api
from router.catalog.catalog import TEXT_APIS, Capability, Effort, Task
from router.config.sentences import choice, either, hint, meant, nearest, shown
from router.decision.matching import Modality, Weekday
from router.decision.policy import Objective, Start
from router.quality.code import CodeLanguage, language_tagged
from router.quality.language import Language
from router.quality.schemas import CannotVerify, compiled_pattern
from router.quality.verify import CheckKind
from router.quotas import Per, WhenSpent

FAULT = "penstock"  # the type of our own pydantic errors; their `keys` lead to what is meant within the entry, if any

# Counters hold nano-dollars as 64-bit floats in some stores (Redis Lua), exact up to 2^53.
MAX_LIMIT_NANO_USD = 2**53
_NANO_DIGITS = 9

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")
_MODEL = re.compile(r"[A-Za-z0-9~][A-Za-z0-9._~-]*(/[A-Za-z0-9][A-Za-z0-9._:-]*)+")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/=@-]{0,63}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_LEAST_REFRESH_S = 60  # OpenRouter lets its list be kept for 300 s (cache-control, openrouter.md §4.1)
_HOURS = re.compile(r"(([01]\d|2[0-3]):[0-5]\d)-(([01]\d|2[0-3]):[0-5]\d|24:00)")
_REGION = re.compile(r"[a-z][a-z0-9-]{0,31}")
_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9._-]+)?")
_VISION = "vision"  # what most people call input with images
_RESERVED_NAME = "other"  # what metrics call a label value that the configuration does not know


def _fault(message: str, *keys: str | int) -> PydanticCustomError:
    """What is wrong with an entry, or with what stands under these keys of it."""
    return PydanticCustomError(FAULT, "{message}", {"message": message, "keys": keys})


def _exact(value: object) -> object:
    """Whole numbers are as good as figures with a point; everything else is left for pydantic to refuse."""
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _ratio(value: object) -> object:
    """A figure that is not money, as a float."""
    return float(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def _hours(text: str) -> str:
    if not _HOURS.fullmatch(text):
        raise _fault(f"expected hours such as 08:00-18:00, or 22:00-06:00 for a night, got '{text}'")
    begins, _, ends = text.partition("-")
    if begins == ends or (begins, ends) == ("00:00", "24:00"):
        raise _fault(f"expected a part of the day, got the whole of it, '{text}'; leave it out, or name weekdays")
    return text


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise _fault(f"expected a region of a-z, 0-9 and - such as eu, got '{text}'")
    return text


def _slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise _fault(f"expected a provider such as deepinfra or deepinfra/fp8, in lower case, got '{text}'")
    return text


def _need(value: object) -> object:
    return Capability.IMAGE_INPUT if value == _VISION else value


def _one_or_more(value: object) -> object:
    """`task: code` is short for `task: [code]`."""
    return [value] if isinstance(value, str) else value


def _or_a_single_one(schema: dict[str, Any]) -> None:
    """The same short form for editors."""
    many = {"type": schema.pop("type"), "items": schema.pop("items")}
    schema["anyOf"] = [many["items"], many]


def _date(value: object) -> object:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise _fault(f"expected a date such as 2026-04-24, got {value!r}")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise _fault(f"expected a date such as 2026-04-24, got {value}, which no calendar has") from None


def _time(value: object) -> object:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise _fault(f'expected a UTC time such as "01:00", got {value!r}')
    return time.fromisoformat(value)


def _environment_name(text: str) -> str:
    if not _ENVIRONMENT_NAME.fullmatch(text):
        # The text is not repeated: it may be the secret itself.
        raise _fault(
            "expected the name of an environment variable such as OPENROUTER_API_KEY; a secret itself never stands here"
        )
    return text


def _name(text: str) -> str:
    if text == _RESERVED_NAME or not _NAME.fullmatch(text):
        raise _fault(f"expected a name of a-z, 0-9, _ and - (at most 63, and not 'other'), got '{text}'")
    return text


def _alias(text: str) -> str:
    if not _ALIAS.fullmatch(text):
        raise _fault(f"expected an alias of letters, digits and . _ : / @ - (at most 128), got '{text}'")
    return text


def _model_name(text: str) -> str:
    if not _MODEL.fullmatch(text):
        raise _fault(f"expected a catalog id like deepseek/deepseek-v4-flash, got '{text}'")
    return text


def _tag(text: str) -> str:
    if not _TAG.fullmatch(text):
        raise _fault(f"expected a tag of letters, digits and . _ : / = @ - (at most 64), got '{text}'")
    return text


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise _fault(f"expected host:port such as 127.0.0.1:8000, got '{text}'")
    return text


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        plain = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment
        plain = plain and parts.port != 0
    except ValueError:
        plain = False
        parts = urlsplit("")
    if not plain:
        raise _fault(f"expected an address such as https://openrouter.ai/api/v1, got '{text}'")
    if parts.username or parts.password:
        raise _fault(
            "expected an address without a password in it; name the variable that holds the key in api_key_env"
        )
    return text.rstrip("/")


def _without_repeats(names: list[str]) -> list[str]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _fault(f"expected each candidate once, got '{twice}' twice")
    return names


_LOOK_AROUND = re.compile(r"(?<!\\)\(\?<?[=!]")
_BACK_REFERENCE = re.compile(r"\\[1-9]|\\k<|\(\?P=")


def _pattern(text: str) -> str:
    try:
        compiled_pattern(text)
    except CannotVerify:
        raise _fault(f"{_why_no_pattern(text)}, got {shown(text)}", "regex") from None
    return text


def _why_no_pattern(text: str) -> str:
    """What must be otherwise in a regular expression that does not compile; the engine itself does not say."""
    for what, sign in (("look-around", _LOOK_AROUND), ("back-references", _BACK_REFERENCE)):
        if (found := sign.search(text)) is not None:
            return f"expected a regular expression without {what} ({found[0]} cannot be matched in linear time)"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a later Python will read otherwise
            re.compile(text)
    except re.error as error:
        place = "" if error.pos is None else f" at its character {error.pos + 1}"
        return f"expected a regular expression without the slip{place} ({error.msg})"
    except (RecursionError, OverflowError):
        pass
    return "expected a regular expression that is smaller when compiled, and in the syntax of Rust's regex"


def _one_or_more_checks(value: object) -> object:
    """`verify: non_empty` is short for `verify: [non_empty]`."""
    return [value] if isinstance(value, str | dict) else value


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = hint(text, available_timezones())
        raise _fault(f"expected an IANA time zone such as UTC or Europe/Berlin, got '{text}'{near}") from None
    return text


def _nano_countable(usd: Decimal) -> Decimal:
    if usd.scaleb(_NANO_DIGITS) > MAX_LIMIT_NANO_USD:
        raise _fault(f"expected at most 9007199 dollars (2^53 nano-dollars, the largest exact count), got {usd:f}")
    if usd.scaleb(_NANO_DIGITS) % 1:
        raise _fault(f"expected whole nano-dollars (at most 9 decimals), got {usd:f}")
    return usd


_NUMBER = WithJsonSchema({"type": "number", "minimum": 0})
_PROBABILITY = WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})

Text = Annotated[str, Field(min_length=1)]
Usd = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0), _NUMBER]
LimitUsd = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0), AfterValidator(_nano_countable), _NUMBER]
Probability = Annotated[float, BeforeValidator(_ratio), Field(ge=0, le=1), _PROBABILITY]
TokenRatio = Annotated[float, BeforeValidator(_ratio), Field(ge=0.5, le=5)]
Seconds = Annotated[float, BeforeValidator(_ratio), Field(gt=0, le=86_400)]
CacheSeconds = Annotated[float, BeforeValidator(_ratio), Field(gt=0, le=30 * 86_400)]
Pause = Annotated[float, BeforeValidator(_ratio), Field(ge=0, le=3_600)]
Tokens = Annotated[int, Field(ge=1, le=1_000_000_000)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000_000)]
Day = Annotated[date, BeforeValidator(_date), WithJsonSchema({"type": "string", "format": "date"})]
TimeOfDay = Annotated[time, BeforeValidator(_time), WithJsonSchema({"type": "string", "pattern": _TIME.pattern})]
EnvironmentName = Annotated[str, AfterValidator(_environment_name)]
Name = Annotated[str, AfterValidator(_name)]
AliasName = Annotated[str, AfterValidator(_alias)]
ModelId = Annotated[str, AfterValidator(_model_name)]
Tag = Annotated[str, AfterValidator(_tag)]
Address = Annotated[str, AfterValidator(_address)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Hours = Annotated[str, AfterValidator(_hours), WithJsonSchema({"type": "string", "pattern": f"^{_HOURS.pattern}$"})]
Region = Annotated[str, AfterValidator(_region)]
Slug = Annotated[str, AfterValidator(_slug)]
Share = Annotated[float, BeforeValidator(_ratio), Field(gt=0, le=1)]
Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
Candidates = Annotated[list[Text], Field(min_length=1), AfterValidator(_without_repeats)]
# Enums are written as their values; strict mode would want the members themselves.
TaskWord = Annotated[Task, Field(strict=False)]
CapabilityWord = Annotated[Capability, Field(strict=False)]
ApiWord = Annotated[Api, Field(strict=False)]
NeedWord = Annotated[
    CapabilityWord,
    BeforeValidator(_need),
    WithJsonSchema({"type": "string", "enum": [*Capability, _VISION]}),
]
StartWord = Annotated[Start, Field(strict=False)]
EffortWord = Annotated[Effort, Field(strict=False)]
LanguageWord = Annotated[Language, Field(strict=False)]
ModalityWord = Annotated[Modality, Field(strict=False)]
WeekdayWord = Annotated[Weekday, Field(strict=False)]
ObjectiveWord = Annotated[Objective, Field(strict=False)]
PerWord = Annotated[Per, Field(strict=False)]
WhenSpentWord = Annotated[WhenSpent, Field(strict=False)]


class Section(BaseModel):
    """A mapping with known keys: any other key is an error, and text is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# --- penstock.yaml ----------------------------------------------------------------------------------------------------


class AdminSection(Section):
    listen: Annotated[Address, Field(description="host:port of metrics, admin API and console")] = "127.0.0.1:8001"
    token_env: Annotated[
        EnvironmentName | None, Field(description="environment variable that holds the admin token")
    ] = None
    token_file: Annotated[Text | None, Field(description="file that holds the admin token")] = None

    @model_validator(mode="after")
    def _one_source(self) -> "AdminSection":
        if self.token_env and self.token_file:
            raise _fault("expected token_env or token_file, got both", "token_file")
        return self


class StateSection(Section):
    directory: Annotated[
        Text | None, Field(description="where journal, ledger and pepper live; relative to this file's directory")
    ] = None
    durability: Annotated[
        Literal["fast", "strict"],
        Field(description="fast survives a killed process; strict also a power failure, and waits for the disk"),
    ] = "fast"


class PostgresSection(Section):
    url_env: Annotated[EnvironmentName, Field(description="environment variable that holds the connection's URL")]


class OutageSection(Section):
    """What each process sets aside of every budget while Redis is there, to go on with while it is not."""

    per_mille: Annotated[int, Field(ge=1, le=100, description="of the budget's limit, by each process")] = 20
    at_most_usd: Annotated[LimitUsd, Field(description="of one budget, by each process")] = Decimal(1)


class RedisSection(Section):
    url_env: Annotated[EnvironmentName, Field(description="environment variable that holds the connection's URL")]
    when_unreachable: Annotated[
        Literal["closed", "allowance"],
        Field(description="closed: refuse what has a budget or limit; allowance: spend what was set aside beforehand"),
    ] = "closed"
    allowance: Annotated[OutageSection | None, Field(description="only with when_unreachable: allowance")] = None

    @model_validator(mode="after")
    def _is_wanted(self) -> "RedisSection":
        if self.allowance is not None and self.when_unreachable != "allowance":
            raise _fault(f"expected when_unreachable: allowance beside it, got {self.when_unreachable}", "allowance")
        return self


class TimeoutsSection(Section):
    connect_s: Annotated[Seconds, Field(description="until the connection stands")] = 5.0
    first_byte_s: Annotated[Seconds, Field(description="from sending the request to the answer's first byte")] = 300.0
    between_bytes_s: Annotated[Seconds, Field(description="longest silence within an answer")] = 120.0


class PricesSection(Section):
    """How the prices that providers tell themselves are kept fresh."""

    refresh_s: Annotated[
        Annotated[float, BeforeValidator(_ratio), Field(ge=0, le=86_400)],
        Field(description="how often OpenRouter's /models is read: from 60, or 0 for never"),
    ] = 300.0

    @model_validator(mode="after")
    def _not_too_often(self) -> "PricesSection":
        if 0 < self.refresh_s < _LEAST_REFRESH_S:
            raise _fault(f"expected 0 (never) or at least {_LEAST_REFRESH_S}, got {self.refresh_s:g}", "refresh_s")
        return self


class ProviderSection(Section):
    kind: Annotated[
        Literal["openrouter", "deepseek", "openai_compatible"], Field(description="which dialect and price list apply")
    ]
    base_url: Annotated[BaseUrl, Field(description="what stands before /chat/completions")]
    api_key_env: Annotated[EnvironmentName | None, Field(description="environment variable that holds the key")] = None
    api_key_file: Annotated[Text | None, Field(description="file that holds the key")] = None
    zdr: Annotated[bool | None, Field(description="it keeps nothing once the answer is out; default: false")] = None
    data_collection: Annotated[
        Literal["allow", "deny"] | None, Field(description="may it store prompts for its own use? default: allow")
    ] = None
    region: Annotated[Region | None, Field(description="where prompts are processed, such as eu")] = None
    apis: Annotated[
        list[ApiWord] | None,
        Field(min_length=1, description="what it speaks; default: what its kind speaks, chat/completions at least"),
    ] = None

    @model_validator(mode="after")
    def _asked_with_each_request(self) -> "ProviderSection":
        if self.kind == "openrouter" and (self.zdr is not None or self.data_collection is not None):
            raise _fault(
                "OpenRouter is asked for this with each request that wants it; leave it out here",
                "data_collection" if self.zdr is None else "zdr",
            )
        return self

    @model_validator(mode="after")
    def _one_source(self) -> "ProviderSection":
        if self.api_key_env and self.api_key_file:
            raise _fault("expected api_key_env or api_key_file, got both", "api_key_file")
        if self.kind != "openai_compatible" and not self.api_key_env and not self.api_key_file:
            raise _fault(f"expected api_key_env or api_key_file: a provider of kind {self.kind} wants a key")
        return self


class StreamsSection(Section):
    comment_every_s: Annotated[
        Seconds, Field(description="how often who waits for the first event of a stream gets a comment")
    ] = 10.0
    unread_s: Annotated[
        Seconds, Field(description="a client that takes nothing of what waits for it for so long is cut off")
    ] = 300.0


class LearningSection(Section):
    """What labels of answers (feedback, checks, retries) may do to the forecasts of quality."""

    quality: Annotated[bool, Field(description="false: forecasts are the catalog's alone, for all teams")] = True
    escalated_over: Annotated[
        Share, Field(description="share of a week's answers that failed a check, beyond which the catalog stands alone")
    ] = 0.3
    retried_over: Annotated[
        Share, Field(description="share of a week's answers that were asked for again, beyond which it does so too")
    ] = 0.3
    labels_days: Annotated[int, Field(ge=1, le=3650, description="how long labels are kept")] = 180


class PenstockFile(Section):
    """`penstock.yaml`: where Penstock listens, keeps its state, and whom it can ask."""

    listen: Annotated[Address, Field(description="host:port of the OpenAI API")] = "127.0.0.1:8000"
    admin: AdminSection = AdminSection()
    state: StateSection = StateSection()
    postgres: Annotated[PostgresSection | None, Field(description="ledger and keys, in place of SQLite")] = None
    redis: Annotated[RedisSection | None, Field(description="holds and limits, shared by several processes")] = None
    max_body_bytes: Annotated[
        int, Field(ge=1_024, le=1_073_741_824, description="longest request body taken; longer ones get 413")
    ] = 33_554_432
    timeouts: TimeoutsSection = TimeoutsSection()
    streams: StreamsSection = StreamsSection()
    prices: PricesSection = PricesSection()
    learning: LearningSection = LearningSection()
    text_head: Annotated[Text | None, Field(description="a head made by `penstock train`, in place of the shipped")] = (
        None
    )
    breakers: Annotated[
        bool, Field(description="leave deployments alone for a while that fail, or say that they are busy")
    ] = True
    stop_notice_s: Annotated[
        Pause, Field(description="how long a stop (SIGTERM) still takes new requests, while /readyz says 503")
    ] = 5.0
    stop_grace_s: Annotated[
        Seconds, Field(description="what a stop allows requests under way to end by themselves, the notice included")
    ] = 30.0
    providers: Annotated[dict[Name, ProviderSection], Field(min_length=1, description="name → how to reach it")]

    @model_validator(mode="after")
    def _shares_its_ledger_too(self) -> "PenstockFile":
        if self.redis is not None and self.postgres is None:
            raise _fault(
                "expected `postgres` beside it, got none: counters that Redis has lost are rebuilt from the ledger, "
                "and a SQLite file holds only what one machine has spent. Add postgres: {url_env: …} "
                "(docs/money.md), or leave redis out: one process needs neither",
                "redis",
            )
        return self


# --- models.yaml ------------------------------------------------------------------------------------------------------


class ScoreSection(Section):
    score: Annotated[Probability, Field(description="probability that an answer of this kind is good")]
    source: Annotated[Text, Field(description="benchmark, effort and where the figure was read")]
    checked: Annotated[Day, Field(description="when it was last compared with its source")]
    estimated: Annotated[bool, Field(description="true if derived from other figures, not measured")] = False


class EffortsSection(Section):
    """A figure for each effort; one that is missing is filled from the nearest (docs/quality.md)."""

    none: ScoreSection | None = None
    minimal: ScoreSection | None = None
    low: ScoreSection | None = None
    medium: ScoreSection | None = None
    high: ScoreSection | None = None
    xhigh: ScoreSection | None = None
    max: ScoreSection | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "EffortsSection":
        if all(getattr(self, effort.value) is None for effort in Effort):
            raise _fault("expected a figure for some effort, got none")
        return self


# How pydantic marks in the path of an error which of the two it took a mapping for; no key looks like this.
CASES: Mapping[str, type[Section]] = {"[figure]": ScoreSection, "[by effort]": EffortsSection}
_ABOUT_A_SCORE = frozenset(ScoreSection.model_fields)


def _case_of(value: object) -> str:
    """What makes a mapping a figure is any key that only figures have; all else is judged as figures by effort."""
    keys = value if isinstance(value, dict) else getattr(value, "model_fields_set", ())
    return "[figure]" if _ABOUT_A_SCORE.intersection(keys) else "[by effort]"


# One figure, or one for each effort that has any.
Cell = Annotated[
    Annotated[ScoreSection, Case("[figure]")] | Annotated[EffortsSection, Case("[by effort]")],
    Discriminator(_case_of),
]
Cells = Annotated[Cell | None, Field(description="one figure, at the model's default effort, or one for each effort")]


class FiguresSection(Section):
    """A kind without a figure takes that of the kind it is nearest to (docs/quality.md), and it is said so."""

    chat: Cells = None
    writing: Annotated[Cells, Field(description="without it: as chat")] = None
    translation: Annotated[Cells, Field(description="without it: as chat")] = None
    summary: Annotated[Cells, Field(description="without it: as chat")] = None
    extraction: Cells = None
    classification: Annotated[Cells, Field(description="without it: as extraction")] = None
    facts: Cells = None
    math: Annotated[Cells, Field(description="without it: as reasoning")] = None
    reasoning: Cells = None
    code: Cells = None
    tool_call: Annotated[Cells, Field(description="without it: as extraction")] = None
    agent: Cells = None
    vision: Annotated[Cells, Field(description="without it: as chat")] = None
    long_context: Annotated[Cells, Field(description="without it: as reasoning")] = None


class QualitySection(FiguresSection):
    version: Annotated[
        Text | None,
        Field(description="which version of the model the figures are of, as its provider's list calls it"),
    ] = None


class RatesSection(Section):
    input_usd_per_mtok: Usd
    output_usd_per_mtok: Annotated[Usd, Field(description="reasoning tokens are output tokens")]
    cached_input_usd_per_mtok: Annotated[Usd | None, Field(description="default: as plain input")] = None
    cache_write_usd_per_mtok: Annotated[Usd | None, Field(description="all in; default: as plain input")] = None
    cache_write_1h_usd_per_mtok: Annotated[Usd | None, Field(description="default: as cache_write")] = None
    request_usd: Annotated[Usd, Field(description="for each call, beside its tokens")] = Decimal(0)
    image_usd: Annotated[Usd, Field(description="for each input image, beside its tokens")] = Decimal(0)


class TierSection(RatesSection):
    above_input_tokens: Annotated[Tokens, Field(description="for strictly more input tokens; reprices all of them")]


class DailySection(Section):
    from_: Annotated[TimeOfDay, Field(alias="from", description="UTC, inclusive")]
    until: Annotated[TimeOfDay, Field(description="UTC, exclusive; earlier than from means past midnight")]

    @model_validator(mode="after")
    def _not_empty(self) -> "DailySection":
        if self.from_ == self.until:
            raise _fault(f"expected two different times, got {self.until:%H:%M} twice", "until")
        return self


class PriceSection(RatesSection):
    """A dated price. It comes after the published ones and wins over them as long as it holds."""

    from_: Annotated[Day, Field(alias="from", description="first day, from midnight UTC")]
    until: Annotated[Day | None, Field(description="first day on which it no longer holds")] = None
    daily: Annotated[DailySection | None, Field(description="only between these hours of each day")] = None
    tiers: Annotated[list[TierSection], Field(description="dearer rates for long inputs, by ascending threshold")] = []
    source: Annotated[Text, Field(description="where the figure was read")]
    checked: Annotated[Day, Field(description="when it was last compared with its source")]

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> "PriceSection":
        if self.until is not None and self.until <= self.from_:
            raise _fault(f"expected a day after from ({self.from_}), got {self.until}", "until")
        return self

    @model_validator(mode="after")
    def _tiers_ascend(self) -> "PriceSection":
        thresholds = [tier.above_input_tokens for tier in self.tiers]
        if any(upper <= lower for lower, upper in pairwise(thresholds)):
            raise _fault(f"expected ascending thresholds, got {', '.join(map(str, thresholds))}", "tiers")
        return self


class DeploymentSection(Section):
    provider: Annotated[Text, Field(description="a provider of penstock.yaml")]
    upstream_model: Annotated[Text | None, Field(description="what it calls the model; default: the catalog id")] = None
    version: Annotated[
        Text | None,
        Field(description="what that name stands for, as `quality.version` calls it, if the provider does not tell"),
    ] = None
    context_tokens: Annotated[Tokens | None, Field(description="if it differs from the model's")] = None
    max_output_tokens: Annotated[Tokens | None, Field(description="if it differs from the model's")] = None
    lacks: Annotated[list[CapabilityWord], Field(description="what the model can do, but not at this provider")] = []
    zdr: Annotated[bool | None, Field(description="if it differs from the provider's")] = None
    data_collection: Annotated[
        Literal["allow", "deny"] | None, Field(description="if it differs from the provider's")
    ] = None
    region: Annotated[Region | None, Field(description="if it differs from the provider's")] = None
    prices: Annotated[
        list[PriceSection], Field(description="own prices, oldest first; each wins over published ones while it holds")
    ] = []

    @model_validator(mode="after")
    def _prices_ascend(self) -> "DeploymentSection":
        """Each entry starts no earlier than the one before, and a stated end does not reach into the next."""
        for earlier, later in pairwise(self.prices):
            if later.from_ < earlier.from_:
                raise _fault(f"expected the oldest price first, got {later.from_} after {earlier.from_}", "prices")
            all_day = earlier.daily is None and later.daily is None
            if all_day and earlier.until is not None and earlier.until > later.from_:
                raise _fault(
                    f"expected prices that do not overlap, got one until {earlier.until} and the next "
                    f"from {later.from_}",
                    "prices",
                )
        return self


class ReasoningSection(Section):
    """How hard the model can be asked to think."""

    efforts: Annotated[
        list[EffortWord], Field(min_length=1, description="those it knows; none among them if it can do without")
    ]
    default: Annotated[EffortWord | None, Field(description="where a request says nothing")] = None


class ModelSection(Section):
    released: Annotated[
        Day | None, Field(description="when its maker released it; clients see it as `created` in /v1/models")
    ] = None
    context_tokens: Annotated[Tokens, Field(description="input and output together")]
    max_output_tokens: Annotated[
        Tokens | None, Field(description="required of a model that writes text; others write nothing")
    ] = None
    capabilities: Annotated[list[CapabilityWord], Field(description="beyond text in, text out")] = []
    tokens_per_o200k: Annotated[
        TokenRatio, Field(description="tokens of this model per token of OpenAI's o200k_base, English prose")
    ] = 1.0
    quality: QualitySection = QualitySection()
    reasoning: Annotated[
        ReasoningSection | None, Field(description="the efforts it knows; without it, all are taken to be known")
    ] = None
    apis: Annotated[
        list[ApiWord] | None, Field(min_length=1, description="how it can be asked; default: as one that writes text")
    ] = None
    deployments: Annotated[list[DeploymentSection], Field(min_length=1, description="who serves it")]

    @model_validator(mode="after")
    def _who_writes_has_a_limit(self) -> "ModelSection":
        writes = self.apis is None or not TEXT_APIS.isdisjoint(self.apis)
        if writes and self.max_output_tokens is None:
            raise _fault("expected `max_output_tokens`, as it writes text")
        if not writes and self.max_output_tokens is not None:
            raise _fault("expected no limit on the output of a model that writes none", "max_output_tokens")
        return self

    @model_validator(mode="after")
    def _one_deployment_a_provider(self) -> "ModelSection":
        seen: set[str] = set()
        for deployment in self.deployments:
            if deployment.provider in seen:
                raise _fault(
                    f"expected one deployment a provider, got '{deployment.provider}' twice; give the second provider "
                    "a name of its own in penstock.yaml",
                    "deployments",
                )
            seen.add(deployment.provider)
        return self


class ModelsFile(Section):
    """`models.yaml`: which models there are, what each can do, how well, and who serves it."""

    models: Annotated[dict[ModelId, ModelSection], Field(min_length=1)]


# --- teams/NAME.yaml --------------------------------------------------------------------------------------------------


class BudgetSection(Section):
    limit_usd: Annotated[LimitUsd, Field(description="dollars in each window")]
    per: PerWord
    when_spent: Annotated[
        WhenSpentWord, Field(description="reject: 429. downgrade: try the policy's cheaper models first")
    ] = WhenSpent.REJECT


class LimitsSection(Section):
    requests_per_minute: Count | None = None
    tokens_per_minute: Annotated[
        Count | None, Field(description="input and output: as expected at admission, as used afterwards")
    ] = None
    concurrent: Annotated[Count | None, Field(description="requests in flight")] = None


class AllowanceSection(Section):
    """What a key or a project may spend, within what its team may."""

    budgets: list[BudgetSection] = []
    limits: LimitsSection = LimitsSection()


class AliasSection(Section):
    """What a client's `model` stands for: a policy, or one model."""

    policy: Annotated[Text | None, Field(description="a policy of this file")] = None
    model: Annotated[
        Text | None, Field(description="a model of models.yaml, always this one; model@effort to have it think so hard")
    ] = None

    @model_validator(mode="after")
    def _either(self) -> "AliasSection":
        if (self.policy is None) == (self.model is None):
            raise _fault("expected either policy or model")
        return self


class FloorSection(Section):
    at_least: Annotated[Probability, Field(description="0..1: a probability, or the share of the best candidate's")]
    of: Annotated[
        Literal["best_candidate"] | None, Field(description="makes at_least a share of the best candidate's figure")
    ] = None


class InputTokensSection(Section):
    over: Annotated[Tokens | None, Field(description="strictly more than")] = None
    under: Annotated[Tokens | None, Field(description="strictly fewer than")] = None

    @model_validator(mode="after")
    def _can_hold(self) -> "InputTokensSection":
        if self.over is None and self.under is None:
            raise _fault("expected over, under or both")
        if self.over is not None and self.under is not None and self.under - self.over < 2:
            raise _fault(
                f"no number is over {self.over} and under {self.under}, so the rule could never apply", "under"
            )
        return self


class DifficultySection(Section):
    over: Annotated[Probability | None, Field(description="strictly more than, from 0 to 1")] = None
    under: Annotated[Probability | None, Field(description="strictly less than, from 0 to 1")] = None

    @model_validator(mode="after")
    def _can_hold(self) -> "DifficultySection":
        if self.over is None and self.under is None:
            raise _fault("expected over, under or both")
        if self.over is not None and self.under is not None and self.under <= self.over:
            raise _fault(
                f"no difficulty is over {self.over} and under {self.under}, so the rule could never apply", "under"
            )
        return self


class WhenSection(Section):
    """Every condition given must hold."""

    input_tokens: InputTokensSection | None = None
    language: Annotated[
        list[LanguageWord],
        BeforeValidator(_one_or_more),
        Field(description="of the prompt, any of: ISO 639-1, or other", json_schema_extra=_or_a_single_one),
    ] = []
    modalities: Annotated[
        list[ModalityWord],
        BeforeValidator(_one_or_more),
        Field(description="of the input, any of; text is text alone", json_schema_extra=_or_a_single_one),
    ] = []
    difficulty: Annotated[DifficultySection | None, Field(description="from 0, easy, to 1")] = None
    hour: Annotated[
        list[Hours],
        BeforeValidator(_one_or_more),
        Field(
            description="any of, in the team's time zone; from inclusive, until exclusive, past midnight if earlier",
            json_schema_extra=_or_a_single_one,
        ),
    ] = []
    weekdays: Annotated[
        list[WeekdayWord],
        BeforeValidator(_one_or_more),
        Field(
            description="any of, in the team's time zone; a night belongs to the day on which it began",
            json_schema_extra=_or_a_single_one,
        ),
    ] = []
    task: Annotated[
        list[TaskWord], BeforeValidator(_one_or_more), Field(description="any of", json_schema_extra=_or_a_single_one)
    ] = []
    needs: Annotated[
        list[NeedWord],
        BeforeValidator(_one_or_more),
        Field(description="all of; vision is image_input", json_schema_extra=_or_a_single_one),
    ] = []
    alias: Annotated[
        list[AliasName], BeforeValidator(_one_or_more), Field(description="any of", json_schema_extra=_or_a_single_one)
    ] = []
    tags: Annotated[
        list[Tag], BeforeValidator(_one_or_more), Field(description="all of", json_schema_extra=_or_a_single_one)
    ] = []

    @model_validator(mode="after")
    def _says_something(self) -> "WhenSection":
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise _fault("expected a condition; a rule that always applies belongs into the policy itself")
        return self


class CheckSection(Section):
    """An entry of `verify`: a word, `regex` with its pattern, or `code` with its languages."""

    kind: Annotated[CheckKind, Field(strict=False)]
    pattern: str | None = None
    languages: list[CodeLanguage] = []


def _check(value: object) -> CheckSection:
    if isinstance(value, str) and value in _CHECK_WORDS:
        return CheckSection(kind=CheckKind(value))
    if isinstance(value, dict) and set(value) == {"code"}:
        return CheckSection(kind=CheckKind.CODE, languages=_code_languages(value["code"]))
    if isinstance(value, dict) and set(value) == {"regex"}:
        if not isinstance(value["regex"], str):
            raise _fault(f"expected a regular expression in quotes, got {shown(value['regex'])}", "regex")
        return CheckSection(kind=CheckKind.REGEX, pattern=_pattern(value["regex"]))
    keys = [value] if isinstance(value, str) else [*value] if isinstance(value, dict) else []
    near = next((word for key in keys if (word := nearest(key, _CHECK_FORMS)) is not None), None)
    got = shown(value) if isinstance(value, str) or not keys else f"a mapping with {', '.join(map(str, keys))}"
    raise _fault(
        f"expected {either([*_CHECK_FORMS.values()])}, got {got}{'' if near is None else meant(_CHECK_FORMS[near])}"
    )


def _code_languages(value: object) -> list[CodeLanguage]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise _fault(f"expected one or more of {', '.join(_CODE_LANGUAGES)}, got {shown(value)}", "code")
    for number, name in enumerate(names):
        if name not in _CODE_LANGUAGES:
            where = ("code",) if isinstance(value, str) else ("code", number)
            meant_by = language_tagged(name.lower()) if isinstance(name, str) else None  # `js` looks more like json
            raise _fault(choice(_CODE_LANGUAGES, name, likely=meant_by), *where)
    languages = [CodeLanguage(name) for name in dict.fromkeys(names)]
    for language, package in _PARSED_BY.items():
        if language in languages and find_spec(package) is None:
            raise _fault(f"{language.value} is parsed by a package that is not installed: pip install 'penstock[code]'")
    return languages


def _without_repeated_checks(checks: list[CheckSection]) -> list[CheckSection]:
    seen = set()
    for number, check in enumerate(checks):
        what = (check.kind, check.pattern, frozenset(check.languages))
        if what in seen:
            raise _fault(f"expected each check once, got '{check.kind.value}' twice; remove one", number)
        seen.add(what)
    return checks


_CODE_LANGUAGES = tuple(language.value for language in CodeLanguage)
# What an installation without the extra `code` lacks.
_PARSED_BY = {CodeLanguage.SQL: "polyglot_sql", CodeLanguage.JAVASCRIPT: "esprima"}
_CHECK_WORDS = tuple(kind.value for kind in CheckKind if kind not in (CheckKind.REGEX, CheckKind.CODE))
# By what an operator may have had in mind.
_CHECK_FORMS = {
    **{word: word for word in _CHECK_WORDS},
    "code": "{code: LANGUAGES}",
    "regex": "{regex: PATTERN}",
}
_CHECK_SCHEMA = {
    "anyOf": [
        {"enum": list(_CHECK_WORDS), "type": "string"},
        {
            "type": "object",
            "properties": {
                "regex": {"type": "string", "description": "found anywhere; write ^ and $ for the whole text"}
            },
            "required": ["regex"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "code": {
                    "description": "languages: code of these in the answer must parse",
                    "anyOf": [
                        {"enum": list(_CODE_LANGUAGES), "type": "string"},
                        {
                            "items": {"enum": list(_CODE_LANGUAGES), "type": "string"},
                            "minItems": 1,
                            "type": "array",
                        },
                    ],
                }
            },
            "required": ["code"],
            "additionalProperties": False,
        },
    ]
}
Checks = Annotated[
    list[Annotated[CheckSection, BeforeValidator(_check), WithJsonSchema(_CHECK_SCHEMA)]],
    BeforeValidator(_one_or_more_checks),
    AfterValidator(_without_repeated_checks),
    Field(json_schema_extra=_or_a_single_one, description="what an answer must pass; else a better model is asked"),
]


MODELS_FOR_AGREEMENT = 3


def models_in(candidates: Iterable[str]) -> frozenset[str]:
    """The models among candidates, at whatever effort."""
    return frozenset(name.partition("@")[0] for name in candidates)


class DataSection(Section):
    """How prompts must be handled. It only ever adds to what team, policy, rule and request demand already."""

    zdr: Annotated[bool, Field(description="true: nothing may be kept once the answer is out")] = False
    collection: Annotated[
        Literal["allow", "deny"], Field(description="deny: nothing may be stored for the provider's own use")
    ] = "allow"
    regions: Annotated[
        list[Region] | None, Field(min_length=1, description="any of: deployments must declare one of them")
    ] = None
    only: Annotated[
        list[Slug] | None,
        Field(min_length=1, description="who may see prompts: OpenRouter's slugs, or providers of penstock.yaml"),
    ] = None
    ignore: Annotated[list[Slug], Field(description="who may not, named the same way")] = []


class ShadowSection(Section):
    """A model that is asked the same, unseen by the client, to be measured."""

    model: Annotated[Text, Field(description="a model of models.yaml, or model@effort")]
    share: Annotated[Share, Field(description="of the answered requests, 0..1")]
    budget_usd: Annotated[LimitUsd, Field(description="its own, beside the team's budgets; when spent, no more copies")]
    per: PerWord = Per.DAY


Weights = Annotated[
    dict[Text, Share],
    Field(min_length=1, description="candidate → share of the requests; what they leave to 1 the objective chooses"),
]
OnlyProviders = Annotated[list[Text], Field(min_length=1)]
MaxLatency = Annotated[
    Milliseconds | None,
    Field(description="expected time to the first token of a stream, or to the end of a whole answer"),
]
WishedEffort = Annotated[EffortWord | None, Field(description="how hard to think where the client says nothing")]
MostEffort = Annotated[EffortWord | None, Field(description="how hard to think at most, whatever the client asks")]
_MOST_OVER = 1e-9  # by which shares may exceed 1: 0.1 + 0.2 + 0.7 does


def _judge_weights(weights: dict[str, float], candidates: list[str], *where: str | int) -> None:
    stranger = next((model for model in weights if model not in candidates), None)
    if stranger is not None:
        near = hint(stranger, candidates)
        raise _fault(f"expected a candidate, got '{stranger}'{near}", *where, "weights", stranger)
    if sum(weights.values()) > 1 + _MOST_OVER:
        raise _fault(f"expected shares of at most 1 together, got {sum(weights.values()):g}", *where, "weights")


UsdPerPoint = Annotated[
    Annotated[Decimal, BeforeValidator(_exact), Field(gt=0), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})]
    | None,
    Field(description="to objective value: dollars that one percentage point (0.01) of the chance to be good is worth"),
]
Confidence = Annotated[
    Annotated[float, BeforeValidator(_ratio), Field(ge=0.5, le=0.99)] | None,
    Field(description="that a candidate is as good as the floor asks: 0.5 to 0.99; 0.5 takes its figure as it is"),
]


class RuleSection(Section):
    """Replaces single terms of its policy for the requests it matches; the first rule that applies is the only one."""

    name: Annotated[Text, Field(max_length=63, description="shown in x-penstock-decision and in metrics")]
    when: WhenSection
    candidates: Candidates | None = None
    objective: ObjectiveWord | None = None
    quality: FloorSection | None = None
    max_cost_usd: Annotated[Usd | None, Field(description="what one request may cost at worst")] = None
    max_latency_ms: MaxLatency = None
    reasoning_effort: WishedEffort = None
    max_reasoning_effort: MostEffort = None
    weights: Weights | None = None
    only_providers: Annotated[OnlyProviders | None, Field(description="these alone, of those the policy allows")] = None
    data: Annotated[DataSection | None, Field(description="on top of the policy's")] = None
    verify: Checks | None = None
    confidence: Confidence = None
    usd_per_point: UsdPerPoint = None

    @model_validator(mode="after")
    def _changes_something(self) -> "RuleSection":
        terms = [name for name in type(self).model_fields if name not in ("name", "when")]
        if all(getattr(self, name) is None for name in terms):
            raise _fault(f"expected at least one of {', '.join(terms)}: the rule changes nothing")
        return self


class PolicySection(Section):
    candidates: Annotated[
        Candidates,
        Field(description="what may be chosen: model, or model@effort; a model may stand here at several efforts"),
    ]
    objective: ObjectiveWord = Objective.CHEAPEST
    quality: Annotated[FloorSection | None, Field(description="how good is good enough")] = None
    confidence: Confidence = None
    usd_per_point: UsdPerPoint = None
    max_cost_usd: Annotated[Usd | None, Field(description="what one request may cost at worst")] = None
    default_max_output_tokens: Annotated[
        Tokens, Field(description="set on requests that name no limit, so that a bound can be held")
    ] = 32_768
    may_shorten: Annotated[
        bool, Field(description="where no budget has room for the output limit, lower the limit before refusing")
    ] = False
    max_latency_ms: MaxLatency = None
    first_token_timeout_s: Annotated[
        float | None,
        Field(
            gt=0, le=600, description="a stream that has not begun by then has failed, and the next candidate is asked"
        ),
    ] = None
    reasoning_effort: WishedEffort = None
    max_reasoning_effort: MostEffort = None
    weights: Weights | None = None
    shadow: Annotated[ShadowSection | None, Field(description="a model to be measured beside the one that answers")] = (
        None
    )
    banned_models: Annotated[list[Text], Field(description="never these, whatever a rule says")] = []
    banned_providers: Annotated[list[Text], Field(description="never at these, whatever a rule says")] = []
    only_providers: Annotated[OnlyProviders | None, Field(description="never at others, whatever a rule says")] = None
    data: Annotated[DataSection | None, Field(description="how prompts must be handled, whatever a rule says")] = None
    rules: list[RuleSection] = []
    verify: Checks = []
    max_escalations: Annotated[
        int, Field(ge=1, le=3, description="better models asked after an answer that failed a check")
    ] = 1
    buffer: Annotated[
        bool, Field(description="collect streamed answers before the client gets them, so that they can be verified")
    ] = False
    explore: Annotated[
        float,
        BeforeValidator(_ratio),
        Field(ge=0, le=0.2, description="share of requests that go to the second choice, to learn how good it is"),
    ] = 0.0
    start: Annotated[
        StartWord,
        Field(
            description="prior: new kinds of work go where the forecast says; strong: to the best model, until labels "
            "say that less will do",
        ),
    ] = Start.PRIOR

    @model_validator(mode="after")
    def _weights_are_of_candidates(self) -> "PolicySection":
        if self.weights is not None:
            _judge_weights(self.weights, self.candidates)
        for number, rule in enumerate(self.rules):
            if rule.weights is not None:
                _judge_weights(rule.weights, rule.candidates or self.candidates, "rules", number)
        return self

    @model_validator(mode="after")
    def _agreement_has_three_models(self) -> "PolicySection":
        """One answers, another one is asked, and the best is neither: it decides where the two disagree."""
        own = [self.candidates, *(rule.candidates or [] for rule in self.rules if rule.verify is None)]
        self._judge_agreement(self.verify, own)
        for number, rule in enumerate(self.rules):
            self._judge_agreement(rule.verify or [], [rule.candidates or self.candidates], "rules", number)
        return self

    def _judge_agreement(self, checks: list[CheckSection], candidates: list[list[str]], *where: str | int) -> None:
        """`candidates`: the lists from which an answer may come that is put to these checks."""
        number = next((number for number, check in enumerate(checks) if check.kind is CheckKind.AGREEMENT), None)
        most = max(len(models_in(names).difference(self.banned_models)) for names in candidates)
        if number is not None and most < MODELS_FOR_AGREEMENT:
            raise _fault(
                f"expected {MODELS_FOR_AGREEMENT} different models among the candidates, got {most}: a second one is "
                "asked for its opinion, and the best decides where the two disagree; add models, or leave agreement "
                "out, as no answer could be put to it",
                *where,
                "verify",
                number,
            )

    @model_validator(mode="after")
    def _rule_names_differ(self) -> "PolicySection":
        names = [rule.name for rule in self.rules]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise _fault(f"expected a name of its own for each rule, got '{twice}' twice", "rules")
        return self


class CacheSection(Section):
    """Answers that are given again to who asks exactly the same."""

    ttl_s: Annotated[CacheSeconds, Field(description="for so long; at most 30 days")]
    when: Annotated[
        Literal["temperature_zero", "always"],
        Field(description="temperature_zero: where the same answer is to be expected; always: whatever is asked"),
    ] = "temperature_zero"


def _says_efforts_once(sections: dict[str, FiguresSection]) -> dict[str, FiguresSection]:
    for name, section in sections.items():
        for kind in FiguresSection.model_fields:
            if "@" in name and isinstance(getattr(section, kind), EffortsSection):
                raise _fault(f"expected one figure, got figures by effort, as '{name}' names one already", name, kind)
            model, at, effort = name.partition("@")
            whole = getattr(sections.get(model), kind, None)
            efforts = whole.model_dump(exclude_none=True) if isinstance(whole, EffortsSection) else {}
            if at and effort in efforts and getattr(section, kind) is not None:
                raise _fault(f"expected one figure for '{name}', got another under '{model}'", name, kind)
    return sections


class TeamLearningSection(Section):
    """What a team's own labels may do."""

    quality: Annotated[bool, Field(description="false: the team's forecasts are the catalog's alone")] = True


class TeamFile(Section):
    """`teams/NAME.yaml`: what one team may spend, on what, and how good is good enough for it."""

    team: Annotated[Name, Field(description="the name of this file without .yaml")]
    baseline: Annotated[
        Text | None, Field(description="the model the team would use otherwise; savings are measured against it")
    ] = None
    time_zone: Annotated[TimeZone, Field(description="where its days, weeks and months begin")] = "UTC"
    budgets: list[BudgetSection] = []
    limits: LimitsSection = LimitsSection()
    each_key: Annotated[AllowanceSection, Field(description="what every API key of the team may spend on its own")] = (
        AllowanceSection()
    )
    projects: Annotated[
        dict[Tag, AllowanceSection],
        Field(description="tags with money of their own: a request with the tag is charged to them as well"),
    ] = {}
    banned_models: Annotated[list[Text], Field(description="never these, by whatever policy or alias")] = []
    banned_providers: Annotated[list[Text], Field(description="never at these, by whatever policy or alias")] = []
    only_providers: Annotated[
        OnlyProviders | None, Field(description="never at others, by whatever policy or alias")
    ] = None
    cache: Annotated[
        CacheSection | None,
        Field(description="answers that are given again to who asks exactly the same; default: none"),
    ] = None
    learning: TeamLearningSection = TeamLearningSection()
    data: Annotated[
        DataSection | None, Field(description="how every prompt of the team must be handled, pinned models included")
    ] = None
    aliases: Annotated[dict[AliasName, AliasSection], Field(min_length=1, description="what clients write in `model`")]
    quality: Annotated[
        dict[Text, FiguresSection],
        AfterValidator(_says_efforts_once),
        Field(description="model or model@effort → the team's own figures, in place of those of models.yaml"),
    ] = {}
    policies: dict[Name, PolicySection] = {}
