"""Every kind of answer satisfies OpenRouter's OpenAPI file, but where recorded traffic contradicts it.

The file forbids few unknown members, so this says that nothing is missing or of the wrong type; what the wire has
beyond the file is held by the other tests. Schemas: `extract_schemas`.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pytest

from router.sandbox.failures import AVAILABILITY
from router.sandbox.faults import FAULTS, Break, Spoil
from router.sandbox.stock import STOCK
from tests.sandbox.conftest import RunningSandbox, user

_FILE = json.loads((Path(__file__).parent / "data" / "openrouter_schemas.json").read_text())
_UNREADABLE = (Spoil.BAD_GZIP, Spoil.BAD_CHUNK, Spoil.BAD_UTF8, Spoil.LENGTH_TOO_LONG, Spoil.LENGTH_TOO_SHORT)
_ENDLESS = (
    Break.STALL,
    Break.STALL_BEFORE_HEADERS,
    Break.DROP,
    Break.DROP_BEFORE_HEADERS,
    Break.RESET,
    Break.RESET_BEFORE_HEADERS,
)
_FLASH = STOCK.offers[0].id
_QUESTION = [user("Explain how a penstock works.")]
_TOOL = {"type": "function", "function": {"name": "list_tabs", "description": "Lists tabs.", "parameters": {}}}


@dataclass(frozen=True)
class Contradiction:
    """Where the file and what was recorded cannot both be right; the sandbox follows the recording."""

    schema: str
    path: str  # in the answer; an expression
    message: str  # how the validator puts the file's side; an expression for all of it
    evidence: str

    def explains(self, schema: str, path: str, message: str) -> bool:
        """Whether a finding is this contradiction."""
        return (
            re.fullmatch(self.schema, schema) is not None
            and re.fullmatch(self.path, path) is not None
            and re.fullmatch(self.message, message) is not None
        )


CONTRADICTIONS = (
    Contradiction(
        "POST /chat/completions 200",
        "",
        '"(choices|created|model|object|system_fingerprint)" is a required property',
        "wire, 2026-09-28: with status 200 and no choices, a body of `id` and `error` only (fault 200-error)",
    ),
    Contradiction(
        "ChatStreamChunk",
        "error/code",
        '"server_error" is not of type "integer"',
        "OpenRouter's page on streaming, 2026-08: `code` is a word; its page on errors has a number",
    ),
    Contradiction(
        "POST /(chat/completions|responses) (400|403|404|429|503)",
        "error",
        '"code" is a required property',
        "OpenRouter's page on availability, 2026-08-19: `http_status` and `error_type` instead (fault availability)",
    ),
    Contradiction(
        "POST /(chat/completions|responses|messages)",
        "",
        "504 is not in the file",
        "the type `timeout` of OpenRouter's page on errors, and the class for 504 in its SDK 1.3.84 of 2026-10",
    ),
    Contradiction(
        "POST /messages",
        "",
        "(402|408|413|422|502|524) is not in the file",
        "it has these for the other APIs of the same service",
    ),
    Contradiction(
        "POST /messages 200",
        "(type)?",
        '"(container|content|id|model|role|stop_details|stop_reason|stop_sequence)" is a required property'
        '|"error" is not one of "message"',
        "an error with status 200, as on /chat/completions; no traffic of this API is recorded (fault 200-error)",
    ),
    Contradiction(
        "POST /messages 200",
        "",
        '"usage" is a required property',
        "an answer without usage, as was seen on /chat/completions (faults no-usage, record-late)",
    ),
    Contradiction(
        "MessagesStreamEvents message_delta",
        "",
        r'.*"stop_sequence":null\},"type":"message_delta"\} is not valid under any of the schemas.*',
        "the same in a stream",
    ),
    Contradiction(
        "(POST /messages 200|MessagesStreamEvents message_start)",
        "(provider)?",
        '(.*"provider":)?"NovitaAI".*',
        "wire, chat completions: the provider's display name, where the file has `Novita`",
    ),
    Contradiction(
        r"response\.(created|in_progress)",
        "response/usage",
        'null is not of type "object"',
        "wire, 2026-08-04: `usage` is null until the response has ended",
    ),
)


@cache
def _of_answer(endpoint: str, status: int) -> jsonschema_rs.Draft202012Validator | None:
    schema = _FILE["answers"][endpoint].get(str(status))
    return None if schema is None else _validator(schema)


@cache
def _of_event(kind: str) -> jsonschema_rs.Draft202012Validator:
    return _validator(_FILE["events"][kind])


def _validator(schema: object) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({"allOf": [schema], "components": _FILE["components"]})


class Judge:
    """Validates answers and gathers what is wrong with them."""

    def __init__(self) -> None:
        self.found: set[tuple[str, str, str]] = set()

    def whole(self, endpoint: str, response: httpx2.Response) -> None:
        validator = _of_answer(endpoint, response.status_code)
        if validator is None:
            self.found.add((endpoint, "", f"{response.status_code} is not in the file"))
            return
        self._check(f"{endpoint} {response.status_code}", validator, response.json())

    def chat_stream(self, response: httpx2.Response) -> None:
        for chunk in _events(response):
            self._check("ChatStreamChunk", _CHUNK, chunk)

    def responses_stream(self, response: httpx2.Response) -> None:
        for event in _events(response):
            self._check(event["type"], _of_event(event["type"]), event)

    def messages_stream(self, response: httpx2.Response) -> None:
        names = [line.removeprefix("event: ") for line in response.text.splitlines() if line.startswith("event: ")]
        events = list(_events(response))
        assert [name for name in names if name != "noise"] == [event["type"] for event in events]
        for event in events:
            self._check(f"MessagesStreamEvents {event['type']}", _MESSAGE_EVENT, event)

    def _check(self, name: str, validator: jsonschema_rs.Draft202012Validator, value: object) -> None:
        for error in validator.iter_errors(value):
            path = "/".join("*" if isinstance(step, int) else str(step) for step in error.instance_path)
            self.found.add((name, path, error.message))


_CHUNK = _validator({"$ref": "#/components/schemas/ChatStreamChunk"})
_MESSAGE_EVENT = _validator({"$ref": "#/components/schemas/MessagesStreamEvents"})


def _events(response: httpx2.Response) -> Iterator[dict[str, Any]]:
    lines = (line for line in response.text.splitlines() if line.startswith("data: {"))
    yield from (json.loads(line.removeprefix("data: ")) for line in lines)


def _chats() -> Iterator[dict[str, object]]:
    """Every model, plain, thinking and with a tool; and what else changes a body."""
    for offer in STOCK.offers:
        asked: dict[str, object] = {"model": offer.id, "messages": _QUESTION, "max_tokens": 400}
        yield asked
        yield asked | {"reasoning": {"effort": "high"}}
        yield asked | {"tools": [_TOOL], "tool_choice": "required"}
    asked = {"model": STOCK.offers[0].id, "messages": _QUESTION}
    yield asked | {"n": 2}
    yield asked | {"max_tokens": 3}
    yield asked | {"response_format": {"type": "json_object"}}


def judge_chats(judge: Judge, sandbox: RunningSandbox) -> None:
    for body in _chats():
        judge.whole("POST /chat/completions", sandbox.post(body))
        judge.chat_stream(sandbox.post(body | {"stream": True}))


def judge_responses(judge: Judge, sandbox: RunningSandbox) -> None:
    tool = {"type": "function", **_TOOL["function"]}  # type: ignore[dict-item]  # a literal of ours
    for offer in STOCK.offers:
        asked: dict[str, object] = {"model": offer.id, "input": "Explain how a penstock works."}
        for more in ({}, {"reasoning": {"effort": "high"}}, {"tools": [tool], "tool_choice": "required"}):
            body = asked | more
            judge.whole("POST /responses", sandbox.http.post("/api/v1/responses", json=body))
            judge.responses_stream(sandbox.http.post("/api/v1/responses", json=body | {"stream": True}))
    short = {"model": STOCK.offers[0].id, "input": "Rivers", "max_output_tokens": 3, "instructions": "Be brief."}
    judge.responses_stream(sandbox.http.post("/api/v1/responses", json=short | {"stream": True}))


def judge_messages(judge: Judge, sandbox: RunningSandbox) -> None:
    tool = {"name": "list_tabs", "description": "Lists tabs.", "input_schema": {"type": "object"}}
    for offer in STOCK.offers:
        asked: dict[str, object] = {"model": offer.id, "max_tokens": 2_000, "messages": _QUESTION}
        thinking = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
        for more in ({}, thinking, {"tools": [tool], "tool_choice": {"type": "any"}}, {"max_tokens": 3}):
            body = asked | more
            judge.whole("POST /messages", sandbox.http.post("/api/v1/messages", json=body))
            judge.messages_stream(sandbox.http.post("/api/v1/messages", json=body | {"stream": True}))


def judge_faults(judge: Judge, sandbox: RunningSandbox) -> None:
    for fault in FAULTS.values():
        if fault.breaks in _ENDLESS or fault.spoils in _UNREADABLE or fault.name in ("502-html", "503-late"):
            continue
        names = [f"availability:{code}" for code in AVAILABILITY] if fault.name == "availability" else [fault.name]
        for name in names:
            _judge_fault(judge, sandbox, name, path="chat/completions", body={"model": _FLASH, "messages": _QUESTION})
            _judge_fault(judge, sandbox, name, path="responses", body={"model": _FLASH, "input": "Rivers"})
            asked = {"model": _FLASH, "messages": _QUESTION, "max_tokens": 5_000}
            _judge_fault(judge, sandbox, name, path="messages", body=asked)


def _judge_fault(judge: Judge, sandbox: RunningSandbox, name: str, *, path: str, body: dict[str, object]) -> None:
    def ask(more: dict[str, object]) -> httpx2.Response:
        return sandbox.http.post(f"/api/v1/{path}", json=body | more, headers={"x-sandbox-fault": name})

    judge.whole(f"POST /{path}", ask({}))
    streamed = ask({"stream": True})
    if streamed.headers["content-type"] != "text/event-stream":
        judge.whole(f"POST /{path}", streamed)
    elif path == "responses":
        judge.responses_stream(streamed)
    elif path == "messages":
        judge.messages_stream(streamed)
    else:
        judge.chat_stream(streamed)


def judge_the_rest(judge: Judge, sandbox: RunningSandbox) -> None:
    sandbox.http.patch("/sandbox/market", json={"oddities": True, "page_size": 5}).raise_for_status()
    management = {"authorization": "Bearer sk-or-mgmt-1"}
    record = {"id": sandbox.ask().json()["id"]}
    for endpoint, response in {
        "GET /models": sandbox.http.get("/api/v1/models"),
        "GET /models/count": sandbox.http.get("/api/v1/models/count"),
        "GET /models/{author}/{slug}/endpoints": sandbox.http.get(f"/api/v1/models/{STOCK.offers[0].id}/endpoints"),
        "GET /embeddings/models": sandbox.http.get("/api/v1/embeddings/models"),
        "GET /key": sandbox.http.get("/api/v1/key"),
        "GET /credits": sandbox.http.get("/api/v1/credits", headers=management),
        "GET /generation": sandbox.http.get("/api/v1/generation", params=record),
    }.items():
        assert response.status_code == 200, endpoint
        judge.whole(endpoint, response)
    all_models = sandbox.http.get("/api/v1/models?limit=1000")
    judge.whole("GET /models", all_models)
    judge.whole("GET /credits", sandbox.http.get("/api/v1/credits"))
    judge.whole("GET /generation", sandbox.http.get("/api/v1/generation"))
    judge.whole("GET /key", httpx2.get(f"{sandbox.url}/api/v1/key", trust_env=False))
    asked = {"model": "openai/text-embedding-3-small", "input": ["a", "b"]}
    for encoding in ("float", "base64"):
        answer = sandbox.http.post("/api/v1/embeddings", json=asked | {"encoding_format": encoding})
        judge.whole("POST /embeddings", answer)
    judge.whole("POST /embeddings", sandbox.http.post("/api/v1/embeddings", json=asked | {"input": None}))


JUDGEMENTS: tuple[Callable[[Judge, RunningSandbox], None], ...] = (
    judge_chats,
    judge_responses,
    judge_messages,
    judge_faults,
    judge_the_rest,
)


def test_answers_satisfy_the_file_but_for_the_contradictions_that_are_listed(own_sandbox: RunningSandbox) -> None:
    judge = Judge()

    for judgement in JUDGEMENTS:
        judgement(judge, own_sandbox)

    met: set[Contradiction] = set()
    unexplained = []
    for found in sorted(judge.found):
        explaining = {each for each in CONTRADICTIONS if each.explains(*found)}
        met |= explaining
        if not explaining:
            unexplained.append(found)
    assert unexplained == []
    assert set(CONTRADICTIONS) - met == set(), "these contradict no longer"


@pytest.mark.parametrize("member", ["id", "choices", "created", "model", "object"])
def test_a_member_that_is_missing_would_be_noticed(sandbox: RunningSandbox, member: str) -> None:
    body = sandbox.ask().json()
    del body[member]

    assert not _validator(_FILE["answers"]["POST /chat/completions"]["200"]).is_valid(body)
