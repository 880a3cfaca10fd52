"""Who pays when the client hangs up, and when the bill is written."""

import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from router.sandbox.json_text import encode
from router.sandbox.stock import STOCK
from tests.sandbox import reading
from tests.sandbox.conftest import KEY, RunningSandbox, StartSandbox, user

STOPS = "deepseek/deepseek-v4-flash"  # at DeepInfra, where a cancel ends the charge
GOES_ON = "anthropic/claude-haiku-4.5"  # at Amazon Bedrock, where it does not
STALL = "Explain how a penstock works. [sandbox:fault=stall]"


@contextmanager
def open_stream(sandbox: RunningSandbox, model: str, text: str) -> Iterator[tuple[httpx2.Response, Iterator[str]]]:
    body = {"model": model, "messages": [user(text)], "stream": True}
    with sandbox.http.stream("POST", "/api/v1/chat/completions", json=body) as response:
        yield response, response.iter_lines()


def hang_up_after_the_first_chunk(sandbox: RunningSandbox, model: str, text: str) -> str:
    """Reads up to the first piece of content, hangs up, and gives the generation's id."""
    with open_stream(sandbox, model, text) as (response, lines):
        next(line for line in lines if line.startswith("data: "))
        return str(response.headers["x-generation-id"])


def test_a_hang_up_ends_the_charge_where_the_provider_stops(sandbox: RunningSandbox) -> None:
    generation_id = hang_up_after_the_first_chunk(sandbox, STOPS, STALL)

    (line,) = sandbox.wait_for_bill_lines(1)
    assert (line["id"], line["cancelled"], line["streamed"]) == (generation_id, True, True)
    assert line["completion_tokens"] > 0
    assert line["nano_usd"] == line["prompt_tokens"] * 105 + line["completion_tokens"] * 210


def test_a_hang_up_does_not_end_the_charge_where_the_provider_goes_on(start_sandbox: StartSandbox) -> None:
    with start_sandbox(time_scale=0.2) as sandbox:
        complete = reading.usage(sandbox.ask("Rivers, briefly.", model=GOES_ON))
        sandbox.http.delete("/sandbox/bill")

        hang_up_after_the_first_chunk(sandbox, GOES_ON, "Rivers, briefly.")

        (line,) = sandbox.wait_for_bill_lines(1)
    assert line["cancelled"] is True
    assert line["completion_tokens"] == complete["completion_tokens"]


def test_a_client_is_billed_for_no_less_than_it_received(start_sandbox: StartSandbox) -> None:
    with start_sandbox(time_scale=1.0) as sandbox:
        with open_stream(sandbox, STOPS, "Explain rivers in detail.") as (_, lines):
            received = [next(line for line in lines if '"content":' in line) for _ in range(3)]

        (line,) = sandbox.wait_for_bill_lines(1)
    assert line["cancelled"] is True
    assert line["completion_tokens"] >= 3 * len(received)  # a chunk of three words has at least three tokens


def test_a_whole_answer_is_billed_in_full_even_if_nobody_waits_for_it(sandbox: RunningSandbox) -> None:
    complete = reading.usage(sandbox.ask("Explain how a penstock works."))
    sandbox.http.delete("/sandbox/bill")

    send_and_hang_up(sandbox, {"model": STOPS, "messages": [user("Explain how a penstock works.")]})

    (line,) = sandbox.wait_for_bill_lines(1)
    assert (line["streamed"], line["completion_tokens"]) == (False, complete["completion_tokens"])


def send_and_hang_up(sandbox: RunningSandbox, body: dict[str, Any]) -> None:
    address, content = urlsplit(sandbox.url), encode(body)
    head = (
        f"POST /api/v1/chat/completions HTTP/1.1\r\nhost: {address.netloc}\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.sendall(head.encode() + content)


def test_a_stall_before_the_headers_costs_nothing(sandbox: RunningSandbox) -> None:
    body = {"model": STOPS, "messages": [user("Hi [sandbox:fault=stall-before-headers]")], "stream": True}

    with pytest.raises(httpx2.ReadTimeout):
        sandbox.http.post("/api/v1/chat/completions", json=body, timeout=0.2)

    assert sandbox.bill_lines() == []


def test_a_generation_has_no_record_until_its_billing_has_ended(sandbox: RunningSandbox) -> None:
    with open_stream(sandbox, STOPS, STALL) as (response, lines):
        next(line for line in lines if line.startswith("data: "))
        generation_id = response.headers["x-generation-id"]
        early = sandbox.http.get("/api/v1/generation", params={"id": generation_id})

    (line,) = sandbox.wait_for_bill_lines(1)
    late = sandbox.http.get("/api/v1/generation", params={"id": generation_id})
    assert early.status_code == 404
    record = reading.exact_json(late)["data"]
    assert (record["id"], record["cancelled"], record["provider_name"]) == (generation_id, True, "DeepInfra")
    assert reading.nano_usd(record["total_cost"]) == line["nano_usd"]
    assert record["native_tokens_completion"] == line["completion_tokens"]


def test_the_bill_is_written_before_the_usage_is_sent(sandbox: RunningSandbox) -> None:
    for number in range(20):
        with open_stream(sandbox, STOPS, f"Question {number}, briefly.") as (response, lines):
            next(line for line in lines if '"usage":' in line)
            on_the_bill = {line["id"] for line in sandbox.bill_lines()}

            assert response.headers["x-generation-id"] in on_the_bill


def test_the_bill_is_the_sum_of_what_was_reported(sandbox: RunningSandbox) -> None:
    dice = random.Random(20261123)
    reported = 0
    for number in range(200):
        offer = dice.choice(STOCK.offers)
        response = sandbox.ask(
            f"Question {number % 40}: {'water ' * dice.choice([1, 40, 2_000])}briefly?",
            model=offer.id,
            stream=dice.random() < 0.5,
            max_tokens=dice.choice([5, 60, 400]),
            n=dice.choice([1, 1, 1, 2]),
            reasoning_effort=dice.choice(["low", "high"]),
        )
        reported += reading.nano_usd(reading.usage(response)["cost"])

    bill = sandbox.bill()
    assert len(bill["generations"]) == 200
    assert sum(line["nano_usd"] for line in bill["generations"]) == bill["total_nano_usd"] == reported
    assert any(line["cached_tokens"] for line in bill["generations"])


def test_time_passes_as_the_model_takes_it(start_sandbox: StartSandbox) -> None:
    temper = next(offer for offer in STOCK.offers if offer.id == STOPS).temper
    with start_sandbox(time_scale=0.5) as sandbox:
        started = time.monotonic()
        tokens = reading.usage(sandbox.ask("Rivers, briefly.", stream=True))["completion_tokens"]
        took_s = time.monotonic() - started

    assert took_s >= 0.5 * (temper.time_to_first_token_s + tokens / temper.tokens_per_s)
