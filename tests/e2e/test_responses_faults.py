"""Whatever goes wrong behind `/v1/responses`: the client is told how it ended, and the ledger says what is billed."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from router.sandbox.faults import Fault
from tests.e2e.conftest import Proxy, Sandbox, running_proxy, running_sandbox
from tests.e2e.every_fault import every_play, without_breakers, without_rate_limits
from tests.waiting import eventually

FLASH, PRO = "deepseek/deepseek-v4-flash", "deepseek/deepseek-v4-pro"
_ENDS = {"response.completed", "response.incomplete", "response.failed"}
_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "is_coastal": {"type": "boolean"}},
    "required": ["city", "is_coastal"],
    "additionalProperties": False,
}


def _roomy(config: Path) -> None:
    without_breakers(config)
    without_rate_limits(config)
    search = config / "teams" / "search.yaml"
    search.write_text(
        search.read_text().replace(
            "\npolicies:\n",
            f"\npolicies:\n  checked:\n    candidates: [{FLASH}, {PRO}]\n    verify: [json_schema, non_empty]\n"
            "    buffer: true\n",
            1,
        )
    )


def _chat_only(config: Path) -> None:
    _roomy(config)
    main = config / "penstock.yaml"
    main.write_text(main.read_text().replace("kind: openrouter\n", "kind: openrouter\n    apis: [chat/completions]\n"))


EDITS: dict[str, Callable[[Path], None]] = {"native": _roomy, "translated": _chat_only}


@pytest.fixture(scope="module", params=EDITS)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Sandbox]]:
    directory = tmp_path_factory.mktemp("house")
    with (
        running_sandbox(directory / "sandbox.log") as sandbox,
        running_proxy(directory, sandbox.base_url, edit=EDITS[request.param]) as proxy,
    ):
        yield proxy, sandbox


def test_a_fault_is_told_once_and_the_ledger_agrees_with_the_bill(house: tuple[Proxy, Sandbox]) -> None:
    proxy, sandbox = house

    with ThreadPoolExecutor(8) as workers:
        endings = Counter(workers.map(lambda play: _play(proxy, *play), every_play()))

    assert endings.keys() <= {"refused", "whole", *_ENDS}
    assert min(endings["refused"], endings["whole"], endings["response.completed"], endings["response.failed"]) > 3
    eventually(lambda: proxy.spend_nano_usd() == sandbox.bill_nano_usd() > 0, within_s=60)


def _play(proxy: Proxy, fault: Fault, is_stream: bool) -> str:
    """How one call that meets the fault ends for its client."""
    body = {
        "model": PRO,
        "input": f"[sandbox:fault={fault.name}] Tell me about penstocks.",
        "stream": is_stream,
        "max_output_tokens": 300,
    }
    reply = asked(proxy, "research", body)
    if reply.status_code != 200:
        assert isinstance(reply.json()["error"]["code"], str)
        return "refused"
    if not reply.headers["content-type"].startswith("text/event-stream"):
        assert reply.json()["status"] in ("completed", "incomplete")
        return "whole"
    kinds = [line.removeprefix("event: ") for line in reply.text.split("\n") if line.startswith("event: ")]
    assert [kind for kind in kinds if kind in _ENDS] == [kinds[-1]]
    assert kinds.count("error") == (kinds[-1] == "response.failed")
    assert "[DONE]" not in reply.text
    return kinds[-1]


def asked(proxy: Proxy, team: str, body: dict[str, Any]) -> httpx2.Response:
    headers = {"authorization": f"Bearer {proxy.keys[team]}"}
    return proxy.http.post(f"{proxy.base_url}/responses", json=body, headers=headers)


def _earn_retries(proxy: Proxy) -> None:
    """A fifth of one with each request: those that a gateway begins with have gone to the faults played before."""
    for _ in range(15):
        assert asked(proxy, "search", {"model": "auto", "input": "Hi", "max_output_tokens": 20}).status_code == 200


def test_the_next_candidate_answers_when_the_first_fails(house: tuple[Proxy, Sandbox]) -> None:
    proxy, _ = house
    wish: dict[str, Any] = {"model": "auto", "input": f"[sandbox:fault=503@{FLASH}] Tell me about tea."}
    _earn_retries(proxy)

    raw = proxy.client().responses.with_raw_response.create(**wish)
    events = list(proxy.client().responses.create(**wish, stream=True))

    assert raw.parse().output_text
    assert raw.headers["x-penstock-model"] != FLASH
    assert events[-1].type == "response.completed"


def test_an_error_in_place_of_a_stream_is_failed_over_and_the_client_sees_one_response(
    house: tuple[Proxy, Sandbox],
) -> None:
    proxy, _ = house
    wish: dict[str, Any] = {"model": "auto", "input": f"[sandbox:fault=200-error@{FLASH}] Tell me about tea."}
    _earn_retries(proxy)

    events = list(proxy.client().responses.create(**wish, stream=True))

    assert len([each for each in events if each.type == "response.created"]) == 1
    assert events[-1].type == "response.completed"


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_answer_that_fails_a_check_is_replaced_by_a_better_models(
    house: tuple[Proxy, Sandbox], is_stream: bool
) -> None:
    proxy, sandbox = house
    body = {
        "model": "auto",
        "input": f"[sandbox:fault=bad-json@{FLASH}] Which city is this about: the fog came over the harbour of Lisbon.",
        "text": {"format": {"type": "json_schema", "name": "place", "strict": True, "schema": _SCHEMA}},
        "stream": is_stream,
    }

    reply = proxy.http.post(
        f"{proxy.base_url}/responses",
        json=body,
        headers={"authorization": f"Bearer {proxy.keys['search']}", "x-penstock-policy": "checked"},
    )

    assert reply.status_code == 200, reply.text
    assert (reply.headers["x-penstock-model"], reply.headers["x-penstock-verified"]) == (PRO, "true")
    if is_stream:
        lines = [line for line in reply.text.split("\n") if line.startswith("data: ")]
        response = json.loads(lines[-1].removeprefix("data: "))["response"]
    else:
        response = reply.json()
    assert set(json.loads(response["output"][-1]["content"][0]["text"])) == {"city", "is_coastal"}
    eventually(lambda: proxy.spend_nano_usd() == sandbox.bill_nano_usd() > 0, within_s=30)


def test_a_spent_budget_is_refused_as_in_a_chat(tmp_path: Path, sandbox: Sandbox) -> None:
    def poor(config: Path) -> None:
        team = config / "teams" / "search.yaml"
        team.write_text(team.read_text().replace("limit_usd: 40, per: day", "limit_usd: 0.000001, per: day"))

    with running_proxy(tmp_path, sandbox.base_url, edit=poor) as proxy, pytest.raises(openai.RateLimitError) as raised:
        proxy.client().responses.create(model="auto", input="Hi")

    assert raised.value.code == "insufficient_quota"
