"""Whatever stands in a config, it is converted into a valid configuration, told once, and no secret is repeated."""

import tempfile
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from router.cli.litellm.conversion import Conversion, convert
from router.cli.litellm.findings import Findings, Verdict, leaves
from router.cli.litellm.names import names, slug
from router.cli.litellm.providers import prefix_and_name
from router.cli.litellm.report import as_markdown, as_table
from router.cli.litellm.settings import Budget, terms_of
from router.cli.litellm.source import is_on, parse
from router.cli.new_config import NewConfig, shipped_main, shipped_models, write
from router.quotas import Per
from tests.cli.litellm.shapes import SECRET

TODAY = date(2026, 11, 30)
MAIN, MODELS = shipped_main(), shipped_models()

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**14)
    | st.decimals(-1, 10**9, places=7)
    | st.sampled_from(
        [SECRET, "30d", "os.environ/SOME_KEY", f"os.environ/{SECRET}", f"https://u:{SECRET}@h.example/v1", ""]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "model", "*", "type"]), inner, max_size=3)
    ),
    max_leaves=5,
)
MODEL_NAMES = st.sampled_from(["fast", "fast", "gpt-4", "auto", "Two words", "*", "x/*", "other", "a.b@c", "ü"])
MODEL = st.sampled_from(
    [
        "gpt-4o",
        "openai/gpt-4o",
        "openai/gpt-4o-2024-08-06",
        "azure/d",
        "ollama/llama3",
        "groq/llama-3.3-70b-versatile",
        "anthropic/claude-opus-4-7",
        "openrouter/a/b",
        "openrouter/x",
        "deepseek/deepseek-chat",
        "*",
        "openai/*",
        "xai/*",
        "openai/text-embedding-3-small",
        "whisper-1",
        "no-such",
        "hosted_vllm/Ünder (score)",
        "openai/a b/c:d",
        "\x1b[2J",
    ]
)
PARAMS = st.sampled_from(
    [
        "api_key",
        "api_base",
        "weight",
        "order",
        "rpm",
        "max_tokens",
        "stream_timeout",
        "reasoning_effort",
        "timeout",
        "input_cost_per_token",
        "output_cost_per_token",
        "output_cost_per_token_above_200k_tokens",
        "aws_x",
        "tomorrow",
    ]
)
INFO = st.sampled_from(
    ["mode", "base_model", "max_input_tokens", "max_output_tokens", "supports_vision", "id", "tomorrow"]
)
ENTRY = st.fixed_dictionaries(
    {"model_name": MODEL_NAMES},
    optional={
        "litellm_params": st.builds(
            lambda model, more: {"model": model, **more}, MODEL, st.dictionaries(PARAMS, VALUES, max_size=5)
        ),
        # What stands where the name of a model belongs is told as a name.
        "model_info": st.dictionaries(INFO, VALUES, max_size=4).filter(
            lambda info: SECRET not in str(info.get("base_model"))
        ),
        "tpm": VALUES,
    },
)
SETTING = st.sampled_from(
    [
        "fallbacks",
        "context_window_fallbacks",
        "default_fallbacks",
        "max_budget",
        "budget_duration",
        "cache",
        "cache_params",
        "callbacks",
        "request_timeout",
        "stream_timeout",
        "model_group_alias",
        "default_key_generate_params",
        "tomorrow",
        "max_parallel_requests",
        "max_request_size_mb",
        "master_key",
        "routing_strategy",
        "redis_password",
    ]
)
SETTINGS = st.dictionaries(SETTING, VALUES, max_size=6)
CONFIGS = st.fixed_dictionaries(
    {"model_list": st.lists(ENTRY | VALUES, max_size=5)},
    optional={
        "litellm_settings": SETTINGS,
        "router_settings": SETTINGS,
        "general_settings": SETTINGS,
        "environment_variables": st.dictionaries(st.just("SOME_KEY"), st.just(SECRET)),
        "credential_list": VALUES,
        "guardrails": VALUES,
    },
)


def converted(config: dict[str, object]) -> Conversion:
    return convert(config, team="main", source="l.yaml", main=MAIN, models=MODELS, today=TODAY)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CONFIGS)
@example({"model_list": [{"model_name": "auto", "litellm_params": {"model": "gpt-4o"}}]})  # wants no policy at all
def test_any_config_becomes_a_valid_one_and_every_key_is_told_without_its_secret(config: dict[str, object]) -> None:
    conversion = converted(config)

    report = as_markdown(conversion, source="l.yaml", team="main")
    with tempfile.TemporaryDirectory() as place:
        write(Path(place) / "c", NewConfig(conversion.main, conversion.models, "main", conversion.team_file))
    paths = [finding.path for finding in conversion.findings]
    assert len(paths) == len(set(paths))
    for path, _ in leaves(config):
        assert any(path[:end] in paths for end in range(len(path) + 1))
    texts = (conversion.main, conversion.models, conversion.team_file, report, as_table(conversion), *conversion.to_do)
    assert not any(SECRET in text for text in texts)
    assert "\x1b" not in "".join(texts)


