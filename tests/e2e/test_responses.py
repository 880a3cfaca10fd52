"""`POST /v1/responses` with the official `openai` client: from providers that speak it, and from those that do not."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import (
    FunctionToolParam,
    Response,
    ResponseCustomToolCall,
    ResponseFunctionToolCall,
    ResponseInputParam,
    ResponseOutputMessage,
    ResponseReasoningItem,
    ResponseStreamEvent,
)
from pydantic import BaseModel

from tests.e2e.conftest import Proxy, Sandbox, running_proxy, running_sandbox
from tests.e2e.pictures import png

WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city now",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
QUESTION: ResponseInputParam = [{"role": "user", "content": "What is the weather in Vienna?"}]
# What each of our own models is called, and who is asked for it.
LOCAL_MODEL = "local/deepseek-v4-flash-q4"


class Person(BaseModel):
    name: str
    age: int


class House:
    """A proxy, and a sandbox of its own, so that bill and ledger can be compared."""

    def __init__(self, proxy: Proxy, sandbox: Sandbox, spoken: str) -> None:
        self.proxy, self.sandbox, self.spoken = proxy, sandbox, spoken
        self.client = proxy.client()


def _nothing(_: Path) -> None:
    """The shipped configuration: OpenRouter is asked by the client's own API."""


def _chat_only(config: Path) -> None:
    main = config / "penstock.yaml"
    main.write_text(main.read_text().replace("kind: openrouter\n", "kind: openrouter\n    apis: [chat/completions]\n"))


EDITS: dict[str, Callable[[Path], None]] = {"responses": _nothing, "chat/completions": _chat_only}


@pytest.fixture(scope="module", params=EDITS)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("house")
    with (
        running_sandbox(directory / "sandbox.log") as sandbox,
        running_proxy(directory, sandbox.base_url, edit=EDITS[request.param]) as proxy,
    ):
        house = House(proxy, sandbox, request.param)
        yield house
        assert proxy.spend_nano_usd() == sandbox.bill_nano_usd() > 0


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """With a model on one's own machine, which nothing but chat completions reaches."""
    directory = tmp_path_factory.mktemp("local")
    with running_sandbox(directory / "sandbox.log") as sandbox:

        def with_local(config: Path) -> None:
            main, models, team = config / "penstock.yaml", config / "models.yaml", config / "teams" / "search.yaml"
            provider = f"  local: {{kind: openai_compatible, base_url: '{sandbox.base_url}/local/v1'}}\n"
            main.write_text(main.read_text().replace("\nproviders:\n", f"\nproviders:\n{provider}", 1))
            models.write_text(
                models.read_text()
                + f"  {LOCAL_MODEL}:\n    context_tokens: 65536\n    max_output_tokens: 8192\n"
                + "    capabilities: [tools, json_object, json_schema, reasoning]\n    tokens_per_o200k: 1.05\n"
                + "    quality: {chat: {score: 0.83, source: ours, checked: 2026-11-20}}\n"
                + "    deployments:\n      - provider: local\n        upstream_model: deepseek-v4-flash-q4_k_m\n"
                + "        prices: [{from: 2026-11-01, input_usd_per_mtok: 0, output_usd_per_mtok: 0, source: ours, "
                + "checked: 2026-11-01}]\n"
            )
            team.write_text(team.read_text().replace("\naliases:\n", f"\naliases:\n  own: {{model: {LOCAL_MODEL}}}\n"))

        with running_proxy(directory, sandbox.base_url, edit=with_local) as proxy:
            yield House(proxy, sandbox, "chat/completions")


def text_of(events: list[ResponseStreamEvent]) -> str:
    return "".join(each.delta for each in events if each.type == "response.output_text.delta")


def completed(events: list[ResponseStreamEvent]) -> Response:
    (end,) = (each for each in events if each.type in ("response.completed", "response.incomplete"))
    assert end is events[-1]
    return end.response


