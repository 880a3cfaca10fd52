"""An answer that fails a check of its policy is replaced by a better model's, and every call of it is paid for once."""

import json
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from tests.e2e.conftest import Proxy, Sandbox, running_proxy, running_sandbox
from tests.waiting import eventually

FLASH, PRO, GPT = "deepseek/deepseek-v4-flash", "deepseek/deepseek-v4-pro", "openai/gpt-5.4"
OPUS = "anthropic/claude-opus-4.7"
BAD_FLASH = f"[sandbox:fault=bad-json@{FLASH}] "
BAD_ALL = f"{BAD_FLASH}[sandbox:fault=bad-json@{PRO}] [sandbox:fault=bad-json@{GPT}] "
QUESTION = "Which city is this about: the fog came over the harbour of Lisbon."
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "is_coastal": {"type": "boolean"}},
    "required": ["city", "is_coastal"],
    "additionalProperties": False,
}
JSON_WANTED: Any = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": SCHEMA}}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

POLICIES = f"""
policies:
  checked:
    candidates: [{FLASH}, {PRO}, {GPT}@xhigh]
    verify: [json_schema, tool_arguments, non_empty]
    buffer: true
  patient:
    candidates: [{FLASH}, {PRO}, {GPT}@xhigh]
    verify: json_schema
    max_escalations: 3
  streaming:
    candidates: [{FLASH}, {PRO}]
    verify: json_schema
  brief:
    candidates: [{FLASH}, {PRO}]
    verify: not_truncated
    rules:
      - {{name: code, when: {{task: code}}, verify: {{regex: "^def "}}}}
  coded:
    candidates: [{FLASH}, {PRO}]
    verify: {{code: [json, sql, javascript]}}
  agreed:
    candidates: [{FLASH}, {PRO}, {OPUS}]
    verify: [json_schema, agreement]
    buffer: true
  cascade:
    candidates: [{FLASH}, {PRO}, {OPUS}]
    quality: {{at_least: 0.999, of: best_candidate}}
    verify: [json_schema, agreement]
  couple:
    candidates: [{FLASH}, {PRO}, {OPUS}]
    verify: agreement
    rules:
      - {{name: two, when: {{alias: couple}}, candidates: [{FLASH}, {OPUS}]}}
"""


