"""docs/reference/openapi.yaml tells what is served: nothing is missing, and what it shows is answered as it says."""

import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio.to_thread
import jsonschema_rs
import msgspec
import pytest

from router.assembly.house import House, assemble
from router.config.loader import load
from router.gateway.feedback import Score
from router.keys import TeamName, written
from router.server.listen import bound, port_of, serving
from router.wire import requests as chats
from router.wire.completions import _Body as CompletionBody
from router.wire.messages_api.reading import _Body as MessagesBody
from router.wire.responses_api.requests import _Body as ResponsesBody
from tests.server.configured import configured
from tests.server.openapi import Answer, Operation, Port, operations, schema, schemas
from tests.torture.lying_upstream import lying_upstream
from tests.torture.raw_client import RawClient

CHECKOUT = Path(__file__).resolve().parents[2]

_BELOW = re.compile(r"/\{\w+\}$")

_READ: Mapping[str, type[msgspec.Struct]] = {
    "ChatRequest": chats._ChatBody,
    "ChatMessage": chats.Message,
    "Part": chats.Part,
    "ChatTool": chats.Tool,
    "ResponsesRequest": ResponsesBody,
    "MessagesRequest": MessagesBody,
    "CompletionRequest": CompletionBody,
    "Feedback": Score,
}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return assemble(load(CHECKOUT / "config", environment=_environment(tmp_path)))


def test_every_route_is_on_the_page_and_every_path_of_the_page_is_a_route(house: House) -> None:
    """HEAD of console pages is left out, as the page says of them all."""
    served = {("data", path.replace(":path}", "}"), method) for method, path in house.routes.data}
    served |= {
        ("admin", each.path, each.method)
        for each in house.routes.admin
        if each.method != "HEAD" or each.path in ("/livez", "/readyz", "/healthz")
    }

    # What is below a path has a name on the page: `/teams/{team}`, where the table has `/teams/*`.
    on_the_page = {
        (port, _BELOW.sub("/*", each.path) if port == "admin" else each.path, each.method)
        for each in operations()
        for port in each.ports
    }
    assert served == on_the_page


@pytest.mark.parametrize("name", _READ)
def test_every_member_that_a_request_is_read_for_is_on_the_page(name: str) -> None:
    read = {field.encode_name for field in msgspec.structs.fields(_READ[name])}

    assert read - set(schema(name)["properties"]) == set()


def test_every_schema_is_one() -> None:
    for name, told in schemas().items():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **told})
        assert name[0].isupper()


def test_what_the_page_shows_is_valid_by_its_own_schemas() -> None:
    names = {"chat/completions": "ChatRequest", "responses": "ResponsesRequest", "messages": "MessagesRequest",
             "messages/count_tokens": "MessagesRequest", "completions": "CompletionRequest",
             "embeddings": "EmbeddingRequest", "moderations": "ModerationRequest", "feedback": "Feedback"}  # fmt: skip
    components = {"components": {"schemas": dict(schemas())}}

    for operation in operations():
        if operation.path.startswith("/v1/"):
            for body in operation.bodies.values():
                told = {"allOf": [schema(names[operation.path.removeprefix("/v1/")])], **components}
                jsonschema_rs.Draft202012Validator(told).validate(body)


@pytest.mark.anyio
async def test_every_example_is_answered_as_the_page_says(tmp_path: Path) -> None:
    async with _served(tmp_path) as served:
        faults, statuses = await anyio.to_thread.run_sync(served.faults_of_all)

    assert faults == []
    assert statuses == {200, 303}


@pytest.mark.anyio
@pytest.mark.parametrize("sent", [None, "Bearer wrong", "\t,\t,\t"])
async def test_whoever_has_no_key_is_answered_as_the_page_says(tmp_path: Path, sent: str | None) -> None:
    async with _served(tmp_path, admin_token=secrets.token_hex()) as served:
        faults, refused = await anyio.to_thread.run_sync(served.faults_without_key, sent)

    assert faults == []
    assert {"POST /v1/chat/completions", "POST /v1/messages", "POST /v1/moderations", "GET /metrics"} <= refused


@pytest.mark.anyio
async def test_what_a_page_from_elsewhere_sends_is_answered_as_the_page_says(tmp_path: Path) -> None:
    async with _served(tmp_path) as served:
        faults, refused = await anyio.to_thread.run_sync(served.faults_from_elsewhere)

    assert faults == []
    assert "POST /admin/reload" in refused


@pytest.mark.anyio
async def test_who_guesses_tokens_in_the_form_is_made_to_wait_as_the_page_says(tmp_path: Path) -> None:
    async with _served(tmp_path, admin_token=secrets.token_hex()) as served:
        faults, statuses = await anyio.to_thread.run_sync(served.faults_of_guessing)

    assert faults == []
    assert statuses == {401, 429}


