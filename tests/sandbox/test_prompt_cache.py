"""What the simulated providers remember of a prompt, and what that saves."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.sandbox import reading
from tests.sandbox.conftest import RunningSandbox, user

GPT = "openai/gpt-5.4"
SONNET = "anthropic/claude-sonnet-4.6"
LONG = {"role": "system", "content": " a" * 2_000}


def usage(sandbox: RunningSandbox, messages: list[Any], model: str = GPT, **fields: object) -> dict[str, Any]:
    return reading.usage(sandbox.ask(model=model, messages=messages, max_tokens=4, **fields))


def cached(sandbox: RunningSandbox, messages: list[Any], model: str = GPT, **fields: object) -> int:
    return int(usage(sandbox, messages, model, **fields)["prompt_tokens_details"]["cached_tokens"])


def test_a_repeated_beginning_is_read_from_the_cache_in_steps_of_128_tokens(sandbox: RunningSandbox) -> None:
    first = cached(sandbox, [LONG, user("One?")])
    second = usage(sandbox, [LONG, user("Two?")])

    assert first == 0
    assert second["prompt_tokens_details"]["cached_tokens"] == 2_003 // 128 * 128
    plain = second["prompt_tokens"] - 1_920
    prompt_usd = plain * Decimal("0.0000025") + 1_920 * Decimal("0.00000025")
    assert second["cost_details"]["upstream_inference_prompt_cost"] == prompt_usd
    assert sandbox.bill_lines()[1]["cached_tokens"] == 1_920


def test_a_growing_conversation_is_read_up_to_its_last_turn(sandbox: RunningSandbox) -> None:
    turns = [LONG, user("One?"), {"role": "assistant", "content": " b" * 1_000}, user("Two?")]
    cached(sandbox, turns)

    assert cached(sandbox, [*turns, {"role": "assistant", "content": "Yes."}, user("Three?")]) >= 2_944


@pytest.mark.parametrize(("words", "expected"), [(1_020, 0), (1_021, 1_024)])
def test_beginnings_under_1024_tokens_are_not_remembered(sandbox: RunningSandbox, words: int, expected: int) -> None:
    beginning = {"role": "system", "content": " a" * words}  # and three tokens of message overhead
    cached(sandbox, [beginning, user("One?")])

    assert cached(sandbox, [beginning, user("Two?")]) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(299, 1_920), (300, 0)])
def test_a_memory_lasts_five_minutes(sandbox: RunningSandbox, seconds: int, expected: int) -> None:
    cached(sandbox, [LONG, user("One?")])
    sandbox.clock.advance(timedelta(seconds=seconds))

    assert cached(sandbox, [LONG, user("Two?")]) == expected


def test_a_memory_belongs_to_one_model_one_account_and_one_set_of_tools(sandbox: RunningSandbox) -> None:
    cached(sandbox, [LONG, user("One?")])
    tools = [{"type": "function", "function": {"name": "look"}}]

    assert cached(sandbox, [LONG, user("Two?")], "openai/gpt-5.5") == 0
    assert cached(sandbox, [LONG, user("Two?")], tools=tools) == 0
    other = sandbox.post(
        {"model": GPT, "messages": [LONG, user("Two?")]}, headers={"authorization": "Bearer sk-or-v1-other"}
    )
    assert other.json()["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


def marked(text: str, role: str = "system") -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]}


def test_explicit_caches_do_nothing_without_a_mark(sandbox: RunningSandbox) -> None:
    cached(sandbox, [LONG, user("One?")], SONNET)

    details = usage(sandbox, [LONG, user("Two?")], SONNET)["prompt_tokens_details"]
    assert (details["cached_tokens"], details["cache_write_tokens"]) == (0, 0)


def test_explicit_caches_charge_for_writing_then_read_exactly(sandbox: RunningSandbox) -> None:
    system = marked(" a" * 2_000)
    beginning = 2_000 * 122 // 100 + 3

    first = usage(sandbox, [system, user("One?")], SONNET)
    second = usage(sandbox, [system, user("Two?")], SONNET)

    assert first["prompt_tokens_details"]["cache_write_tokens"] == beginning
    assert second["prompt_tokens_details"]["cached_tokens"] == beginning
    assert second["prompt_tokens_details"]["cache_write_tokens"] == 0
    rest = first["prompt_tokens"] - beginning
    prompt_usd = beginning * Decimal("0.00000375") + rest * Decimal("0.000003")
    assert first["cost_details"]["upstream_inference_prompt_cost"] == prompt_usd


def test_a_mark_may_move_to_the_next_turn(sandbox: RunningSandbox) -> None:
    text = " a" * 2_000
    plain = {"role": "system", "content": [{"type": "text", "text": text}]}
    usage(sandbox, [marked(text), user("One?")], SONNET)

    details = usage(sandbox, [plain, marked("Two?", "user")], SONNET)["prompt_tokens_details"]

    assert details["cached_tokens"] == 2_443
    assert 0 < details["cache_write_tokens"] < 20


def test_a_mark_on_the_request_caches_the_whole_prompt(sandbox: RunningSandbox) -> None:
    asked = {"cache_control": {"type": "ephemeral"}}
    usage(sandbox, [LONG, user("One?")], SONNET, **asked)

    assert cached(sandbox, [LONG, user("One?")], SONNET, **asked) > 2_443
