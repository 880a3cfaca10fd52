"""`/responses`, `/messages`, `/completions` and `/embeddings`: what they answer, and that it is on the bill."""

import base64
import json
import math
import re
import struct
from decimal import Decimal

import httpx2
import pytest
from openai import OpenAI

from router.sandbox.embeddings import vector
from router.sandbox.faults import FAULTS, Break
from tests.sandbox import reading
from tests.sandbox.conftest import RunningSandbox, user

FLASH, OPUS, GPT = "deepseek/deepseek-v4-flash", "anthropic/claude-opus-4.7", "openai/gpt-5.5"
EMBEDDER = "openai/text-embedding-3-small"
TOOL = {"type": "function", "name": "list_tabs", "description": "Lists the open tabs.", "parameters": {}}


def respond(sandbox: RunningSandbox, /, **fields: object) -> httpx2.Response:
    return sandbox.http.post("/api/v1/responses", json={"model": FLASH, "input": "What is a penstock?"} | fields)


def complete(sandbox: RunningSandbox, /, **fields: object) -> httpx2.Response:
    return sandbox.http.post("/api/v1/completions", json={"model": FLASH, "prompt": "A penstock is"} | fields)


def embed(sandbox: RunningSandbox, /, **fields: object) -> httpx2.Response:
    return sandbox.http.post("/api/v1/embeddings", json={"model": EMBEDDER, "input": "a river"} | fields)


def billed(sandbox: RunningSandbox) -> int:
    return int(sandbox.bill()["total_nano_usd"])


# ----- responses


def test_a_response_is_an_item_and_its_cost_is_on_the_bill(sandbox: RunningSandbox) -> None:
    body = reading.exact_json(respond(sandbox))

    assert (body["object"], body["status"]) == ("response", "completed")
    assert [item["type"] for item in body["output"]] == ["message"]
    assert reading.nano_usd(body["usage"]["cost"]) == billed(sandbox) > 0