def assert_lawful(events: list[ResponseStreamEvent]) -> None:
    """Whatever is said: numbered, in OpenAI's order, one response, each item begun before it goes on and ended once."""
    assert [each.type for each in events[:2]] == ["response.created", "response.in_progress"]
    assert [each.sequence_number for each in events] == list(range(len(events)))
    assert len({each.response.id for each in events if hasattr(each, "response")}) == 1
    added = [each.output_index for each in events if each.type == "response.output_item.added"]
    done = [each.output_index for each in events if each.type == "response.output_item.done"]
    assert added == list(range(len(added)))
    assert sorted(done) == added
    assert len(completed(events).output) == len(added)


def test_a_whole_response_arrives_typed_with_its_cost_in_the_headers(house: House) -> None:
    raw = house.client.responses.with_raw_response.create(
        model="auto", instructions="Be brief.", input="What is a penstock?", metadata={"ticket": "4711"}
    )

    response = raw.parse()
    assert response.output_text
    assert response.status == "completed"
    assert response.metadata == {"ticket": "4711"}
    assert response.instructions == "Be brief."
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0
    assert raw.http_response.json()["store"] is False
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-penstock-model"] == "deepseek/deepseek-v4-flash"
    assert float(raw.headers["x-penstock-cost-usd"]) > 0


def test_a_stream_is_told_in_openais_order(house: House) -> None:
    events = list(house.client.responses.create(model="auto", input="Tell me about rivers.", stream=True))

    assert_lawful(events)
    response = completed(events)
    assert response.output_text == text_of(events) != ""
    assert response.usage is not None
    assert response.usage.output_tokens > 0


def test_events_have_their_names_and_no_done_follows_them(house: House) -> None:
    reply = house.proxy.http.post(
        f"{house.proxy.base_url}/responses",
        json={"model": "auto", "input": "Tell me about brooks.", "stream": True},
        headers={"authorization": f"Bearer {house.proxy.keys['search']}"},
    )

    events = [each for each in reply.text.split("\n\n") if each and not each.startswith(":")]
    for each in events:
        name, data = each.split("\n")
        assert name == f"event: {json.loads(data.removeprefix('data: '))['type']}"
    assert reply.text.endswith("\n\n")


def test_the_stream_helper_puts_the_response_together(house: House) -> None:
    with house.client.responses.stream(model="auto", input="Tell me about seas.") as stream:
        for _event in stream:
            pass
        response = stream.get_final_response()

    assert response.output_text
    assert response.status == "completed"


