"""Ledger entries for tests: one plain entry to vary, and a strategy for any entry there can be."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from router.catalog.catalog import Effort, ModelName, ProviderName
from router.decision.eligibility import Reason
from router.keys import KeyId, TeamName
from router.ledger import Attempt, LedgerEntry, Outcome
from router.units import CostSource, Usage

AT = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)

FLASH = ModelName("deepseek/deepseek-v4-flash")
GPT = ModelName("openai/gpt-5.5")
OPENROUTER = ProviderName("openrouter")
USAGE = Usage(input_tokens=1_000, output_tokens=200, cached_tokens=100, reasoning_tokens=50)


def attempt(
    *,
    model: ModelName = FLASH,
    provider: ProviderName = OPENROUTER,
    outcome: str = "ok",
    usage: Usage | None = USAGE,
    cost_nano_usd: int = 147_000,
    source: CostSource = CostSource.REPORTED,
    verification: str | None = None,
) -> Attempt:
    return Attempt(
        id="req_1.1",
        model=model,
        provider=provider,
        outcome=outcome,
        served_model="deepseek/deepseek-v4-flash-20260423",
        generation_id="gen-1",
        usage=usage,
        held_nano_usd=500_000,
        cost_nano_usd=cost_nano_usd,
        source=source,
        duration_s=2.0,
        verification=verification,
    )


def entry(
    request_id: str = "req_1",
    *attempts: Attempt,
    at: datetime = AT,
    team: str = "search",
    alias: str = "auto",
    outcome: Outcome = Outcome.OK,
    rejected: tuple[tuple[ModelName, str], ...] = (),
    expected_nano_usd: int = 150_000,
    baseline: ModelName | None = GPT,
    baseline_nano_usd: int | None = 11_000_000,
    tags: tuple[str, ...] = (),
) -> LedgerEntry:
    """An entry with one call, unless other calls are given."""
    return LedgerEntry(
        request_id=request_id,
        at=at,
        team=TeamName(team),
        key_id=KeyId("00c0ffee00c0ffee"),
        alias=alias,
        policy="balanced",
        rule="code",
        outcome=outcome,
        attempts=attempts or (attempt(),),
        rejected=rejected,
        profile_json=b'{"input_tokens":980}',
        counted_input_tokens=980,
        expected_nano_usd=expected_nano_usd,
        baseline=baseline,
        baseline_nano_usd=baseline_nano_usd,
        config_version="0123456789ab",
        is_stream=True,
        overhead_s=0.002,
        first_token_s=0.4,
        duration_s=2.5,
        tags=tags,
    )


models = st.sampled_from([FLASH, GPT, ModelName("local/flash-q4")])
_tokens = st.integers(0, 10**6)
_nano_usd = st.integers(0, 10**12)
_moments = st.datetimes(datetime(2026, 11, 20), datetime(2026, 11, 24), timezones=st.just(UTC))  # noqa: DTZ001 - made aware

usages = st.builds(Usage, _tokens, _tokens, _tokens, _tokens, _tokens)

attempts = st.builds(
    Attempt,
    id=st.just("req.1"),
    model=models,
    provider=st.sampled_from([OPENROUTER, ProviderName("deepseek"), ProviderName("local")]),
    outcome=st.sampled_from(["ok", "upstream_503", "upstream_timeout"]),
    served_model=st.none() | st.text(max_size=20),
    generation_id=st.none() | st.text(max_size=20),
    usage=st.none() | usages,
    held_nano_usd=_nano_usd,
    cost_nano_usd=_nano_usd,
    source=st.sampled_from(CostSource),
    duration_s=st.floats(0, 600),
    first_token_s=st.none() | st.floats(0, 60),
    finish_reason=st.none() | st.sampled_from(["stop", "length"]) | st.text(max_size=20),
    version=st.none() | st.text(max_size=20),
    verification=st.sampled_from([None, "passed", "unknown", "json_schema"]),
    held_at=st.none() | _moments,
    effort=st.none() | st.sampled_from(Effort),
)

entries = st.builds(
    LedgerEntry,
    request_id=st.uuids().map(str),
    at=_moments,
    team=st.sampled_from([TeamName("search"), TeamName("ads")]),
    key_id=st.sampled_from([KeyId("aaaaaaaaaaaaaaaa"), KeyId("bbbbbbbbbbbbbbbb")]),
    alias=st.sampled_from(["auto", "code"]),
    policy=st.sampled_from(["balanced", "cheap"]),
    rule=st.none() | st.just("code"),
    outcome=st.sampled_from(Outcome),
    attempts=st.lists(attempts, max_size=4).map(tuple),
    rejected=st.lists(st.tuples(models, st.sampled_from([reason.value for reason in Reason])), max_size=3).map(tuple),
    profile_json=st.just(b"{}"),
    counted_input_tokens=_tokens,
    expected_nano_usd=_nano_usd,
    baseline=st.none() | models,
    baseline_nano_usd=st.none() | _nano_usd,
    config_version=st.just("0123456789ab"),
    is_stream=st.booleans(),
    overhead_s=st.floats(0, 1),
    first_token_s=st.none() | st.floats(0, 60),
    duration_s=st.floats(0, 600),
    conditions_json=st.sampled_from([b"", b'{"version":1,"ranked":[]}']),
    tags=st.lists(st.sampled_from(["app=web", "env=prod", "batch"]), max_size=3).map(tuple),
)

HOUR = timedelta(hours=1)