@pytest.mark.anyio
async def test_an_answer_that_is_not_on_the_page_is_noticed() -> None:
    (models,) = (each for each in operations() if each.name == "GET /v1/models")
    named = ("x-request-id", "req_1")
    kind = ("content-type", "application/json")

    assert models.faults(Answer(418, [named, kind], b"{}"))
    assert models.faults(Answer(200, [named, kind], b"{}"))
    assert models.faults(Answer(200, [named, kind, ("x-powered-by", "tea")], _LIST))
    assert models.faults(Answer(200, [kind], _LIST))
    assert models.faults(Answer(200, [named, kind], _LIST)) == []


_LIST = b'{"object": "list", "data": [], "total_count": 0, "links": {}}'
# What an example asks about that is not there, or not configured.
_ELSEWHERE = frozenset(
    {"POST /v1/moderations", "POST /v1/feedback", "GET /admin/explain", "GET /requests/{request_id}", "GET /explain",
     "GET /replay/{replay_id}", "POST /replay/{replay_id}", "POST /replay", "POST /explain", "GET /requests"}
)  # fmt: skip

_GUESSES = 50  # far more than are let


class _Served:
    """Both ports of a proxy, for blocking clients."""

    def __init__(self, ports: Mapping[Port, int], key: str) -> None:
        self._clients = {port: RawClient(number) for port, number in ports.items()}
        self._key = key

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def faults_of_all(self) -> tuple[list[str], set[int]]:
        """Of every example; and the statuses, where nothing is asked for that is not there."""
        faults: list[str] = []
        statuses: set[int] = set()
        for operation in operations():
            for port in operation.ports:
                for body in operation.bodies.values() or [None]:
                    answer = self._answer(port, operation, body, None if operation.is_public else f"Bearer {self._key}")
                    faults += operation.faults(answer)
                    if operation.name not in _ELSEWHERE:
                        statuses.add(answer.status)
        return faults, statuses

    def faults_without_key(self, authorization: str | None) -> tuple[list[str], set[str]]:
        """Of every operation; and the names of those that were refused with a 401."""
        return self._refused(401, [(port, each) for each in operations() for port in each.ports], authorization)

    def faults_from_elsewhere(self) -> tuple[list[str], set[str]]:
        """Of every operation of the admin port that is no GET; and the names of those that were refused with a 403."""
        posts = [each for each in operations() if "admin" in each.ports and each.method not in ("GET", "HEAD")]
        return self._refused(403, [("admin", each) for each in posts], None, "origin: https://elsewhere.example")

    def faults_of_guessing(self) -> tuple[list[str], set[int]]:
        """Of many wrong tokens in the form of the admin port; and the statuses."""
        (form,) = (each for each in operations() if each.name == "POST /sign-in")
        answers = [self._answer("admin", form, form.bodies["nobody"], None) for _ in range(_GUESSES)]
        return [fault for each in answers for fault in form.faults(each)], {each.status for each in answers}

    def _refused(
        self, status: int, asked: Sequence[tuple[Port, Operation]], authorization: str | None, *more: str
    ) -> tuple[list[str], set[str]]:
        faults: list[str] = []
        refused: set[str] = set()
        for port, operation in asked:
            answer = self._answer(port, operation, next(iter(operation.bodies.values()), None), authorization, *more)
            faults += operation.faults(answer)
            if answer.status == status:
                refused.add(operation.name)
        return faults, refused

    def _answer(self, port: Port, operation: Operation, body: Any, authorization: str | None, *more: str) -> Answer:  # noqa: ANN401
        content = b"" if body is None else operation.encoded(body)
        query = [(each.name, each.examples[0]) for each in operation.of("query")]
        lines = [f"{operation.method} {operation.target({}, query)} HTTP/1.1", "host: 127.0.0.1"]
        lines += [f"content-type: {operation.body_kind}", f"content-length: {len(content)}"]
        if authorization is not None:
            lines.append(f"authorization: {authorization}")
        lines += more
        message = "\r\n".join(lines).encode() + b"\r\n\r\n" + content
        return self._clients[port].ask(message, is_head=operation.method == "HEAD").answer


@asynccontextmanager
async def _served(directory: Path, *, admin_token: str | None = None) -> AsyncIterator[_Served]:
    """A proxy under the shipped configuration, in front of a provider that answers everything."""
    with lying_upstream(0) as upstream:
        environment = {**_environment(directory), "OPENROUTER_API_KEY": "sk-or-t"}
        if admin_token is not None:
            environment["PENSTOCK_ADMIN_TOKEN"] = admin_token
        snapshot = load(configured(directory, upstream.port), environment=environment)
        house = assemble(snapshot)
        data, admin = bound("127.0.0.1", 0), bound("127.0.0.1", 0)
        key = written(house.keys.lend(TeamName("search"), secrets.token_bytes))
        async with serving(house.admin, admin), serving(house.data, data):
            with closing(_Served({"data": port_of(data), "admin": port_of(admin)}, key)) as served:
                yield served


def _environment(directory: Path) -> dict[str, str]:
    return {"STATE_DIRECTORY": str(directory)}


class _Methods:
    def __init__(self, endpoints: Mapping[str, None]) -> None:
        self._endpoints = endpoints
