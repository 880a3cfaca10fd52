"""`/v1/models`: OpenAI's members and OpenRouter's, valid under OpenRouter's own file, at the prices in force."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from router.catalog.catalog import Catalog, DeploymentId, ModelName
from router.config.loader import load
from router.config.snapshot import Snapshot
from router.keys import Caller, KeyId, TeamName
from router.server.auth import CALLER
from router.server.models import Models
from tests.replacing import replace
from tests.server.asgi import Answer, scope_of

CHECKOUT = Path(__file__).resolve().parents[2]
FILE = json.loads((CHECKOUT / "tests" / "sandbox" / "data" / "openrouter_schemas.json").read_text())
LIST = jsonschema_rs.Draft202012Validator({**FILE["answers"]["GET /models"]["200"], "components": FILE["components"]})
ENTRY = jsonschema_rs.Draft202012Validator({"$ref": "#/components/schemas/Model", "components": FILE["components"]})
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
FLASH = "deepseek/deepseek-v4-flash"

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def shipped() -> Snapshot:
    return load(CHECKOUT / "config", environment={})


async def asked(
    snapshot: Snapshot,
    model_id: str | None = None,
    *,
    team: str = "search",
    catalog: Catalog | None = None,
    unavailable: frozenset[DeploymentId] = frozenset(),
) -> Answer:
    models = Models(snapshot, catalog=lambda: catalog or snapshot.catalog, now=lambda: NOON, unavailable=unavailable)
    answer = Answer()
    scope = scope_of("/v1/models")
    scope[CALLER] = Caller(TeamName(team), KeyId("k"))
    if model_id is not None:
        scope["path_params"] = {"model_id": model_id}

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
        answer.messages.append(message)

    await models(scope, receive, send)
    return answer


async def entry(snapshot: Snapshot, name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - as `asked` takes them
    answer = await asked(snapshot, name, **more)
    assert answer.status == 200
    return answer.json


@pytest.mark.parametrize("team", ["search", "research"])
async def test_the_list_is_what_openrouters_own_clients_expect(shipped: Snapshot, team: str) -> None:
    listed: Any = (await asked(shipped, team=team)).json

    assert [f"{each.instance_path}: {each.message}" for each in LIST.iter_errors(listed)] == []
    assert (listed["object"], listed["total_count"], listed["links"]) == ("list", len(listed["data"]), {"next": None})


async def test_each_entry_is_found_by_its_id_and_says_the_same(shipped: Snapshot) -> None:
    listed: Any = (await asked(shipped)).json

    for each in listed["data"]:
        assert list(each)[:4] == ["id", "object", "created", "owned_by"]
        assert await entry(shipped, each["id"]) == each
        assert ENTRY.is_valid(each)


async def test_a_team_sees_its_aliases_and_the_models_that_it_may_use(shipped: Snapshot) -> None:
    listed: Any = (await asked(shipped, team="research")).json
    team = shipped.teams[TeamName("research")]

    names = [each["id"] for each in listed["data"]]
    assert names == [*team.aliases, *sorted(team.models())]
    assert (await asked(shipped, "openai/gpt-5.4-nano", team="research")).error["code"] == "model_not_found"


async def test_a_model_is_shown_at_the_cheapest_deployment_that_can_be_asked(shipped: Snapshot) -> None:
    at_openrouter = await entry(shipped, FLASH)
    elsewhere = await entry(shipped, FLASH, unavailable=frozenset({DeploymentId(f"openrouter:{FLASH}")}))

    assert at_openrouter["pricing"] == {
        "prompt": "0.000000105",
        "completion": "0.00000021",
        "input_cache_read": "0.000000021",
        "input_cache_write": "0.000000105",
    }
    assert elsewhere["pricing"]["prompt"] == "0.00000015"
    assert at_openrouter["context_length"] == 1_048_576
    assert at_openrouter["top_provider"]["max_completion_tokens"] == 65_536
    assert at_openrouter["created"] == int(datetime(2026, 4, 24, tzinfo=UTC).timestamp())
    assert at_openrouter["supported_parameters"] == [
        "include_reasoning",
        "max_tokens",
        "reasoning",
        "reasoning_effort",
        "response_format",
        "structured_outputs",
        "tool_choice",
        "tools",
    ]
    assert at_openrouter["reasoning"] == {
        "mandatory": False,
        "supported_efforts": ["xhigh", "high"],
        "default_effort": "high",
    }


async def test_prices_are_those_in_force(shipped: Snapshot) -> None:
    name = ModelName(FLASH)
    dearer = tuple(
        replace(each, prices=shipped.catalog.of(ModelName("openai/gpt-5.4"))[0].prices)
        for each in shipped.catalog.of(name)
    )
    catalog = replace(shipped.catalog, deployments={**shipped.catalog.deployments, name: dearer})

    assert (await entry(shipped, FLASH, catalog=catalog))["pricing"]["prompt"] == "0.0000025"


async def test_long_prompts_that_cost_more_are_told_as_openrouter_tells_them(shipped: Snapshot) -> None:
    pricing = (await entry(shipped, "openai/gpt-5.4"))["pricing"]

    (override,) = pricing["overrides"]
    assert override["min_prompt_tokens"] == 272_000
    assert float(override["prompt"]) == 2 * float(pricing["prompt"])


async def test_an_alias_of_a_policy_is_shown_at_the_most_that_any_of_its_models_costs(shipped: Snapshot) -> None:
    shown = await entry(shipped, "auto")

    assert shown["owned_by"] == "search"
    assert shown["pricing"] == {"prompt": "0.000005", "completion": "0.000025"}  # Opus
    assert shown["penstock"]["policy"] == "balanced"
    assert {FLASH, "openai/gpt-5.4-nano"} <= set(shown["penstock"]["models"])  # the latter by a rule
    least = shown["penstock"]["least_pricing"]
    assert float(least["prompt"]) <= 0.000000105
    assert shown["context_length"] == 1_050_000
    assert shown["architecture"]["modality"] == "text+image->text"


async def test_an_alias_of_one_model_is_shown_as_that_model(shipped: Snapshot) -> None:
    alias, model = await entry(shipped, "opus"), await entry(shipped, "anthropic/claude-opus-4.7")

    for name in ("pricing", "context_length", "architecture", "created", "supported_parameters"):
        assert alias[name] == model[name]
    assert alias["penstock"]["policy"] is None


async def test_a_model_for_embeddings_says_so(shipped: Snapshot) -> None:
    shown = await entry(shipped, "embed")

    assert shown["architecture"]["modality"] == "text->embeddings"
    assert shown["architecture"]["output_modalities"] == ["embeddings"]
    assert shown["top_provider"]["max_completion_tokens"] is None
    assert shown["supported_parameters"] == []
    assert shown["penstock"]["apis"] == ["embeddings"]


async def test_a_price_that_nobody_knows_is_openrouters_word_for_none(shipped: Snapshot) -> None:
    pricing = (await entry(shipped, "embed-open"))["pricing"]

    assert pricing == {"prompt": "-1", "completion": "-1"}
