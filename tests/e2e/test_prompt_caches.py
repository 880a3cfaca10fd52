"""A conversation stays where its prompt is cached, over real sockets, and the provider says that it was."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import Proxy, Sandbox, running_proxy
from tests.waiting import eventually

_LITE, _NANO = "google/gemini-3.1-flash-lite", "openai/gpt-5.4-nano"
# Nano lists a fifth cheaper for input and for output; Flash-Lite's cached input is cheaper than nano's uncached.
_POLICY = f"""
aliases:
  close: {{policy: close}}
  lite: {{model: {_LITE}}}
policies:
  close:
    candidates: [{_NANO}, {_LITE}]
"""


@pytest.fixture(scope="module")
def close(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    def edit(config: Path) -> None:
        (config / "teams" / "close.yaml").write_text(f"team: close\n{_POLICY}")

    with running_proxy(tmp_path_factory.mktemp("close"), sandbox.base_url, edit=edit) as proxy:
        yield proxy


def opening(topic: str) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": f"You know everything about {topic}. " + "It is a long story. " * 2_000},
        {"role": "user", "content": f"What is a {topic}?"},
    ]


def asked(proxy: Proxy, model: str, messages: list[dict[str, Any]], **members: object) -> httpx2.Response:
    reply = proxy.chat("close", {"model": model, "messages": messages, **members})
    assert reply.status_code == 200, reply.text
    return reply


def foreseen(proxy: Proxy, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What a dry run says: each candidate's model with the tokens it expects to be cached, in order of preference."""
    reply = proxy.chat("close", {"model": "close", "messages": messages}, x_penstock_dry_run="1").json()
    return {candidate["model"]: candidate["cached_tokens"] for candidate in reply["candidates"]}


@pytest.mark.parametrize("is_streamed", [False, True])
def test_the_second_turn_is_expected_cached_stays_and_is_reported_cached(close: Proxy, is_streamed: bool) -> None:
    first = opening(f"penstock ({is_streamed=})")
    second = [*first, {"role": "assistant", "content": "A gate."}, {"role": "user", "content": "And a sluice?"}]
    assert list(foreseen(close, second)) == [_NANO, _LITE]  # where nothing is cached, the list price decides

    asked(close, "lite", first)
    eventually(lambda: list(foreseen(close, second)) == [_LITE, _NANO], within_s=5)
    expected = foreseen(close, second)[_LITE]
    reply = asked(close, "close", second, stream=is_streamed, stream_options={"include_usage": True})

    usage = json.loads(reply.text.split("\n\n")[-3].removeprefix("data: ") if is_streamed else reply.text)["usage"]
    assert reply.headers["x-penstock-model"] == _LITE
    assert expected > 9_000
    assert usage["prompt_tokens_details"]["cached_tokens"] == pytest.approx(expected, rel=0.05)
    assert foreseen(close, second)[_NANO] == 0


def test_openrouter_gets_one_session_for_all_turns_of_a_conversation_and_the_clients_own_if_it_has_one(
    close: Proxy, sandbox: Sandbox
) -> None:
    first = opening("sluice")
    names = []
    for messages in (first, [*first, {"role": "assistant", "content": "A gate."}, first[1]], opening("weir")):
        asked(close, "lite", messages)
        names.append(sandbox.last_request()["session_id"])
    asked(close, "lite", first, session_id="mine")
    own = sandbox.last_request()["session_id"]
    close.chat("close", {"model": "lite", "messages": first}, x_session_id="header's")

    assert names[0] == names[1] != names[2]
    assert (own, sandbox.last_request()["session_id"]) == ("mine", "header's")