def test_a_streamed_response_has_the_recorded_order_of_events(sandbox: RunningSandbox) -> None:
    response = respond(sandbox, stream=True)

    events = reading.chunks(response)
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert set(kinds[4:-4]) == {"output_text.delta"}
    assert kinds[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert "event:" not in response.text
    assert reading.ends_with_done(response)
    assert reading.nano_usd(events[-1]["response"]["usage"]["cost"]) == billed(sandbox)


def test_streamed_and_whole_responses_say_the_same(sandbox: RunningSandbox) -> None:
    *_, last = reading.chunks(respond(sandbox, stream=True))

    assert last["response"]["output"][0]["content"] == respond(sandbox).json()["output"][0]["content"]


@pytest.mark.parametrize(
    ("model", "shown"), [("z-ai/glm-5.1", "content"), (GPT, "encrypted_content"), (OPUS, "signature")]
)
def test_thinking_is_an_item_of_its_own(sandbox: RunningSandbox, model: str, shown: str) -> None:
    events = reading.chunks(respond(sandbox, model=model, reasoning={"effort": "high"}, stream=True))

    *_, last = events
    reasoning, message = last["response"]["output"]
    assert (reasoning["type"], message["type"]) == ("reasoning", "message")
    assert reasoning[shown]
    assert ("response.reasoning_text.delta" in {event["type"] for event in events}) == (model != GPT)
    assert last["response"]["usage"]["output_tokens_details"]["reasoning_tokens"] > 0


def test_a_response_may_call_a_function(sandbox: RunningSandbox) -> None:
    wish = {"tools": [TOOL], "tool_choice": "required"}
    whole, events = respond(sandbox, **wish).json(), reading.chunks(respond(sandbox, **wish, stream=True))

    (call,) = whole["output"]
    assert (call["type"], call["name"]) == ("function_call", "list_tabs")
    said = "".join(e["delta"] for e in events if e["type"] == "response.function_call_arguments.delta")
    assert said == call["arguments"] == events[-1]["response"]["output"][0]["arguments"]


def test_a_response_may_call_a_function_of_a_namespace_and_takes_a_clients_other_tools(sandbox: RunningSandbox) -> None:
    namespace = {"type": "namespace", "name": "browser", "description": "A browser.", "tools": [TOOL]}
    others = [{"type": "custom", "name": "shell"}, {"type": "apply_patch"}]

    body = respond(sandbox, tools=[*others, namespace], tool_choice="required").json()

    assert [(item["type"], item["name"]) for item in body["output"]] == [("function_call", "list_tabs")]


def test_a_tools_output_is_answered_with_a_message(sandbox: RunningSandbox) -> None:
    asked = [
        {"role": "user", "content": [{"type": "input_text", "text": "Which tabs are open?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "list_tabs", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "none"},
    ]

    body = respond(sandbox, input=asked, tools=[TOOL], instructions="Be brief.").json()

    assert [item["type"] for item in body["output"]] == ["message"]


def test_a_response_that_is_too_long_is_incomplete(sandbox: RunningSandbox) -> None:
    *_, last = reading.chunks(respond(sandbox, max_output_tokens=5, stream=True))

    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


@pytest.mark.parametrize(
    ("fault", "last"),
    [("mid-stream-error", "error"), ("choice-error", "response.failed"), ("error-after-finish", "response.failed")],
)
def test_a_response_may_fail_halfway(sandbox: RunningSandbox, fault: str, last: str) -> None:
    *_, before, end = reading.chunks(respond(sandbox, model=f"{FLASH}#{fault}", stream=True))

    assert end["type"] == last
    assert end["sequence_number"] == before["sequence_number"] + 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"previous_response_id": "gen-1"},
        {"input": []},
        {"input": [{"type": "computer_call"}]},
        {"instructions": 7},
        {"tools": [{"type": "web_search"}]},
    ],
)
def test_a_response_request_that_makes_no_sense_is_refused(sandbox: RunningSandbox, wrong: dict[str, object]) -> None:
    assert respond(sandbox, **wrong).status_code == 400


def test_the_official_client_reads_responses(client: OpenAI) -> None:
    whole = client.responses.create(model=FLASH, input="What is a penstock?")
    with client.responses.stream(model="z-ai/glm-5.1", input="What is a penstock?") as stream:
        for _ in stream:
            pass
        streamed = stream.get_final_response()

    assert whole.output_text
    assert streamed.output_text
    assert streamed.usage is not None


# ----- messages


def say(sandbox: RunningSandbox, /, **fields: object) -> httpx2.Response:
    asked = {"model": FLASH, "max_tokens": 400, "messages": [user("What is a penstock?")]}
    return sandbox.http.post("/api/v1/messages", json=asked | fields)


def test_a_message_holds_text_and_its_cost_is_on_the_bill(sandbox: RunningSandbox) -> None:
    body = reading.exact_json(say(sandbox))

    assert (body["type"], body["stop_reason"]) == ("message", "end_turn")
    assert [block["type"] for block in body["content"]] == ["text"]
    assert reading.nano_usd(body["usage"]["cost"]) == billed(sandbox) > 0


def test_a_streamed_message_names_its_events_and_says_the_same(sandbox: RunningSandbox) -> None:
    response = say(sandbox, stream=True)

    events = reading.chunks(response)
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert re.findall("^event: (.*)$", response.text, re.MULTILINE) == kinds
    assert "".join(event["delta"]["text"] for event in events[2:-3]) == say(sandbox).json()["content"][0]["text"]
    assert reading.ends_with_done(response)


def test_a_message_leaves_the_prompt_cache_out_of_its_input(sandbox: RunningSandbox) -> None:
    marked = {"type": "text", "text": "river " * 3_000, "cache_control": {"type": "ephemeral"}}
    asked = {"model": "anthropic/claude-sonnet-4.6", "messages": [{"role": "user", "content": [marked]}]}

    written, read = say(sandbox, **asked).json()["usage"], say(sandbox, **asked).json()["usage"]

    assert (written["cache_creation_input_tokens"], written["cache_read_input_tokens"]) == (
        read["cache_read_input_tokens"],
        read["cache_creation_input_tokens"],
    )
    assert written["cache_creation_input_tokens"] > 3_000 > written["input_tokens"] == read["input_tokens"]


def test_errors_of_messages_are_in_anthropics_shape(sandbox: RunningSandbox) -> None:
    refused = say(sandbox, model="nobody/nothing")

    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "invalid_request_error"
    assert (refused.json()["type"], refused.json()["request_id"]) == ("error", None)


# ----- completions


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_a_completion_goes_on_with_a_prompt(sandbox: RunningSandbox, is_stream: bool) -> None:
    response = complete(sandbox, stream=is_stream)

    parts = reading.chunks(response) if is_stream else [reading.exact_json(response)]
    assert {part["object"] for part in parts} == {"text_completion"}
    assert "".join(choice["text"] for part in parts for choice in part["choices"])
    assert reading.nano_usd(reading.usage(response)["cost"]) == billed(sandbox) > 0


def test_a_prompt_has_no_frame_of_a_chat(sandbox: RunningSandbox) -> None:
    assert complete(sandbox, prompt="river").json()["usage"]["prompt_tokens"] == 1


def test_the_official_client_reads_completions(client: OpenAI) -> None:
    whole = client.completions.create(model=FLASH, prompt="A penstock is", max_tokens=20)
    streamed = client.completions.create(model=FLASH, prompt="A penstock is", max_tokens=20, stream=True)

    assert "".join(choice.text for chunk in streamed for choice in chunk.choices) == whole.choices[0].text


@pytest.mark.parametrize(("prompt", "tokens"), [(["river", "a lake"], 3), ([1, 2, 3], 3), ([[1, 2], [3]], 3)])
def test_several_prompts_and_tokens_can_be_completed(sandbox: RunningSandbox, prompt: object, tokens: int) -> None:
    body = complete(sandbox, prompt=prompt).json()

    assert body["usage"]["prompt_tokens"] == tokens
    assert [each["index"] for each in body["choices"]] == list(range(1 if prompt == [1, 2, 3] else 2))


@pytest.mark.parametrize("prompt", [None, 7, []])
def test_a_prompt_that_is_no_text_is_refused(sandbox: RunningSandbox, prompt: object) -> None:
    assert complete(sandbox, prompt=prompt).status_code == 400


# ----- embeddings


def test_embeddings_come_in_order_and_their_cost_is_on_the_bill(sandbox: RunningSandbox) -> None:
    body = reading.exact_json(embed(sandbox, input=["a river", "a lake"]))

    assert [each["index"] for each in body["data"]] == [0, 1]
    assert [len(each["embedding"]) for each in body["data"]] == [1536, 1536]
    assert body["usage"]["prompt_tokens"] == 4
    assert reading.nano_usd(body["usage"]["cost"]) == billed(sandbox) == 80  # 4 tokens at $0.02 a million
    (line,) = sandbox.bill_lines()
    assert (line["model"], line["completion_tokens"], line["streamed"]) == (EMBEDDER, 0, False)


def test_embeddings_may_be_packed_as_little_endian_floats(sandbox: RunningSandbox) -> None:
    plain = embed(sandbox, dimensions=64).json()["data"][0]["embedding"]
    packed = embed(sandbox, dimensions=64, encoding_format="base64").json()["data"][0]["embedding"]

    assert struct.unpack("<64f", base64.b64decode(packed)) == pytest.approx(plain, abs=1e-6)


def test_texts_that_share_words_are_near_to_one_another() -> None:
    def nearness(a: str, b: str) -> float:
        return sum(x * y for x, y in zip(vector(a, 1536), vector(b, 1536), strict=True))

    assert math.isclose(nearness("a wide river", "a wide river"), 1.0)
    assert nearness("a wide river", "the wide river") > 0.4 > nearness("a wide river", "sorting in Python")


@pytest.mark.parametrize(
    ("value", "tokens"), [([1, 2, 3], 3), ([[1, 2], [3]], 3), ([{"content": [{"type": "text", "text": "river"}]}], 1)]
)
def test_tokens_and_parts_can_be_embedded(sandbox: RunningSandbox, value: object, tokens: int) -> None:
    assert embed(sandbox, input=value).json()["usage"]["prompt_tokens"] == tokens


@pytest.mark.parametrize(
    "wrong",
    [{"input": []}, {"input": None}, {"input": [7.5]}, {"encoding_format": "hex"}, {"dimensions": 0}, {"model": FLASH}],
)
def test_an_embedding_request_that_makes_no_sense_is_refused(sandbox: RunningSandbox, wrong: dict[str, object]) -> None:
    assert embed(sandbox, **wrong).status_code == 400


def test_the_official_client_reads_embeddings(client: OpenAI) -> None:
    answer = client.embeddings.create(model=EMBEDDER, input="a river")

    assert len(answer.data[0].embedding) == 1536


def test_the_embedding_models_are_listed_apart(sandbox: RunningSandbox) -> None:
    models = sandbox.http.get("/api/v1/embeddings/models").json()["data"]

    assert EMBEDDER in {model["id"] for model in models}
    assert {modality for model in models for modality in model["architecture"]["output_modalities"]} == {"embeddings"}


def test_models_are_counted(sandbox: RunningSandbox) -> None:
    assert sandbox.http.get("/api/v1/models/count").json() == {"data": {"count": 15}}


# ----- all of them


@pytest.mark.parametrize("path", ["responses", "messages", "completions", "embeddings"])
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_no_fault_finds_an_endpoint_unprepared(sandbox: RunningSandbox, path: str, is_stream: bool) -> None:
    """Whatever happens, what was said to cost something is what is billed."""
    every: dict[str, dict[str, object]] = {
        "responses": {"model": FLASH, "input": "What is a penstock?"},
        "messages": {"model": FLASH, "max_tokens": 5_000, "messages": [user("What is a penstock?")]},
        "completions": {"model": FLASH, "prompt": "What is a penstock?"},
        "embeddings": {"model": EMBEDDER, "input": "What is a penstock?"},
    }
    asked = every[path]
    for fault in FAULTS.values():
        if fault.breaks in (Break.STALL, Break.STALL_BEFORE_HEADERS) or fault.name == "503-late":
            continue
        try:
            response = sandbox.http.post(
                f"/api/v1/{path}", json=asked | {"stream": is_stream}, headers={"x-sandbox-fault": fault.name}
            )
        except (httpx2.TransportError, httpx2.DecodingError):
            continue
        is_spared = fault.name == "402-reservation" and path == "embeddings"  # there is no output to reserve
        assert (response.status_code == 200) == (fault.failure is None or is_spared), fault.name
        if (cost := _last_cost(response)) is not None:
            assert reading.nano_usd(cost) == _billed_for(sandbox, response), fault.name


def _billed_for(sandbox: RunningSandbox, response: httpx2.Response) -> int:
    """What this answer is billed; the one before may have been hung up on, and is billed when that is noticed."""
    generation_id = response.headers["x-generation-id"]
    return sum(line["nano_usd"] for line in sandbox.bill_lines() if line["id"] == generation_id)


def _last_cost(response: httpx2.Response) -> Decimal | int | None:
    """What the answer says it cost, if it is readable and says so."""
    try:
        is_stream = response.headers["content-type"] == "text/event-stream"
        parts = reading.chunks(response) if is_stream else [reading.exact_json(response)]
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
    bodies = [part.get("response", part) for part in parts]
    return next((body["usage"]["cost"] for body in reversed(bodies) if "cost" in (body.get("usage") or {})), None)
