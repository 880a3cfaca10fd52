"""The configuration in `config/` loads, is priced as it was when it was made, and chooses what its comments say."""

import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import TASK_FALLBACKS, Capability, ModelName, Task
from router.config.editor_schemas import editor_schemas, write
from router.config.loader import load, warnings
from router.config.snapshot import Snapshot
from router.config.yaml_source import parse
from router.decision.decide import decide
from router.decision.facts import Conditions, RequestProfile
from router.keys import TeamName
from router.quality.predictor import TablePredictor

CONFIG = Path(__file__).parents[2] / "config"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FILES = ["penstock.yaml", "models.yaml", "teams/search.yaml", "teams/research.yaml"]

LAUNCH = {
    "deepseek/deepseek-v4-flash": ("0.14", "0.28"),
    "openai/gpt-5.4-nano": ("0.20", "1.25"),
    "google/gemini-3.1-flash-lite": ("0.25", "1.50"),
    "google/gemini-3-flash-preview": ("0.50", "3"),
    "openai/gpt-5.4-mini": ("0.75", "4.50"),
    "anthropic/claude-haiku-4.5": ("1", "5"),
    "deepseek/deepseek-v4-pro": ("1.74", "3.48"),
    "google/gemini-3.1-pro-preview": ("2", "12"),
    "openai/gpt-5.4": ("2.50", "15"),
    "anthropic/claude-sonnet-4.6": ("3", "15"),
    "anthropic/claude-opus-4.7": ("5", "25"),
    "openai/gpt-5.5": ("5", "30"),
}


@pytest.fixture(scope="module")
def shipped() -> Snapshot:
    return load(
        CONFIG, environment={"OPENROUTER_API_KEY": "a", "DEEPSEEK_API_KEY": "b", "PENSTOCK_ADMIN_TOKEN": "c" * 20}
    )


def usd_per_mtok(snapshot: Snapshot, deployment: str, now: datetime) -> tuple[Decimal, Decimal, Decimal]:
    [found] = [candidate for candidate in snapshot.catalog if candidate.id == deployment]
    price = found.prices.at(now)
    assert price is not None
    return price.base.input.scaleb(6), price.base.output.scaleb(6), price.base.cached_input.scaleb(6)


def test_the_one_warning_is_of_a_price_that_only_openrouters_own_list_tells(shipped: Snapshot) -> None:
    (warning,) = warnings(shipped)

    assert warning.startswith("openrouter:qwen/qwen3-embedding-8b has no price")
    assert warning.endswith("so it is not chosen before OpenRouter's own list has been read")


def test_it_loads_with_less_than_half_a_second_of_work() -> None:
    started = time.process_time()

    load(CONFIG, environment={})

    assert time.process_time() - started < 0.5


EMBEDDING_MODELS = {"openai/text-embedding-3-small", "openai/text-embedding-3-large", "qwen/qwen3-embedding-8b"}


def test_the_catalog_holds_the_fifteen_launch_models(shipped: Snapshot) -> None:
    others = {"deepseek/deepseek-v3.2", "moonshotai/kimi-k2.6", "z-ai/glm-5.1"}

    assert set(shipped.catalog.deployments) == {*LAUNCH, *others, *EMBEDDING_MODELS}


def test_every_deployment_has_a_price_today_but_one_that_openrouters_list_of_embedding_models_tells(
    shipped: Snapshot,
) -> None:
    unpriced = [deployment.id for deployment in shipped.catalog if deployment.prices.at(NOON) is None]

    assert unpriced == ["openrouter:qwen/qwen3-embedding-8b"]


def test_every_model_is_rated_with_a_source_for_every_kind_of_task_that_no_other_stands_in_for(
    shipped: Snapshot,
) -> None:
    for deployment in shipped.catalog:
        if deployment.model.name in EMBEDDING_MODELS:
            assert not deployment.model.quality
            continue
        rated = {*deployment.model.quality, *deployment.model.quality_at}
        assert rated >= set(Task) - set(TASK_FALLBACKS)
        assert all(score.source for score in deployment.model.quality.values())


@pytest.mark.parametrize("model", LAUNCH)
def test_at_launch_the_models_cost_what_was_announced(shipped: Snapshot, model: str) -> None:
    at_launch = usd_per_mtok(shipped, f"openrouter:{model}", datetime(2026, 4, 24, tzinfo=UTC))

    assert at_launch[:2] == tuple(map(Decimal, LAUNCH[model]))


