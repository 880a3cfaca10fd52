"""`penstock.yaml`: where Penstock listens, keeps its state, and whom it can ask."""

from decimal import Decimal
from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from router.config.schema.values import (
    Address,
    AdminAddress,
    ApiWord,
    BaseUrl,
    Count,
    EnvironmentName,
    LimitUsd,
    Name,
    NetworkText,
    Pause,
    Probability,
    Region,
    Seconds,
    Section,
    Share,
    SpansUrl,
    Text,
    fault,
    ratio,
)

ADMIN = "admin"  # whose token `admin.token_env` is

_LEAST_REFRESH_S = 60  # OpenRouter lets its list be kept for 300 s (cache-control, openrouter.md §4.1)


class AdminTokenSection(Section):
    """Somebody, or something, that may use the admin port."""

    name: Annotated[Name, Field(description="who holds it, as the audit log and the console tell")]
    role: Annotated[
        Literal["viewer", "operator", "owner"],
        Field(description="viewer reads; operator reloads, explains, replays; owner hands out rights too"),
    ]
    token_env: Annotated[EnvironmentName | None, Field(description="environment variable that holds the token")] = None
    token_file: Annotated[Text | None, Field(description="file that holds the token")] = None

    @model_validator(mode="after")
    def _one_source(self) -> "AdminTokenSection":
        if self.token_env and self.token_file:
            raise fault("expected token_env or token_file, got both", "token_file")
        if not self.token_env and not self.token_file:
            raise fault("expected token_env or token_file, which says where the token is found")
        return self


class AdminSection(Section):
    listen: Annotated[
        AdminAddress, Field(description="host:port of metrics, admin API and console, or unix:/path of a socket")
    ] = "127.0.0.1:8001"
    token_env: Annotated[
        EnvironmentName | None, Field(description="environment variable that holds the token of the owner `admin`")
    ] = None
    token_file: Annotated[Text | None, Field(description="file that holds it")] = None
    tokens: Annotated[
        list[AdminTokenSection] | None, Field(min_length=1, description="tokens by name, each with a role")
    ] = None

    @model_validator(mode="after")
    def _one_source(self) -> "AdminSection":
        if self.token_env and self.token_file:
            raise fault("expected token_env or token_file, got both", "token_file")
        return self

    @model_validator(mode="after")
    def _names_once(self) -> "AdminSection":
        taken = {ADMIN} if self.token_env or self.token_file else set()
        for index, each in enumerate(self.tokens or ()):
            if each.name in taken:
                raise fault(f"expected a name for each token, got '{each.name}' twice", "tokens", index, "name")
            taken.add(each.name)
        return self


class StateSection(Section):
    directory: Annotated[
        Text | None, Field(description="where journal, ledger and pepper live; relative to this file's directory")
    ] = None
    durability: Annotated[
        Literal["fast", "strict"],
        Field(description="fast survives a killed process; strict also a power failure, and waits for the disk"),
    ] = "fast"


class ServerSection(Section):
    """A database or cache; its address holds a password, so it stands elsewhere."""

    url_env: Annotated[
        EnvironmentName | None, Field(description="environment variable that holds the connection's URL")
    ] = None
    url_file: Annotated[Text | None, Field(description="file that holds the connection's URL")] = None

    @model_validator(mode="after")
    def _one_address(self) -> "ServerSection":
        if self.url_env and self.url_file:
            raise fault("expected url_env or url_file, got both", "url_file")
        if not self.url_env and not self.url_file:
            raise fault("expected url_env or url_file, which says where the connection's URL is found")
        return self


def _require_driver(package: str) -> None:
    """Complain if an installation without the extra `shared` is told to use what it lacks."""
    if find_spec(package) is None:
        raise fault(f"it needs {package}, which is not installed: pip install 'penstock[shared]'")


class PostgresSection(ServerSection):
    """Ledger and keys."""

    @model_validator(mode="after")
    def _has_driver(self) -> "PostgresSection":
        _require_driver("psycopg")
        return self


class OutageSection(Section):
    """What each process sets aside of every budget while Redis is there, to go on with while it is not."""

    per_mille: Annotated[int, Field(ge=1, le=100, description="of the budget's limit, by each process")] = 20
    at_most_usd: Annotated[LimitUsd, Field(description="of one budget, by each process")] = Decimal(1)


class RedisSection(ServerSection):
    """Holds and limits."""

    when_unreachable: Annotated[
        Literal["closed", "allowance"],
        Field(description="closed: refuse what has a budget or limit; allowance: spend what was set aside beforehand"),
    ] = "closed"
    allowance: Annotated[OutageSection | None, Field(description="only with when_unreachable: allowance")] = None

    @model_validator(mode="after")
    def _has_driver(self) -> "RedisSection":
        _require_driver("redis")
        return self

    @model_validator(mode="after")
    def _is_wanted(self) -> "RedisSection":
        if self.allowance is not None and self.when_unreachable != "allowance":
            raise fault(f"expected when_unreachable: allowance beside it, got {self.when_unreachable}", "allowance")
        return self


class TimeoutsSection(Section):
    connect_s: Annotated[Seconds, Field(description="until the connection stands")] = 5.0
    first_byte_s: Annotated[Seconds, Field(description="from sending the request to the answer's first byte")] = 300.0
    between_bytes_s: Annotated[Seconds, Field(description="longest silence within an answer")] = 120.0