def test_a_tool_is_called_and_its_result_is_answered(house: House) -> None:
    called = house.client.responses.create(model="auto", input=QUESTION, tools=[WEATHER], tool_choice="required")

    (call,) = (each for each in called.output if isinstance(each, ResponseFunctionToolCall))
    assert (call.name, call.status) == ("get_weather", "completed")
    assert set(json.loads(call.arguments)) == {"city"}
    answered = house.client.responses.create(
        model="auto",
        input=[
            *QUESTION,
            *(each.model_dump(exclude_unset=True) for each in called.output),  # type: ignore[list-item]  # the same
            {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"},
        ],
        tools=[WEATHER],
    )
    assert answered.output_text


def test_a_streamed_tool_call_is_put_together(house: House) -> None:
    wish: dict[str, Any] = {"model": "auto", "input": QUESTION, "tools": [WEATHER], "tool_choice": "required"}

    assert_lawful(list(house.client.responses.create(**wish, stream=True)))
    with house.client.responses.stream(**wish) as stream:
        for _event in stream:
            pass
        response = stream.get_final_response()

    (call,) = (each for each in response.output if isinstance(each, ResponseFunctionToolCall))
    assert set(json.loads(call.arguments)) == {"city"}


def test_a_schema_is_answered_with_its_type(house: House) -> None:
    parsed = house.client.responses.parse(
        model="auto", input="Extract the person: Ada, 36.", text_format=Person
    ).output_parsed

    assert isinstance(parsed, Person)


def test_a_streamed_schema_is_answered_with_its_type(house: House) -> None:
    with house.client.responses.stream(
        model="auto", input="Extract the person: Ada, 36.", text_format=Person
    ) as stream:
        for _event in stream:
            pass
        assert isinstance(stream.get_final_response().output_parsed, Person)


def test_thoughts_are_an_item_of_their_own(house: House) -> None:
    wish: dict[str, Any] = {"model": "auto", "input": "Why is the sky blue?", "reasoning": {"effort": "high"}}

    whole = house.client.responses.create(**wish)
    events = list(house.client.responses.create(**wish, stream=True))

    assert_lawful(events)
    for response in (whole, completed(events)):
        assert [type(each) for each in response.output] == [ResponseReasoningItem, ResponseOutputMessage]
        assert response.usage is not None
        assert response.usage.output_tokens_details.reasoning_tokens > 0
    thoughts = "".join(each.delta for each in events if each.type == "response.reasoning_text.delta")
    reasoning = completed(events).output[0]
    assert isinstance(reasoning, ResponseReasoningItem)
    assert reasoning.content is not None
    assert reasoning.content[0].text == thoughts != ""


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_answer_that_reaches_its_limit_is_incomplete(house: House, is_stream: bool) -> None:
    wish: dict[str, Any] = {"model": "auto", "input": "Tell me a long story.", "max_output_tokens": 16}

    if is_stream:
        response = completed(list(house.client.responses.create(**wish, stream=True)))
    else:
        response = house.client.responses.create(**wish)

    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


def test_an_image_goes_to_a_model_that_sees(house: House) -> None:
    raw = house.client.responses.with_raw_response.create(
        model="auto",
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is on this picture?"},
                    {"type": "input_image", "image_url": png(64, 64), "detail": "auto"},
                ],
            }
        ],
    )

    assert raw.parse().output_text
    assert raw.headers["x-penstock-model"] == "openai/gpt-5.4"


def test_a_long_conversation_is_taken_whole(house: House) -> None:
    house.client.responses.create(
        model="auto",
        input=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_text", "text": "You"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
            },
            {"role": "user", "content": "And now?"},
        ],
    )

    sent = house.sandbox.last_request()
    if house.spoken == "responses":
        assert sent["model"] == "deepseek/deepseek-v4-flash"
        assert len(sent["input"]) == 5  # type: ignore[arg-type]  # it is a list
        assert sent["max_output_tokens"] == 32_768
        assert sent["provider"] == {"max_price": {"prompt": "0.105", "completion": "0.21"}}
        assert sent["store"] is False
    else:
        assert sent["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "You"}]},
            {"role": "assistant", "content": "Hello", "reasoning_content": "Hm"},
            {"role": "user", "content": "And now?"},
        ]