@pytest.mark.parametrize(
    ("deployment", "now", "usd"),
    [
        ("openrouter:deepseek/deepseek-v4-flash", datetime(2026, 7, 15, tzinfo=UTC), ("0.09", "0.18", "0.018")),
        ("openrouter:deepseek/deepseek-v4-pro", datetime(2026, 7, 15, tzinfo=UTC), ("0.435", "0.87", "0.003625")),
        ("openrouter:moonshotai/kimi-k2.6", datetime(2026, 7, 15, tzinfo=UTC), ("0.68", "3.41", "0.34")),
        ("openrouter:z-ai/glm-5.1", datetime(2026, 7, 15, tzinfo=UTC), ("0.98", "3.08", "0.182")),
        ("openrouter:deepseek/deepseek-v4-flash", datetime(2026, 10, 19, tzinfo=UTC), ("0.091", "0.182", "0.0182")),
        ("openrouter:deepseek/deepseek-v4-flash", NOON, ("0.105", "0.21", "0.021")),
        ("openrouter:deepseek/deepseek-v4-pro", NOON, ("1.416", "2.832", "0.118")),
        ("deepseek:deepseek/deepseek-v4-flash", NOON, ("0.15", "0.6", "0.003")),
        ("deepseek:deepseek/deepseek-v4-flash", NOON.replace(hour=2), ("0.3", "1.2", "0.006")),
    ],
)
def test_later_prices_are_those_that_were_seen(
    shipped: Snapshot, deployment: str, now: datetime, usd: tuple[str, str, str]
) -> None:
    assert usd_per_mtok(shipped, deployment, now) == tuple(map(Decimal, usd))


def profile(
    alias: str, task: Task, *, input_tokens: int = 500, needs: frozenset[Capability] = frozenset()
) -> RequestProfile:
    return RequestProfile(
        alias=alias,
        input_tokens=input_tokens,
        input_bytes=4 * input_tokens + 300,
        images=len(needs & {Capability.IMAGE_INPUT}),
        max_output_tokens=None,
        choices=1,
        needs=needs,
        task=task,
        has_unbounded_parts=False,
        asks_one_hour_cache=False,
        is_stream=True,
    )


def chosen(snapshot: Snapshot, team: str, request: RequestProfile) -> ModelName | None:
    policy = snapshot.teams[TeamName(team)].aliases[request.alias]
    decision = decide(request, policy, snapshot.catalog, Conditions(now=NOON), quality=TablePredictor())
    return decision.chosen.deployment.model.name if decision.chosen else None


@pytest.mark.parametrize(
    ("team", "alias", "task", "model"),
    [
        ("search", "auto", Task.CHAT, "deepseek/deepseek-v4-flash"),
        ("search", "gpt-5.4", Task.CHAT, "deepseek/deepseek-v4-flash"),
        ("search", "auto", Task.EXTRACTION, "deepseek/deepseek-v4-flash"),
        ("search", "auto", Task.WRITING, "deepseek/deepseek-v4-flash"),
        ("search", "auto", Task.TRANSLATION, "deepseek/deepseek-v4-flash"),
        ("search", "auto", Task.SUMMARY, "deepseek/deepseek-v4-flash"),
        ("search", "auto", Task.CLASSIFICATION, "deepseek/deepseek-v4-flash"),
        ("search", "auto", Task.TOOL_CALL, "deepseek/deepseek-v4-flash"),
        ("search", "auto", Task.MATH, "deepseek/deepseek-v4-pro"),
        ("search", "auto", Task.REASONING, "deepseek/deepseek-v4-pro"),
        ("search", "auto", Task.FACTS, "deepseek/deepseek-v4-pro"),
        ("search", "auto", Task.CODE, "deepseek/deepseek-v4-pro"),
        ("search", "auto", Task.AGENT, "openai/gpt-5.4"),
        ("search", "fast", Task.CODE, "deepseek/deepseek-v4-flash"),
        ("search", "opus", Task.CHAT, "anthropic/claude-opus-4.7"),
        ("research", "auto", Task.CHAT, "deepseek/deepseek-v4-pro"),
        ("research", "auto", Task.EXTRACTION, "deepseek/deepseek-v4-flash"),
        ("research", "auto", Task.TOOL_CALL, "deepseek/deepseek-v4-flash"),
        ("research", "auto", Task.MATH, "google/gemini-3.1-pro-preview"),
        ("research", "auto", Task.REASONING, "google/gemini-3.1-pro-preview"),
        ("research", "auto", Task.FACTS, "google/gemini-3.1-pro-preview"),
        ("research", "auto", Task.AGENT, "openai/gpt-5.5"),
        ("research", "auto", Task.CODE, "anthropic/claude-opus-4.7"),
        ("research", "claude-opus-4.7", Task.CODE, "anthropic/claude-opus-4.7"),
        ("research", "pro", Task.CODE, "deepseek/deepseek-v4-pro"),
    ],
)
def test_each_kind_of_task_goes_where_the_comments_say(
    shipped: Snapshot, team: str, alias: str, task: Task, model: str
) -> None:
    assert chosen(shipped, team, profile(alias, task)) == model


