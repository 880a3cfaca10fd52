"""The official `anthropic` client with only `base_url` and `api_key` changed, native at OpenRouter and translated.

Where a provider speaks Anthropic's API its own words come back, else those of chat completions, translated: the
`translating` proxy has a configuration in which OpenRouter speaks chat completions only. Both are the same to a client.
"""

from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx2
import pytest
from anthropic.types import MessageParam, ToolParam, ToolResultBlockParam, ToolUseBlock

from tests.e2e.conftest import Proxy, Sandbox, running_proxy
from tests.waiting import eventually

_WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "The weather in a city now",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def _speaks_chat_only(config: Path) -> None:
    main = config / "penstock.yaml"
    text = main.read_text()
    changed = text.replace("    kind: openrouter\n", "    kind: openrouter\n    apis: [chat/completions]\n", 1)
    assert changed != text
    main.write_text(changed)


@pytest.fixture(scope="module")
def translating(own_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy whose provider speaks chat completions only."""
    directory = tmp_path_factory.mktemp("translating")
    with running_proxy(directory, own_sandbox.base_url, edit=_speaks_chat_only) as proxy:
        yield proxy


@pytest.fixture(params=["native", "translated"])
def asked(request: pytest.FixtureRequest, proxy: Proxy) -> Proxy:
    either: Proxy = proxy if request.param == "native" else request.getfixturevalue("translating")
    return either


@pytest.fixture
def client(asked: Proxy) -> Iterator[anthropic.Anthropic]:
    with client_of(asked) as client:
        yield client


def client_of(proxy: Proxy, team: str = "search") -> anthropic.Anthropic:
    base_url = proxy.base_url.removesuffix("/v1")
    return anthropic.Anthropic(base_url=base_url, api_key=proxy.keys[team], auth_token=None, max_retries=0)


def user(text: str) -> MessageParam:
    return {"role": "user", "content": text}


def test_a_whole_message_arrives_typed_with_its_cost_in_the_headers(client: anthropic.Anthropic) -> None:
    raw = client.messages.with_raw_response.create(
        model="auto", max_tokens=1_000, messages=[user("What is a penstock?")]
    )

    message = raw.parse()
    assert [block.type for block in message.content] == ["text"]
    assert message.content[0].type == "text"
    assert message.content[0].text
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0 < message.usage.output_tokens
    assert message._request_id == raw.headers["x-request-id"]
    assert raw.headers["x-penstock-model"] == "deepseek/deepseek-v4-flash"
    assert float(raw.headers["x-penstock-cost-usd"]) > 0


def test_a_stream_is_put_together_to_what_it_said(client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model="auto", max_tokens=1_000, messages=[user("Tell me about rivers.")], system="Be brief."
    ) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()

    assert message.content[0].type == "text"
    assert message.content[0].text == text != ""
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0 < message.usage.output_tokens


def test_events_come_in_the_order_of_the_api(client: anthropic.Anthropic) -> None:
    events = list(
        client.messages.create(model="auto", max_tokens=1_000, messages=[user("Tell me about lakes.")], stream=True)
    )

    assert events[0].type == "message_start"
    assert events[0].message.usage.input_tokens > 0
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_an_answer_that_is_cut_off_says_so(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model="auto", max_tokens=3, messages=[user("Tell me about seas.")])

    assert message.stop_reason == "max_tokens"


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_a_tool_is_used_and_its_result_is_answered(client: anthropic.Anthropic, is_stream: bool) -> None:
    question = user("What is the weather in Vienna?")
    called: anthropic.types.Message
    if is_stream:
        with client.messages.stream(
            model="auto", max_tokens=1_000, messages=[question], tools=[_WEATHER], tool_choice={"type": "any"}
        ) as stream:
            called = stream.get_final_message()
    else:
        called = client.messages.create(
            model="auto", max_tokens=1_000, messages=[question], tools=[_WEATHER], tool_choice={"type": "any"}
        )

    assert called.stop_reason == "tool_use"
    use = called.content[-1]
    assert isinstance(use, ToolUseBlock)
    assert use.name == "get_weather"
    assert set(use.input) == {"city"}
    result: ToolResultBlockParam = {"type": "tool_result", "tool_use_id": use.id, "content": "18 degrees"}
    answered = client.messages.create(
        model="auto",
        max_tokens=1_000,
        messages=[
            question,
            {"role": "assistant", "content": called.content},
            {"role": "user", "content": [result, {"type": "text", "text": "So?"}]},
        ],
        tools=[_WEATHER],
    )
    assert answered.stop_reason == "end_turn"


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_thinking_is_shown_signed_and_goes_back(client: anthropic.Anthropic, is_stream: bool) -> None:
    question = user("How many rivers are there?")
    thinking: anthropic.types.ThinkingConfigEnabledParam = {"type": "enabled", "budget_tokens": 1_024}
    thought: anthropic.types.Message
    if is_stream:
        with client.messages.stream(model="opus", max_tokens=2_000, messages=[question], thinking=thinking) as stream:
            thought = stream.get_final_message()
    else:
        thought = client.messages.create(model="opus", max_tokens=2_000, messages=[question], thinking=thinking)

    first = thought.content[0]
    assert first.type == "thinking"
    assert first.thinking
    assert first.signature
    assert [block.type for block in thought.content] == ["thinking", "text"]
    again = client.messages.create(
        model="opus",
        max_tokens=2_000,
        messages=[question, {"role": "assistant", "content": thought.content}, user("Are you sure?")],
        thinking=thinking,
    )
    assert again.content[-1].type == "text"


def test_a_picture_goes_to_a_model_that_sees(client: anthropic.Anthropic) -> None:
    raw = client.messages.with_raw_response.create(
        model="auto",
        max_tokens=500,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is on this picture?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PIXEL}},
                ],
            }
        ],
    )

    assert raw.parse().content
    assert raw.headers["x-penstock-model"] == "openai/gpt-5.4"


def test_tokens_are_counted_for_the_model_that_would_be_chosen(
    client: anthropic.Anthropic, asked: Proxy, own_sandbox: Sandbox
) -> None:
    before = asked.spend_nano_usd()

    few = client.messages.count_tokens(model="auto", messages=[user("What is a penstock?")])
    many = client.messages.count_tokens(
        model="auto", messages=[user("What is a penstock?" * 50)], tools=[_WEATHER], system="Be brief."
    )

    assert 0 < few.input_tokens < many.input_tokens
    told = client.messages.create(model="auto", max_tokens=20, messages=[user("What is a penstock?")])
    assert abs(told.usage.input_tokens - few.input_tokens) <= 2 + told.usage.input_tokens // 10
    assert asked.spend_nano_usd() >= before


def test_errors_are_typed(client: anthropic.Anthropic, asked: Proxy) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        client.messages.create(model="claude-2", max_tokens=10, messages=[user("Hi")])
    assert unknown.value.body == {
        "type": "error",
        "error": {
            "type": "not_found_error",
            "message": unknown.value.body["error"]["message"],  # type: ignore[index]  # a dict, as is asserted
            "code": "model_not_found",
            "param": "model",
        },
        "request_id": unknown.value.request_id,
    }
    with pytest.raises(anthropic.BadRequestError, match="web_search_20250305"):
        client.messages.create(
            model="auto",
            max_tokens=10,
            messages=[user("Hi")],
            tools=[{"type": "web_search_20250305", "name": "web_search"}],
        )
    with (
        anthropic.Anthropic(base_url=asked.base_url.removesuffix("/v1"), api_key="psk_wrong", max_retries=0) as wrong,
        pytest.raises(anthropic.AuthenticationError) as unauthenticated,
    ):
        wrong.messages.create(model="auto", max_tokens=10, messages=[user("Hi")])
    assert unauthenticated.value.body["error"]["type"] == "authentication_error"  # type: ignore[index]
    with pytest.raises(anthropic.APIStatusError) as large:
        client.messages.create(model="auto", max_tokens=10, messages=[user("x" * 34_000_000)])
    assert (large.value.status_code, large.value.body["error"]["type"]) == (413, "request_too_large")  # type: ignore[index]


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/messages", 405, "invalid_request_error"),
        ("POST", "/v1/messages/batches", 404, "not_found_error"),
        ("POST", "/v1/messages", 400, "invalid_request_error"),
    ],
)
def test_whatever_is_wrong_below_the_path_is_said_in_its_shape(
    proxy: Proxy, method: str, path: str, status: int, kind: str
) -> None:
    url = proxy.base_url.removesuffix("/v1") + path
    answer = proxy.http.request(method, url, headers={"x-api-key": proxy.keys["search"]}, content=b"{}")

    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)
    assert answer.json()["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]


def test_a_key_may_be_sent_either_way_and_not_two_of_them(proxy: Proxy) -> None:
    def ask(**headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = {"model": "auto", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
        return proxy.http.post(f"{proxy.base_url}/messages", json=body, headers=named)

    key, other = proxy.keys["search"], proxy.keys["research"]
    assert ask(x_api_key=key).status_code == 200
    assert ask(authorization=f"Bearer {key}").status_code == 200
    assert ask(authorization=f"Bearer {key}", x_api_key=key).status_code == 200
    assert ask(authorization=f"Bearer {key}", x_api_key=other).json()["error"]["code"] == "invalid_header"
    assert ask().status_code == 401


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_a_provider_that_breaks_in_the_middle_is_an_error_and_no_half_answer(
    client: anthropic.Anthropic, is_stream: bool
) -> None:
    question = user("Tell me about rivers. [sandbox:fault=mid-stream-error]")
    if not is_stream:
        with pytest.raises(anthropic.APIStatusError) as whole:
            client.messages.create(model="opus", max_tokens=1_000, messages=[question])
        assert whole.value.status_code == 502
        return
    with pytest.raises(anthropic.APIStatusError) as streamed:
        list(client.messages.create(model="opus", max_tokens=1_000, messages=[question], stream=True))
    assert streamed.value.body["type"] == "error"  # type: ignore[index]


def test_a_tool_that_only_anthropic_knows_is_asked_natively_or_not_at_all(proxy: Proxy, translating: Proxy) -> None:
    asked = {"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": "List the files."}]}
    body = {**asked, "tools": [{"type": "bash_20250124", "name": "bash"}]}

    def ask(proxy: Proxy) -> httpx2.Response:
        return proxy.http.post(f"{proxy.base_url}/messages", json=body, headers={"x-api-key": proxy.keys["search"]})

    assert ask(proxy).status_code == 200
    refused = ask(translating)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_eligible_model")


def test_every_member_we_do_not_act_on_reaches_the_provider(proxy: Proxy, sandbox: Sandbox) -> None:
    with client_of(proxy) as client:
        client.messages.create(
            model="auto",
            max_tokens=77,
            messages=[
                {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}
            ],
            metadata={"user_id": "ada"},
            stop_sequences=["###"],
            extra_body={"temperature": 0.25, "top_k": 40, "tomorrows": {"new": [1.0, None]}},
        )

    sent = sandbox.last_request()
    assert sent["model"] == "deepseek/deepseek-v4-flash"
    assert sent["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}
    ]
    assert (sent["temperature"], sent["top_k"], sent["max_tokens"]) == (0.25, 40, 77)
    assert (sent["metadata"], sent["stop_sequences"]) == ({"user_id": "ada"}, ["###"])
    assert sent["tomorrows"] == {"new": [1.0, None]}
    assert sent["provider"] == {"max_price": {"prompt": "0.105", "completion": "0.21"}}
    assert str(sent["session_id"]).startswith("penstock-")


def test_the_bill_is_the_ledger(own_sandbox: Sandbox, translating: Proxy) -> None:
    """That of every test above that was translated. Natively and whatever goes wrong: test_messages_faults.py."""
    with client_of(translating) as client:
        client.messages.create(model="auto", max_tokens=50, messages=[user("Hi")])

    eventually(lambda: own_sandbox.bill_nano_usd() == translating.spend_nano_usd(), within_s=30)


def test_betas_are_accepted_and_not_sent_on(client: anthropic.Anthropic) -> None:
    message = client.beta.messages.create(
        model="auto",
        max_tokens=20,
        messages=[{"role": "user", "content": "Hi"}],
        betas=["context-1m-2025-08-07", "interleaved-thinking-2025-05-14"],
    )

    assert message.usage.output_tokens > 0


def test_the_models_of_the_team_are_listed_by_the_same_client(client: anthropic.Anthropic) -> None:
    assert {"auto", "opus"} <= {model.id for model in client.models.list()}
