"""What single values of the configuration may be: names, dates, dollars, shares, words of a list; and `Section`."""

import re
from datetime import date, time
from decimal import Decimal
from ipaddress import ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from router.apis import Api
from router.catalog.catalog import Capability, Effort, Task
from router.config.sentences import hint
from router.decision.matching import Modality, Weekday
from router.decision.policy import Objective, Start
from router.quality.language import Language
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
_HOURS = re.compile(r"(([01]\d|2[0-3]):[0-5]\d)-(([01]\d|2[0-3]):[0-5]\d|24:00)")
_REGION = re.compile(r"[a-z][a-z0-9-]{0,31}")
_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9._-]+)?")
_VISION = "vision"  # what most people call input with images
SOCKET = "unix:"  # what an address begins with that is the path of a socket
_MOST_SOCKET_BYTES = 90  # unix(7): 107, and it is made under a longer name (server/listen.py)
_RESERVED_NAME = "other"  # what metrics call a label value that the configuration does not know


def fault(message: str, *keys: str | int) -> PydanticCustomError:
    """What is wrong with an entry, or with what stands under these keys of it."""
    return PydanticCustomError(FAULT, "{message}", {"message": message, "keys": keys})


def exact(value: object) -> object:
    """Whole numbers are as good as figures with a point; everything else is left for pydantic to refuse."""
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def ratio(value: object) -> object:
    """A figure that is not money, as a float."""
    return float(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def _hours(text: str) -> str:
    if not _HOURS.fullmatch(text):
        raise fault(f"expected hours such as 08:00-18:00, or 22:00-06:00 for a night, got '{text}'")
    begins, _, ends = text.partition("-")
    if begins == ends or (begins, ends) == ("00:00", "24:00"):
        raise fault(f"expected a part of the day, got the whole of it, '{text}'; leave it out, or name weekdays")
    return text


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise fault(f"expected a region of a-z, 0-9 and - such as eu, got '{text}'")
    return text


def _network(text: str) -> str:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise fault(f"expected a network such as 10.1.0.0/16 or fd00::/8, got '{text}': {error}") from None
    if network.prefixlen == 0:
        raise fault(f"expected the network of your own balancers, got '{text}', by which anybody names his own address")
    return text


def _slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise fault(f"expected a provider such as deepinfra or deepinfra/fp8, in lower case, got '{text}'")
    return text


def _need(value: object) -> object:
    return Capability.IMAGE_INPUT if value == _VISION else value


def one_or_more(value: object) -> object:
    """`task: code` is short for `task: [code]`."""
    return [value] if isinstance(value, str) else value


def or_a_single_one(schema: dict[str, Any]) -> None:
    """The same short form for editors."""
    many = {"type": schema.pop("type"), "items": schema.pop("items")}
    schema["anyOf"] = [many["items"], many]


def _date(value: object) -> object:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise fault(f"expected a date such as 2026-04-24, got {value!r}")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise fault(f"expected a date such as 2026-04-24, got {value}, which no calendar has") from None


def _time(value: object) -> object:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise fault(f'expected a UTC time such as "01:00", got {value!r}')
    return time.fromisoformat(value)


def _environment_name(text: str) -> str:
    if not _ENVIRONMENT_NAME.fullmatch(text):
        # The text is not repeated: it may be the secret itself.
        raise fault(
            "expected the name of an environment variable such as OPENROUTER_API_KEY; a secret itself never stands here"
        )
    return text


def _name(text: str) -> str:
    if text == _RESERVED_NAME or not _NAME.fullmatch(text):
        raise fault(f"expected a name of a-z, 0-9, _ and - (at most 63, and not 'other'), got '{text}'")
    return text


def _alias(text: str) -> str:
    if not _ALIAS.fullmatch(text):
        raise fault(f"expected an alias of letters, digits and . _ : / @ - (at most 128), got '{text}'")
    return text


def _model_name(text: str) -> str:
    if not _MODEL.fullmatch(text):
        raise fault(f"expected a catalog id like deepseek/deepseek-v4-flash, got '{text}'")
    return text


def _tag(text: str) -> str:
    if not _TAG.fullmatch(text):
        raise fault(f"expected a tag of letters, digits and . _ : / = @ - (at most 64), got '{text}'")
    return text


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise fault(f"expected host:port such as 127.0.0.1:8000, got '{text}'")
    return text


def _admin_address(text: str) -> str:
    if not text.startswith(SOCKET):
        return _address(text)
    path = text.removeprefix(SOCKET)
    if not path.startswith("/") or path.endswith("/"):
        raise fault(f"expected an absolute path such as unix:/run/penstock/admin.sock, got '{text}'")
    if len(path.encode()) > _MOST_SOCKET_BYTES:
        raise fault(f"expected a path of at most {_MOST_SOCKET_BYTES} bytes, which is all that a socket takes")
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
        raise fault(f"expected an address such as https://openrouter.ai/api/v1, got '{text}'")
    if parts.username or parts.password:
        raise fault("expected an address without a password in it; name the variable that holds the key in api_key_env")
    return text.rstrip("/")


def _has_path(url: str) -> str:
    if not urlsplit(url).path.strip("/"):
        raise fault(f"expected the whole URL, such as {url.rstrip('/')}/v1/traces, got one without a path, {url}")
    return url


def _without_repeats(names: list[str]) -> list[str]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise fault(f"expected each candidate once, got '{twice}' twice")
    return names


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = hint(text, available_timezones())
        raise fault(f"expected an IANA time zone such as UTC or Europe/Berlin, got '{text}'{near}") from None
    return text


def _nano_countable(usd: Decimal) -> Decimal:
    if usd.scaleb(_NANO_DIGITS) > MAX_LIMIT_NANO_USD:
        raise fault(f"expected at most 9007199 dollars (2^53 nano-dollars, the largest exact count), got {usd:f}")
    if usd.scaleb(_NANO_DIGITS) % 1:
        raise fault(f"expected whole nano-dollars (at most 9 decimals), got {usd:f}")
    return usd


_NUMBER = WithJsonSchema({"type": "number", "minimum": 0})
_PROBABILITY = WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})

Text = Annotated[str, Field(min_length=1)]
Usd = Annotated[Decimal, BeforeValidator(exact), Field(ge=0), _NUMBER]
LimitUsd = Annotated[Decimal, BeforeValidator(exact), Field(ge=0), AfterValidator(_nano_countable), _NUMBER]
Probability = Annotated[float, BeforeValidator(ratio), Field(ge=0, le=1), _PROBABILITY]
TokenRatio = Annotated[float, BeforeValidator(ratio), Field(ge=0.5, le=5)]
Seconds = Annotated[float, BeforeValidator(ratio), Field(gt=0, le=86_400)]
CacheSeconds = Annotated[float, BeforeValidator(ratio), Field(gt=0, le=30 * 86_400)]
Pause = Annotated[float, BeforeValidator(ratio), Field(ge=0, le=3_600)]
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
AdminAddress = Annotated[str, AfterValidator(_admin_address)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
SpansUrl = Annotated[str, AfterValidator(_base_url), AfterValidator(_has_path)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Hours = Annotated[str, AfterValidator(_hours), WithJsonSchema({"type": "string", "pattern": f"^{_HOURS.pattern}$"})]
Region = Annotated[str, AfterValidator(_region)]
NetworkText = Annotated[str, AfterValidator(_network)]
Slug = Annotated[str, AfterValidator(_slug)]
Share = Annotated[float, BeforeValidator(ratio), Field(gt=0, le=1)]
Weight = Annotated[float, BeforeValidator(ratio), Field(ge=0.01, le=1_000)]
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