@pytest.mark.parametrize(
    ("called", "makers", "by_weights", "meant"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", ("anthropic",), False, "anthropic/claude-sonnet-4.5"),
        ("claude-3-5-sonnet-20241022", ("anthropic",), False, "anthropic/claude-3.5-sonnet"),
        ("claude-haiku-4-5@20251001", ("anthropic",), False, "anthropic/claude-haiku-4.5"),
        ("gpt-4o-2024-05-13", ("openai",), False, "openai/gpt-4o-2024-05-13"),
        ("gpt-4o-2024-08-06", ("openai",), False, "openai/gpt-4o"),
        ("gpt-3.5-turbo", ("openai",), False, "openai/gpt-3.5-turbo"),
        ("accounts/fireworks/models/llama-v3p3-70b-instruct", (), True, "meta-llama/llama-3.3-70b-instruct"),
        ("llama-3.3-70b-versatile", (), True, "meta-llama/llama-3.3-70b-instruct"),
        ("llama-3.3-70b-versatile", (), False, None),
        ("my-own", (), True, None),
    ],
)
def test_a_model_is_known_by_whatever_a_provider_calls_it(
    called: str, makers: tuple[str, ...], by_weights: bool, meant: str | None
) -> None:
    shipped = parse("", MODELS.encode())
    assert isinstance(shipped, dict)

    assert names(shipped["models"]).meant(called, makers, by_weights=by_weights) == meant


@pytest.mark.parametrize(
    ("model", "custom", "prefix", "name"),
    [
        ("groq/llama", None, "groq", "llama"),
        ("openrouter/openai/gpt-4o", None, "openrouter", "openai/gpt-4o"),
        ("gpt-4o", None, "openai", "gpt-4o"),
        ("claude-opus-4-7", None, "anthropic", "claude-opus-4-7"),
        ("who/knows", None, "who", "knows"),
        ("mystery", None, "", "mystery"),
        ("org/model", "hosted_vllm", "hosted_vllm", "org/model"),
    ],
)
def test_prefixes_tell_the_provider(model: str, custom: str | None, prefix: str, name: str) -> None:
    assert prefix_and_name(model, custom) == (prefix, name)


@pytest.mark.parametrize(
    ("limit", "duration", "budget"),
    [
        (100, "30d", Budget(Decimal(100), Per.MONTH)),
        (100, "1mo", Budget(Decimal(100), Per.MONTH)),
        (100, "24h", Budget(Decimal(100), Per.DAY)),
        (100, "10d", Budget(Decimal(70), Per.WEEK, is_exact=False)),  # 7 of 10 days
        (90, "90d", Budget(Decimal(30), Per.MONTH, is_exact=False)),  # 30 of 90 days
        (100, None, Budget(Decimal(100), Per.MONTH)),
        (100, "soon", None),
        (-1, "1d", None),
    ],
)
def test_a_budget_is_of_the_longest_window_that_is_no_longer(
    limit: int, duration: str | None, budget: Budget | None
) -> None:
    settings_of_it = {"max_budget": limit} | ({} if duration is None else {"budget_duration": duration})

    terms = terms_of({"litellm_settings": settings_of_it}, Findings(), variables=frozenset())

    assert terms.team.budgets == ([] if budget is None else [budget])


def test_what_was_found_of_a_key_is_never_found_again() -> None:
    findings = Findings()
    findings.converted(("a",), "this")

    with pytest.raises(ValueError, match="has a finding"):
        findings.no_equal(("a",), "that")


def test_an_unknown_key_is_told_as_unknown_and_an_empty_one_as_empty() -> None:
    told = {finding.path: finding for finding in Findings().all_of({"a": {"b": 1}, "c": []})}

    assert told["a", "b"].verdict == Verdict.NO_EQUAL
    assert "unknown" in told["a", "b"].what
    assert "nothing is in it" in told["c",].what


def test_weights_are_shares_that_come_to_one() -> None:
    entries = [
        {"model_name": "g", "litellm_params": {"model": f"openai/gpt-5.4{size}", "weight": 1}}
        for size in ("", "-mini", "-nano")
    ]

    team = converted({"model_list": entries}).team_file

    assert 'weights: {"openai/gpt-5.4": 0.3334, "openai/gpt-5.4-mini": 0.3333, "openai/gpt-5.4-nano": 0.3333}' in team


def test_yaml_is_read_as_pyyaml_reads_it_where_configs_rely_on_it() -> None:
    data = parse("f", b"a: &x {k: 20_000, on: yes}\nb: {<<: *x, k: 1}\nc: 0.00000015\nd: 1e-7\n")

    assert data == {
        "a": {"k": 20_000, "on": "yes"},
        "b": {"k": 1, "on": "yes"},
        "c": Decimal("0.00000015"),
        "d": Decimal("1e-7"),
    }
    assert (is_on("yes"), is_on(1), is_on("off"), is_on(None)) == (True, True, False, False)


def test_a_slug_is_never_one_that_is_taken_or_reserved() -> None:
    assert slug("GPT 4o!", ["gpt-4o"]) == "gpt-4o-2"
    assert slug("other") != "other"
    assert slug("ü") == "group"