@pytest.mark.parametrize(
    ("team", "task", "model"),
    [
        ("search", Task.VISION, "openai/gpt-5.4"),
        ("research", Task.VISION, "google/gemini-3.1-pro-preview"),
    ],
)
def test_images_go_to_a_model_that_sees(shipped: Snapshot, team: str, task: Task, model: str) -> None:
    seeing = profile("auto", task, needs=frozenset({Capability.IMAGE_INPUT}))

    assert chosen(shipped, team, seeing) == model


@pytest.mark.parametrize(
    ("team", "input_tokens", "model"),
    [
        ("search", 200_000, "deepseek/deepseek-v4-flash"),  # Opus may cost too much, and GPT-5.4 does not think
        ("search", 200_001, "deepseek/deepseek-v4-pro"),
        ("research", 200_001, "google/gemini-3.1-pro-preview"),
        ("search", 900_000, "deepseek/deepseek-v4-pro"),
        ("research", 900_000, "google/gemini-3.1-pro-preview"),
    ],
)
def test_long_inputs_go_to_a_model_that_holds_them(shipped: Snapshot, team: str, input_tokens: int, model: str) -> None:
    assert chosen(shipped, team, profile("auto", Task.LONG_CONTEXT, input_tokens=input_tokens)) == model


@given(
    team=st.sampled_from(["search", "research"]),
    task=st.sampled_from(list(Task)),
    input_tokens=st.integers(min_value=1, max_value=900_000),
    sees=st.booleans(),
)
def test_no_usual_request_is_left_without_a_model(
    shipped: Snapshot, team: str, task: Task, input_tokens: int, sees: bool
) -> None:
    needs = frozenset({Capability.IMAGE_INPUT}) if sees else frozenset()

    assert chosen(shipped, team, profile("auto", task, input_tokens=input_tokens, needs=needs)) is not None


@pytest.mark.parametrize("name", editor_schemas())
def test_the_schemas_for_editors_are_up_to_date(name: str) -> None:
    written = (CONFIG / "schemas" / name).read_text(encoding="utf-8")

    assert written == editor_schemas()[name], "run `python -m router.config.editor_schemas`"


def test_the_schemas_can_be_written_anew(tmp_path: Path) -> None:
    write(tmp_path)

    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == editor_schemas()


@pytest.mark.parametrize("file", FILES)
def test_every_file_names_its_schema_in_its_first_line(file: str) -> None:
    path = CONFIG / file
    first_line = path.read_text(encoding="utf-8").splitlines()[0]

    assert (path.parent / first_line.removeprefix("# yaml-language-server: $schema=")).is_file()


def test_the_commented_out_local_model_works_once_uncommented(tmp_path: Path) -> None:
    for file in FILES:
        target = tmp_path / file
        target.parent.mkdir(exist_ok=True)
        lines = (CONFIG / file).read_text(encoding="utf-8").splitlines()
        target.write_text("\n".join(uncommented(lines)), encoding="utf-8")

    snapshot = load(tmp_path, environment={})
    [local] = snapshot.catalog.of(ModelName("local/deepseek-v4-flash-q4"))
    price = local.prices.at(NOON)

    assert price is not None
    assert price.base.input == price.base.output == 0


def uncommented(lines: list[str]) -> list[str]:
    """The lines with the example of a local provider or model uncommented: what looks like YAML from `# local` on."""
    start = next((number for number, line in enumerate(lines) if line.startswith("  # local")), len(lines))
    return lines[:start] + [line.replace("# ", "", 1) for line in lines[start:]]


@pytest.mark.parametrize("file", FILES)
def test_the_shipped_files_are_plain_yaml(file: str) -> None:
    assert parse(file, (CONFIG / file).read_bytes()).problems == ()