@pytest.fixture(scope="module")
def own_proxy(own_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy"), own_sandbox.base_url, edit=_with_policies) as proxy:
        yield proxy


def test_a_better_model_answers_where_the_cheap_one_fails_and_both_are_booked(
    own_proxy: Proxy, own_sandbox: Sandbox
) -> None:
    before = own_sandbox.bill_nano_usd()
    reply = own_proxy.client().chat.completions.with_raw_response.create(
        model="checked",
        messages=[_user(BAD_FLASH + QUESTION)],
        response_format=JSON_WANTED,
    )

    answer = reply.parse()
    assert set(json.loads(answer.choices[0].message.content or "")) == {"city", "is_coastal"}
    assert reply.headers["x-penstock-model"] == answer.model == PRO
    assert reply.headers["x-penstock-verified"] == "true"
    _assert_books_agree(own_proxy, own_sandbox)
    cost_usd = float(reply.headers["x-penstock-cost-usd"])
    assert round(cost_usd * 1e9) == own_sandbox.bill_nano_usd() - before
    attempts = _attempts(own_proxy, reply.headers)
    assert [(each["model"], each["outcome"], each["verification"]) for each in attempts] == [
        (FLASH, "failed_verification", "json_schema"),
        (PRO, "ok", "passed"),
    ]
    assert all(each["cost_nano_usd"] > 0 for each in attempts)
    metrics = own_proxy.metrics()
    assert 'penstock_escalations_total{check="json_schema",policy="checked",team="search"} 1.0' in metrics
    assert f'penstock_fallbacks_total{{from_model="{FLASH}",reason="verification",to_model="{PRO}"}}' in metrics


def test_an_answer_that_passes_costs_one_call(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    reply = own_proxy.chat("search", _body(QUESTION, response_format=JSON_WANTED))

    assert reply.headers["x-penstock-model"] == FLASH
    assert reply.headers["x-penstock-verified"] == "true"
    assert len(_attempts(own_proxy, reply.headers)) == 1
    _assert_books_agree(own_proxy, own_sandbox)


def test_tool_arguments_are_checked_against_the_tools_own_parameters(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    reply = own_proxy.chat(
        "search", _body(f"{BAD_FLASH}What is the weather in Lisbon?", tools=[WEATHER], tool_choice="required")
    )

    assert reply.headers["x-penstock-model"] == PRO
    (call,) = reply.json()["choices"][0]["message"]["tool_calls"]
    assert "city" in json.loads(call["function"]["arguments"])
    assert _attempts(own_proxy, reply.headers)[0]["verification"] == "tool_arguments"
    _assert_books_agree(own_proxy, own_sandbox)


def test_all_choices_must_pass(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    reply = own_proxy.chat("search", _body(BAD_FLASH + QUESTION, response_format=JSON_WANTED, n=3))

    assert reply.headers["x-penstock-model"] == PRO
    assert [set(json.loads(each["message"]["content"])) for each in reply.json()["choices"]] == [
        {"city", "is_coastal"}
    ] * 3
    _assert_books_agree(own_proxy, own_sandbox)


def test_where_nobody_does_better_the_last_answer_comes_and_says_so(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    once = own_proxy.chat("search", _body(BAD_ALL + QUESTION, response_format=JSON_WANTED))
    twice = own_proxy.chat("search", _body(BAD_ALL + QUESTION, response_format=JSON_WANTED) | {"model": "patient"})

    assert once.status_code == twice.status_code == 200
    assert once.headers["x-penstock-verified"] == twice.headers["x-penstock-verified"] == "false"
    assert (once.headers["x-penstock-model"], twice.headers["x-penstock-model"]) == (PRO, GPT)
    assert once.json()["choices"]
    assert [each["outcome"] for each in _attempts(own_proxy, twice.headers)] == ["failed_verification"] * 3
    _assert_books_agree(own_proxy, own_sandbox)


def test_if_the_better_model_fails_altogether_the_first_answer_comes(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    down = f"[sandbox:fault=503@{PRO}] [sandbox:fault=503@{GPT}] "
    reply = own_proxy.chat("search", _body(BAD_FLASH + down + QUESTION, response_format=JSON_WANTED))

    assert reply.status_code == 200
    assert reply.headers["x-penstock-model"] == FLASH
    assert reply.headers["x-penstock-verified"] == "false"
    assert [each["outcome"] for each in _attempts(own_proxy, reply.headers)] == [
        "failed_verification",
        "upstream_503",
        "upstream_503",
    ]
    _assert_books_agree(own_proxy, own_sandbox)


def test_a_buffered_stream_is_verified_before_the_client_sees_any_of_it(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    with own_proxy.client().chat.completions.with_streaming_response.create(
        model="checked",
        messages=[_user(BAD_FLASH + QUESTION)],
        response_format=JSON_WANTED,
        stream=True,
        stream_options={"include_usage": True},
    ) as reply:
        stream: openai.Stream[openai.types.chat.ChatCompletionChunk] = reply.parse()
        chunks = list(stream)

    assert reply.headers["x-penstock-model"] == PRO
    assert reply.headers["x-penstock-verified"] == "true"
    assert {chunk.model for chunk in chunks} == {PRO}
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert set(json.loads(text)) == {"city", "is_coastal"}
    assert chunks[-1].usage is not None
    _assert_books_agree(own_proxy, own_sandbox)


def test_a_buffered_stream_that_breaks_off_is_asked_for_elsewhere(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    broken = f"[sandbox:fault=mid-stream-error@{FLASH}] Tell me about tea."
    reply = own_proxy.chat("search", _body(broken, stream=True))

    assert reply.headers["x-penstock-model"] == PRO
    assert reply.headers["x-penstock-verified"] == "true"
    assert [each["outcome"] for each in _attempts(own_proxy, reply.headers)] == ["upstream_broken", "ok"]
    assert reply.text.endswith("data: [DONE]\n\n")
    assert '"error"' not in reply.text
    _assert_books_agree(own_proxy, own_sandbox)


def test_a_stream_that_is_not_buffered_is_not_verified(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    body = _body(BAD_FLASH + QUESTION, response_format=JSON_WANTED) | {"model": "streaming"}

    streamed, whole = own_proxy.chat("search", body | {"stream": True}), own_proxy.chat("search", body)

    assert streamed.headers["x-penstock-model"] == FLASH
    assert "x-penstock-verified" not in streamed.headers
    assert whole.headers["x-penstock-model"] == PRO
    _assert_books_agree(own_proxy, own_sandbox)


def test_a_schema_beyond_what_is_looked_at_leaves_the_answer_as_it_is(own_proxy: Proxy) -> None:
    patterns = {f"p{number}": {"type": "string", "pattern": "a"} for number in range(100)}
    schema = {"type": "object", "properties": patterns}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}

    reply = own_proxy.chat("search", _body(BAD_FLASH + QUESTION, response_format=wanted))

    assert reply.headers["x-penstock-model"] == FLASH
    assert reply.headers["x-penstock-verified"] == "unknown"
    assert _attempts(own_proxy, reply.headers)[-1]["verification"] == "unknown"


def test_the_ceiling_of_a_request_is_for_all_its_calls_together(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    body = _body(BAD_FLASH + QUESTION, response_format=JSON_WANTED, max_tokens=400)
    worst_usd = {
        each["model"]: float(each["worst_usd"])
        for each in own_proxy.chat("search", body, x_penstock_dry_run="1").json()["candidates"]
    }

    just_one = own_proxy.chat("search", body, x_penstock_max_cost_usd=f"{worst_usd[PRO]:.9f}")
    before = own_sandbox.bill_nano_usd()
    both = own_proxy.chat("search", body, x_penstock_max_cost_usd=f"{worst_usd[PRO] + worst_usd[FLASH]:.9f}")

    assert just_one.headers["x-penstock-model"] == FLASH
    assert just_one.headers["x-penstock-verified"] == "false"
    assert both.headers["x-penstock-model"] == PRO
    assert both.headers["x-penstock-verified"] == "true"
    assert own_sandbox.bill_nano_usd() - before <= round((worst_usd[PRO] + worst_usd[FLASH]) * 1e9)
    _assert_books_agree(own_proxy, own_sandbox)


def test_code_that_does_not_parse_is_written_by_a_better_model(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    good = own_proxy.chat("search", _body(QUESTION, response_format=JSON_WANTED) | {"model": "coded"})
    bad = own_proxy.chat("search", _body(BAD_FLASH + QUESTION, response_format=JSON_WANTED) | {"model": "coded"})
    prose = own_proxy.chat("search", _body(QUESTION) | {"model": "coded"})

    assert (good.headers["x-penstock-model"], good.headers["x-penstock-verified"]) == (FLASH, "true")
    assert (bad.headers["x-penstock-model"], bad.headers["x-penstock-verified"]) == (PRO, "true")
    assert prose.headers["x-penstock-verified"] == "false"
    assert [each["verification"] for each in _attempts(own_proxy, prose.headers)] == ["code", "code"]
    _assert_books_agree(own_proxy, own_sandbox)


def _one_word(*words: str) -> dict[str, object]:
    """The format of an answer that is one of these words; every model of the sandbox picks its own."""
    schema = {"type": "object", "properties": {"city": {"enum": words}}, "required": ["city"]}
    return {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_answer_that_another_cheap_model_gives_too_is_accepted(
    own_proxy: Proxy, own_sandbox: Sandbox, *, is_stream: bool
) -> None:
    before = own_sandbox.bill_nano_usd()
    body = _body(QUESTION, response_format=_one_word("Lisbon"), stream=is_stream) | {"model": "agreed"}
    reply = own_proxy.chat("search", body)

    assert reply.headers["x-penstock-model"] == FLASH
    assert reply.headers["x-penstock-verified"] == "true"
    assert "Lisbon" in reply.text
    assert FLASH in reply.text
    assert PRO not in reply.text
    assert [(each["model"], each["outcome"], each["verification"]) for each in _attempts(own_proxy, reply.headers)] == [
        (FLASH, "ok", "passed"),
        (PRO, "second_opinion", None),
    ]
    _assert_books_agree(own_proxy, own_sandbox)
    if not is_stream:
        assert round(float(reply.headers["x-penstock-cost-usd"]) * 1e9) == own_sandbox.bill_nano_usd() - before


@pytest.mark.parametrize("is_stream", [False, True])
def test_where_two_cheap_models_disagree_a_better_one_is_asked(
    own_proxy: Proxy, own_sandbox: Sandbox, *, is_stream: bool
) -> None:
    words = _one_word(*(f"city number {number}" for number in range(1000)))
    body = _body(QUESTION, response_format=words, stream=is_stream) | {"model": "agreed"}
    reply = own_proxy.chat("search", body)

    assert reply.headers["x-penstock-model"] == OPUS
    assert reply.headers["x-penstock-verified"] == "true"
    assert [(each["model"], each["outcome"], each["verification"]) for each in _attempts(own_proxy, reply.headers)] == [
        (FLASH, "failed_verification", "agreement"),
        (PRO, "second_opinion", None),
        (OPUS, "ok", "passed"),
    ]
    metrics = own_proxy.metrics()
    assert f'penstock_fallbacks_total{{from_model="{FLASH}",reason="verification",to_model="{OPUS}"}}' in metrics
    assert 'penstock_escalations_total{check="agreement",policy="agreed",team="search"}' in metrics
    _assert_books_agree(own_proxy, own_sandbox)


def _few_words() -> dict[str, object]:
    return _one_word(*(f"city number {number}" for number in range(50)))


def test_models_below_the_bar_answer_where_they_agree_and_the_one_above_it_where_they_do_not(
    own_proxy: Proxy, own_sandbox: Sandbox
) -> None:
    same = _body(QUESTION, response_format=_one_word("Lisbon")) | {"model": "cascade"}
    other = _body(QUESTION, response_format=_few_words()) | {"model": "cascade"}

    decision = own_proxy.chat("search", same, x_penstock_dry_run="1").json()
    agreed, differed = own_proxy.chat("search", same), own_proxy.chat("search", other)
    open_ended = own_proxy.chat("search", _body("Hello there!") | {"model": "cascade"})

    cascade, (first, *others) = decision["cascade"], decision["candidates"]
    assert {cascade["first"], cascade["opinion"]} == {f"openrouter:{FLASH}", f"openrouter:{PRO}"}
    assert (cascade["first"], cascade["then"]) == (f"openrouter:{first['model']}", f"openrouter:{OPUS}")
    assert first["quality"] < decision["quality_bar"] <= cascade["quality"]
    assert float(cascade["expected_usd"]) < float(others[0]["expected_usd"])
    assert agreed.headers["x-penstock-model"] in (FLASH, PRO)
    assert agreed.headers["x-penstock-verified"] == "true"
    assert (differed.headers["x-penstock-model"], differed.headers["x-penstock-verified"]) == (OPUS, "true")
    calls = _attempts(own_proxy, differed.headers)
    assert {each["model"] for each in calls[:2]} == {FLASH, PRO}
    assert [each["outcome"] for each in calls] == ["failed_verification", "second_opinion", "ok"]
    assert open_ended.headers["x-penstock-model"] == OPUS  # no cascade: two models seldom say the same to that
    _assert_books_agree(own_proxy, own_sandbox)


def test_an_answer_below_the_bar_that_cannot_be_verified_is_not_good_enough(
    own_proxy: Proxy, own_sandbox: Sandbox
) -> None:
    body = _body(QUESTION, response_format=_one_word("Lisbon")) | {"model": "cascade"}
    cascade = own_proxy.chat("search", body, x_penstock_dry_run="1").json()["cascade"]
    first, opinion = (cascade[who].removeprefix("openrouter:") for who in ("first", "opinion"))

    down = f"[sandbox:fault=503@{opinion}] {QUESTION}"
    reply = own_proxy.chat("search", body | {"messages": [_user(down)]})

    assert reply.headers["x-penstock-model"] == OPUS
    assert [(each["model"], each["outcome"], each["verification"]) for each in _attempts(own_proxy, reply.headers)] == [
        (first, "failed_verification", "unknown"),
        (opinion, "upstream_503", None),
        (OPUS, "ok", "passed"),
    ]
    _assert_books_agree(own_proxy, own_sandbox)


def test_nobody_is_asked_for_a_second_opinion_on_an_answer_that_failed_another_check(own_proxy: Proxy) -> None:
    body = _body(BAD_FLASH + QUESTION, response_format=_one_word("Lisbon")) | {"model": "agreed"}
    reply = own_proxy.chat("search", body)

    assert reply.headers["x-penstock-verified"] == "true"
    assert [each["outcome"] for each in _attempts(own_proxy, reply.headers)] == ["failed_verification", "ok"]


def test_without_a_second_opinion_or_a_short_answer_agreement_is_unknown(
    own_proxy: Proxy, own_sandbox: Sandbox
) -> None:
    wanted = _one_word("Lisbon")
    down = own_proxy.chat(
        "search", _body(f"[sandbox:fault=503@{PRO}] {QUESTION}", response_format=wanted) | {"model": "agreed"}
    )
    two = own_proxy.chat("search", _body(QUESTION, response_format=wanted) | {"model": "couple"})
    long = own_proxy.chat("search", _body("Tell me everything about tea, in many words.") | {"model": "agreed"})

    for reply in (down, two, long):
        assert reply.headers["x-penstock-model"] == FLASH
        assert reply.headers["x-penstock-verified"] == "unknown"
    assert [each["outcome"] for each in _attempts(own_proxy, down.headers)] == ["ok", "upstream_503"]
    assert [each["outcome"] for each in _attempts(own_proxy, two.headers)] == ["ok"]
    assert [each["outcome"] for each in _attempts(own_proxy, long.headers)] == ["ok", "second_opinion"]
    _assert_books_agree(own_proxy, own_sandbox)


def test_a_ceiling_without_room_for_a_second_opinion_leaves_the_first_answer(
    own_proxy: Proxy, own_sandbox: Sandbox
) -> None:
    body = _body(QUESTION, response_format=_one_word("Lisbon"), max_tokens=400) | {"model": "agreed"}
    candidates = own_proxy.chat("search", body, x_penstock_dry_run="1").json()["candidates"]
    worst_usd = {each["model"]: float(each["worst_usd"]) for each in candidates}

    reply = own_proxy.chat("search", body, x_penstock_max_cost_usd=f"{worst_usd[OPUS]:.9f}")
    just_one = own_proxy.chat("search", body, x_penstock_max_cost_usd=f"{worst_usd[PRO]:.9f}")

    assert [each["outcome"] for each in _attempts(own_proxy, reply.headers)] == ["ok", "second_opinion"]
    assert just_one.headers["x-penstock-verified"] == "unknown"
    assert [each["outcome"] for each in _attempts(own_proxy, just_one.headers)] == ["ok"]
    _assert_books_agree(own_proxy, own_sandbox)


def test_a_budget_without_room_for_a_second_call_leaves_the_first_answer(
    own_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Bills the sandbox for another proxy: from here on the books of `own_proxy` are not all there is."""
    body = _body(BAD_FLASH + QUESTION, response_format=JSON_WANTED, max_tokens=400)

    def with_little_money(config: Path) -> None:
        _with_policies(config)
        team = config / "teams" / "search.yaml"
        text = team.read_text()
        start, end = text.index("budgets:"), text.index("limits:")
        team.write_text(f"{text[:start]}budgets:\n  - {{limit_usd: 0.0009, per: day}}\n{text[end:]}")

    with running_proxy(tmp_path_factory.mktemp("poor"), own_sandbox.base_url, edit=with_little_money) as poor:
        candidates = poor.chat("search", body, x_penstock_dry_run="1").json()["candidates"]
        worst_usd = {each["model"]: float(each["worst_usd"]) for each in candidates}
        assert worst_usd[FLASH] < 0.0009 < worst_usd[PRO]

        reply = poor.chat("search", body)

        assert reply.status_code == 200
        assert reply.headers["x-penstock-model"] == FLASH
        assert reply.headers["x-penstock-verified"] == "false"
        assert [each["outcome"] for each in _attempts(poor, reply.headers)] == ["failed_verification"]
        eventually(lambda: "penstock_in_flight_requests 0.0" in poor.metrics(), within_s=10)
        assert 'penstock_budget_held_usd{per="day",project="",team="search"} 0.0' in poor.metrics()


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_client_that_hangs_up_during_the_second_call_pays_for_both(
    tmp_path_factory: pytest.TempPathFactory, *, is_stream: bool
) -> None:
    directory = tmp_path_factory.mktemp("slow")
    with (
        running_sandbox(directory / "sandbox.log", "--time-scale", "0.2") as sandbox,
        running_proxy(directory, sandbox.base_url, edit=_with_policies) as proxy,
    ):
        body = _body(BAD_FLASH + QUESTION, response_format=JSON_WANTED, stream=is_stream)

        connection = _sent(proxy, body)
        eventually(lambda: _requests_seen(sandbox) == 2, within_s=30)
        first_nano_usd = sandbox.bill_nano_usd()
        connection.close()

        calls = _calls(proxy, "TRUE")  # of the only request
        assert [(each["model"], each["outcome"]) for each in calls] == [(FLASH, "failed_verification"), (PRO, "ok")]
        assert 0 < first_nano_usd < sandbox.bill_nano_usd()
        _assert_books_agree(proxy, sandbox)


def test_truncation_and_patterns_are_checked_by_rule(own_proxy: Proxy) -> None:
    long = "Tell me everything about tea, in many words."
    cut = own_proxy.chat("search", _body(long, max_tokens=5) | {"model": "brief"})
    assert _attempts(own_proxy, cut.headers)[0]["verification"] == "not_truncated"
    code = own_proxy.chat("search", _body("Write a Python function that sorts.") | {"model": "brief"})

    assert cut.headers["x-penstock-verified"] == "false"
    assert code.headers["x-penstock-verified"] == "false"  # the sandbox writes prose
    assert _attempts(own_proxy, code.headers)[0]["verification"] == "regex"


def test_a_dry_run_shows_the_checks_and_which_of_them_apply(own_proxy: Proxy) -> None:
    decision = own_proxy.chat("search", _body(QUESTION, response_format=JSON_WANTED), x_penstock_dry_run="1").json()

    assert decision["verify"] == {
        "checks": [
            {"check": "json_schema", "pattern": None, "languages": [], "applies": True},
            {"check": "tool_arguments", "pattern": None, "languages": [], "applies": False},
            {"check": "non_empty", "pattern": None, "languages": [], "applies": True},
        ],
        "max_escalations": 1,
        "buffer": True,
    }


def _with_policies(config: Path) -> None:
    """Adds the policies of this file to the search team, and its aliases of the same names."""
    team = config / "teams" / "search.yaml"
    names = ("checked", "patient", "streaming", "brief", "coded", "agreed", "cascade", "couple")
    aliases = "".join(f"  {name}: {{policy: {name}}}\n" for name in names)
    text = team.read_text().replace("aliases:\n", f"aliases:\n{aliases}").replace("\npolicies:\n", POLICIES)
    team.write_text(text)


def _user(content: str) -> ChatCompletionUserMessageParam:
    return {"role": "user", "content": content}


def _body(content: str, **fields: object) -> dict[str, object]:
    return {"model": "checked", "messages": [_user(content)], **fields}


def _sent(proxy: Proxy, body: Mapping[str, object]) -> socket.socket:
    """An open connection on which the request has been sent."""
    where = urlsplit(proxy.base_url)
    content = json.dumps(body).encode()
    head = (
        f"POST {where.path}/chat/completions HTTP/1.1\r\nHost: {where.netloc}\r\n"
        f"Authorization: Bearer {proxy.keys['search']}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    connection = socket.create_connection((where.hostname, where.port), timeout=60)
    connection.sendall(head.encode() + content)
    return connection


def _requests_seen(sandbox: Sandbox) -> int:
    return len(sandbox.http.get("/sandbox/requests").json()["requests"])


def _assert_books_agree(proxy: Proxy, sandbox: Sandbox) -> None:
    eventually(lambda: "penstock_in_flight_requests 0.0" in proxy.metrics(), within_s=30)
    eventually(lambda: proxy.spend_nano_usd() == sandbox.bill_nano_usd(), within_s=10)


def _attempts(proxy: Proxy, headers: Mapping[str, str]) -> list[dict[str, Any]]:
    """The calls of the request that was answered with these headers, as soon as the ledger has them."""
    return _calls(proxy, f"request_id = '{headers['x-request-id']}'")


def _calls(proxy: Proxy, condition: str) -> list[dict[str, Any]]:
    def rows() -> list[dict[str, Any]]:
        ledger = Path(proxy.environment["STATE_DIRECTORY"]) / "penstock.sqlite"
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute(
                "SELECT a.model, a.outcome, a.verification, a.cost_nano_usd FROM attempts AS a"
                f" JOIN entries AS e ON e.id = a.entry_id WHERE {condition} ORDER BY number"
            )
            return [dict(row) for row in found]

    eventually(lambda: bool(rows()), within_s=60)
    return rows()