def test_codex_is_answered(house: House) -> None:
    """The shape of what Codex CLI 0.169 sends, but for its length."""
    spawn = {"type": "function", "name": "spawn_agent", "strict": False, "parameters": {"type": "object"}}
    body = {
        "model": "auto",
        "instructions": "You are a coding agent running in the Codex CLI.",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<skills>"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Say hi."}]},
        ],
        "tools": [
            WEATHER,
            {"type": "namespace", "name": "multi_agent_v1", "description": "Agents.", "tools": [spawn]},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": None,
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "01a212c4-e172-79c3-923a-8c730f203977",
        "client_metadata": {"x-codex-window-id": "01a212c4:0"},
    }

    reply = house.proxy.http.post(
        f"{house.proxy.base_url}/responses",
        json=body,
        headers={"authorization": f"Bearer {house.proxy.keys['search']}"},
    )

    assert reply.text.split("\n\n")[-2].startswith("event: response.completed\n")
    sent = house.sandbox.last_request()
    if house.spoken == "responses":
        ours = ("model", "max_output_tokens", "provider")
        assert {name: value for name, value in sent.items() if name not in ours} == {
            name: value for name, value in body.items() if name != "model"
        }
    else:
        tools: Any = sent["tools"]
        assert [each["function"]["name"] for each in tools] == ["get_weather", "multi_agent_v1__spawn_agent"]
        assert "client_metadata" not in sent


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(house: House, wish: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        house.client.responses.create(**{"model": "auto", "input": "Hi", **wish})

    assert raised.value.param == param
    assert raised.value.code in ("unsupported_parameter", "integer_below_min_value")


def test_a_dry_run_tells_the_decision(house: House) -> None:
    before = house.sandbox.bill_nano_usd()

    reply = house.proxy.http.post(
        f"{house.proxy.base_url}/responses",
        json={"model": "auto", "input": "Hi"},
        headers={"authorization": f"Bearer {house.proxy.keys['search']}", "x-penstock-dry-run": "1"},
    )

    assert reply.json()["chosen"] == {"model": "deepseek/deepseek-v4-flash", "provider": "openrouter"}
    assert house.sandbox.bill_nano_usd() == before


def test_a_model_on_ones_own_machine_answers_too(local: House) -> None:
    wish: dict[str, Any] = {"model": "own", "input": "Tell me about tea."}

    raw = local.client.responses.with_raw_response.create(**wish)
    events = list(local.client.responses.create(**wish, stream=True))

    assert raw.parse().output_text
    assert raw.headers["x-penstock-provider"] == "local"
    assert_lawful(events)
    assert text_of(events)
    assert "provider" not in local.sandbox.last_request()


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_custom_tool_and_a_namespace_reach_a_model_that_knows_functions_only(local: House, is_stream: bool) -> None:
    wish: dict[str, Any] = {"model": "own", "input": "List the files.", "tool_choice": "required"}
    tools: dict[str, Any] = {
        "shell": {"type": "custom", "name": "shell", "description": "Runs a command."},
        "spawn": {"type": "namespace", "name": "agents", "tools": [{**WEATHER, "name": "spawn"}]},
    }
    called = {}

    for name, tool in tools.items():
        if is_stream:
            events = list(local.client.responses.create(**wish, tools=[tool], stream=True))
            assert_lawful(events)
            called[name] = completed(events).output[-1]
        else:
            called[name] = local.client.responses.create(**wish, tools=[tool]).output[-1]

    shell, spawn = called["shell"], called["spawn"]
    assert isinstance(shell, ResponseCustomToolCall)
    assert shell.name == "shell"
    assert not shell.input.startswith("{")
    assert isinstance(spawn, ResponseFunctionToolCall)
    assert (spawn.name, spawn.namespace) == ("spawn", "agents")


def test_what_no_chat_can_say_is_refused_where_nobody_speaks_the_api(local: House) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        local.client.responses.create(model="own", input="Hi", tools=[{"type": "local_shell"}])

    assert raised.value.code == "no_eligible_model"
    assert "No chat request can say the same: it has a tool of type 'local_shell'." in raised.value.message


def test_how_deeply_a_tool_is_nested_breaks_nothing_behind_the_reader(house: House) -> None:
    """Just above the limit the tools were read, and in the answer, some calls deeper, were not: an error of ours, or a
    provider that seemed to have failed, was paid for all the same and came nearer to being left alone."""
    statuses = set()
    for depth in range(740, 990, 5):
        schema = b'{"type":"object","properties":%b%b}' % (b'{"a":' * depth, b"{}" + b"}" * depth)
        tools = b'[{"type":"function","name":"f","parameters":%b}]' % schema
        reply = house.proxy.http.post(
            f"{house.proxy.base_url}/responses",
            content=b'{"model":"auto","max_output_tokens":20,"input":"Hi","tools":%b}' % tools,
            headers={"authorization": f"Bearer {house.proxy.keys['search']}", "content-type": "application/json"},
        )
        statuses.add(reply.status_code)

    assert statuses == {200, 400}