class PricesSection(Section):
    """How the prices that providers tell themselves are kept fresh."""

    refresh_s: Annotated[
        Annotated[float, BeforeValidator(ratio), Field(ge=0, le=86_400)],
        Field(description="how often OpenRouter's /models is read: from 60, or 0 for never"),
    ] = 300.0

    @model_validator(mode="after")
    def _not_too_often(self) -> "PricesSection":
        if 0 < self.refresh_s < _LEAST_REFRESH_S:
            raise fault(f"expected 0 (never) or at least {_LEAST_REFRESH_S}, got {self.refresh_s:g}", "refresh_s")
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
    private_network: Annotated[
        bool | None,
        Field(description="its name may resolve to private addresses; default: if it can resolve to no others"),
    ] = None

    @model_validator(mode="after")
    def _asked_with_each_request(self) -> "ProviderSection":
        if self.kind == "openrouter" and (self.zdr is not None or self.data_collection is not None):
            raise fault(
                "OpenRouter is asked for this with each request that wants it; leave it out here",
                "data_collection" if self.zdr is None else "zdr",
            )
        return self

    @model_validator(mode="after")
    def _one_source(self) -> "ProviderSection":
        if self.api_key_env and self.api_key_file:
            raise fault("expected api_key_env or api_key_file, got both", "api_key_file")
        if self.kind != "openai_compatible" and not self.api_key_env and not self.api_key_file:
            raise fault(f"expected api_key_env or api_key_file: a provider of kind {self.kind} wants a key")
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


class TracesSection(Section):
    """Spans of requests for an OpenTelemetry collector (docs/tracing.md). Without this section there are none."""

    endpoint: Annotated[
        SpansUrl | None,
        Field(description="what spans are posted to; default: what $OTEL_EXPORTER_OTLP_ENDPOINT says"),
    ] = None
    headers_env: Annotated[
        EnvironmentName | None, Field(description="environment variable that holds name=value,… for each delivery")
    ] = None
    headers_file: Annotated[Text | None, Field(description="file that holds them")] = None
    sample_share: Annotated[
        Probability, Field(description="of the requests that come without a trace; of others their client decides")
    ] = 1.0
    to_providers: Annotated[bool, Field(description="send traceparent and tracestate with each call")] = True
    private_network: Annotated[
        bool | None,
        Field(
            description="the collector's name may resolve to private addresses; default: if it can resolve to no others"
        ),
    ] = None

    @model_validator(mode="after")
    def _can_be_sent(self) -> "TracesSection":
        if self.headers_env and self.headers_file:
            raise fault("expected headers_env or headers_file, got both", "headers_file")
        # The parent is looked for first, as a module of a package that is not there is an error.
        if find_spec("opentelemetry") is None or find_spec("opentelemetry.proto") is None:
            raise fault("traces are made by a package that is not installed: pip install 'penstock[otel]'")
        return self


class PromptKeySection(Section):
    """A key of 32 bytes, as 64 hex digits: `openssl rand -hex 32`."""

    id: Annotated[Name, Field(description="what stands beside what it has sealed; never given to another key")]
    key_env: Annotated[EnvironmentName | None, Field(description="environment variable that holds the key")] = None
    key_file: Annotated[Text | None, Field(description="file that holds the key")] = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> "PromptKeySection":
        if (self.key_env is None) == (self.key_file is None):
            raise fault("expected either key_env or key_file")
        return self


class PromptsSection(Section):
    """How what teams ask and are answered is kept, where they opt in (docs/privacy.md)."""

    keys: Annotated[
        list[PromptKeySection], Field(min_length=1, description="newest first: that one seals, and each of them opens")
    ]
    max_bytes: Annotated[
        int, Field(ge=1_024, le=67_108_864, description="of a request, and of an answer; longer ones are cut")
    ] = 1_048_576

    @model_validator(mode="after")
    def _can_be_sealed(self) -> "PromptsSection":
        ids = [key.id for key in self.keys]
        twice = next((each for each in ids if ids.count(each) > 1), None)
        if twice is not None:
            raise fault(f"expected an id of its own for each key, got '{twice}' twice", "keys")
        if find_spec("cryptography") is None:
            raise fault("prompts are sealed by a package that is not installed: pip install 'penstock[prompts]'")
        return self


class LogsSection(Section):
    """What is written to standard error (docs/tracing.md#logs)."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="the least that is written")] = (
        "info"
    )
    format: Annotated[
        Literal["auto", "text", "json"], Field(description="auto: text on a terminal, JSON anywhere else")
    ] = "auto"
    requests: Annotated[bool, Field(description="a line for each request, made of its ledger entry")] = False


class OverloadSection(Section):
    """What one process bears; beyond it requests are turned away, by shares of their teams (docs/overload.md)."""

    under_way: Annotated[
        Count | None,
        Field(description="requests at a time, of one process; default: by its open files, at most 10,000"),
    ] = None
    memory_bytes: Annotated[
        Count | None, Field(description="of all workers together; default: what the control group or the machine has")
    ] = None


class PenstockFile(Section):
    """`penstock.yaml`: where Penstock listens, keeps its state, and whom it can ask."""

    listen: Annotated[Address, Field(description="host:port of the OpenAI API")] = "127.0.0.1:8000"
    trusted_proxies: Annotated[
        list[NetworkText], Field(description="networks of balancers whose X-Forwarded-For is believed; default: none")
    ] = []
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
    traces: Annotated[TracesSection | None, Field(description="spans for OpenTelemetry; default: none")] = None
    logs: LogsSection = LogsSection()
    overload: OverloadSection = OverloadSection()
    prompts: Annotated[
        PromptsSection | None, Field(description="keys for what teams have kept of their requests; default: none")
    ] = None
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
            raise fault(
                "expected `postgres` beside it, got none: counters that Redis has lost are rebuilt from the ledger, "
                "and a SQLite file holds only what one machine has spent. Add postgres: {url_env: …} "
                "(docs/money.md), or leave redis out: one process needs neither",
                "redis",
            )
        return self
