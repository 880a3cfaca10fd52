"""Policies and budgets hold for clients of Anthropic's API as for any other: checks, failover, money."""

import json
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx2
import pytest
from anthropic.types import JSONOutputFormatParam

from tests.e2e.conftest import Proxy, Sandbox, running_proxy, running_sandbox
from tests.waiting import eventually

FLASH, PRO = "deepseek/deepseek-v4-flash", "deepseek/deepseek-v4-pro"
SCHEMA: JSONOutputFormatParam = {
    "type": "json_schema",
    "schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
POLICIES = f"""
policies:
  checked:
    candidates: [{FLASH}, {PRO}]
    verify: [json_schema, non_empty]
    buffer: true
  cheap:
    candidates: [{FLASH}]
"""


def _with_policies(config: Path) -> None:
    team = config / "teams" / "search.yaml"
    text = team.read_text().replace(
        "\naliases:\n", "\naliases:\n  checked: {policy: checked}\n  cheap: {policy: cheap}\n"
    )
    team.write_text(text.replace("\npolicies:\n", POLICIES, 1))


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox") / "log") as sandbox:
        yield sandbox


@pytest.fixture(scope="module", params=["native", "translated"])
def served(
    request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """OpenRouter by either API, and DeepSeek's own server, which speaks chat completions only, behind it."""

    def edited(config: Path) -> None:
        _with_policies(config)
        main = config / "penstock.yaml"
        text = main.read_text().replace("https://api.deepseek.com", f"{sandbox.base_url}/deepseek")
        text = text.replace("DEEPSEEK_API_KEY", "OWN_DEEPSEEK_KEY")
        if request.param == "translated":
            text = text.replace("    kind: openrouter\n", "    kind: openrouter\n    apis: [chat/completions]\n", 1)
        main.write_text(text)

    sandbox.http.delete("/sandbox/bill")
    directory = tmp_path_factory.mktemp(request.param)
    with running_proxy(directory, sandbox.base_url, edit=edited, OWN_DEEPSEEK_KEY="sk-own") as proxy:
        yield proxy
        eventually(lambda: proxy.spend_nano_usd() == sandbox.bill_nano_usd(), within_s=30)


@pytest.fixture
def client(served: Proxy) -> Iterator[anthropic.Anthropic]:
    base_url = served.base_url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=base_url, api_key=served.keys["search"], max_retries=0) as client:
        yield client


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_that_fails_a_check_is_replaced_by_a_better_models(
    client: anthropic.Anthropic, is_stream: bool
) -> None:
    question = f"[sandbox:fault=bad-json@{FLASH}] Which city is this about: the fog of Lisbon."
    with client.messages.with_streaming_response.create(
        model="checked",
        max_tokens=500,
        messages=[{"role": "user", "content": question}],
        output_config={"format": SCHEMA},
        stream=is_stream,
    ) as reply:
        text = reply.read().decode()

        assert reply.headers["x-penstock-model"] == PRO
        assert reply.headers["x-penstock-verified"] == "true"
    if is_stream:
        events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        said = "".join(each["delta"].get("text", "") for each in events if each["type"] == "content_block_delta")
    else:
        said = "".join(block.get("text", "") for block in json.loads(text)["content"])
    assert set(json.loads(said)) == {"city"}


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_another_provider_that_speaks_only_chat_answers_where_the_first_fails(
    client: anthropic.Anthropic, served: Proxy, is_stream: bool
) -> None:
    question = f"[sandbox:fault=503@{FLASH}] Tell me about penstocks."
    with client.messages.with_streaming_response.create(
        model="cheap", max_tokens=500, messages=[{"role": "user", "content": question}], stream=is_stream
    ) as reply:
        text = reply.read().decode()

        assert reply.headers["x-penstock-provider"] == "deepseek"
    assert text.count("message_stop") == (2 if is_stream else 0)


def test_a_budget_that_is_spent_is_a_rate_limit_that_the_sdk_does_not_retry(sandbox: Sandbox, tmp_path: Path) -> None:
    def poor(config: Path) -> None:
        team = config / "teams" / "search.yaml"
        team.write_text(team.read_text().replace("limit_usd: 40,", "limit_usd: 0.000001,"))

    asked: list[httpx2.Request] = []
    with (
        running_proxy(tmp_path, sandbox.base_url, edit=poor) as proxy,
        httpx2.Client(event_hooks={"request": [asked.append]}) as http,
        anthropic.Anthropic(
            base_url=proxy.base_url.removesuffix("/v1"), api_key=proxy.keys["search"], max_retries=3, http_client=http
        ) as client,
        pytest.raises(anthropic.RateLimitError) as refused,
    ):
        client.messages.create(model="auto", max_tokens=100, messages=[{"role": "user", "content": "Hi"}])

    assert len(asked) == 1
    assert refused.value.body["error"]["code"] == "insufficient_quota"  # type: ignore[index]  # an object
    assert refused.value.body["error"]["type"] == "rate_limit_error"  # type: ignore[index]
    assert refused.value.response.headers["x-should-retry"] == "false"
