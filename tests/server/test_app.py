"""Both applications: every path and method has an answer in OpenAI's shape, also when the mistake is our own."""

import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx2
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from router.apis import Api
from router.errors import Unauthenticated
from router.server.app import PUBLIC, LastResort, data_app
from router.server.replies import Wording, refuse, send_json
from router.wire.messages_api.errors import error_body as anthropic_error_body
from tests.server.asgi import call, get, scope_of

pytestmark = pytest.mark.anyio

PATIENCE_S = 20.0
PROMPT = "the prompt of a client"


def answering(name: str) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, {"reached": name, "path_params": scope.get("path_params", {})})

    return app


def unguarded(app: ASGIApp) -> ASGIApp:
    return app


@asynccontextmanager
async def no_lifespan(_: object) -> AsyncIterator[None]:
    yield


def named() -> str:
    return "req_1"


def last_resort(app: ASGIApp) -> ASGIApp:
    return LastResort(app, new_request_id=named)


def data(
    *,
    chat: ASGIApp | None = None,
    not_ready: Callable[[], str | None] = lambda: None,
    guard: Callable[[ASGIApp], ASGIApp] = unguarded,
    messages: ASGIApp | None = None,
) -> ASGIApp:
    return data_app(
        endpoints={Api.CHAT: chat or answering("chat"), Api.MESSAGES: messages or answering("messages")},
        count_tokens=answering("count_tokens"),
        feedback=answering("feedback"),
        models=answering("models"),
        not_ready=not_ready,
        guard=guard,
        new_request_id=named,
        lifespan=no_lifespan,
        wordings=[("/v1/messages", AS_ANTHROPIC)],
    )


# Wordings

AS_ANTHROPIC = Wording(anthropic_error_body, request_id_headers=(b"x-request-id", b"request-id"))


def refusing(app: ASGIApp) -> ASGIApp:
    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(scope, send, Unauthenticated("No key."))

    return guard


async def raising(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError(PROMPT)


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/messages/count_tokens", 405, "invalid_request_error"),
        ("POST", "/v1/messages/batches", 404, "not_found_error"),
        ("POST", "/v1/messages", 500, "api_error"),
    ],
)
async def test_who_speaks_another_api_gets_every_error_in_its_words(
    method: str, path: str, status: int, kind: str
) -> None:
    answer = await call(data(messages=raising), scope_of(path, method=method))

    error = answer.json["error"]
    assert isinstance(error, dict)
    assert (answer.status, answer.json["type"], error["type"]) == (status, "error", kind)
    assert answer.json["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"] == "req_1"


async def test_a_missing_key_too_and_only_there() -> None:
    app = data(guard=refusing)

    there, elsewhere = await get(app, "/v1/messages"), await get(app, "/v1/models")

    assert there.json["error"] == {"type": "authentication_error", "message": "No key.", "code": "invalid_api_key"}
    assert elsewhere.error["param"] is None
    assert "request-id" not in elsewhere.headers


# Routes


@pytest.mark.parametrize(
    ("method", "path", "reached", "params"),
    [
        ("POST", "/v1/chat/completions", "chat", {}),
        ("POST", "/v1/messages/count_tokens", "count_tokens", {}),
        ("GET", "/v1/models", "models", {}),
        ("GET", "/v1/models/auto", "models", {"model_id": "auto"}),
        ("GET", "/v1/models/openai/gpt-5.5", "models", {"model_id": "openai/gpt-5.5"}),
    ],
)
async def test_the_data_port_routes_what_openai_clients_call(
    method: str, path: str, reached: str, params: dict[str, str]
) -> None:
    answer = await call(data(), scope_of(path, method=method))

    assert answer.json == {"reached": reached, "path_params": params}


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/completions", "/metrics", "/admin/spend", "/V1/models"])
async def test_the_data_port_has_nothing_else_and_nothing_administrative(path: str) -> None:
    answer = await get(data(), path)

    assert answer.status == 404
    assert answer.error == {
        "message": f"There is nothing at {path!r}. See docs/clients.md for what there is.",
        "type": "invalid_request_error",
        "param": None,
        "code": "unknown_route",
    }


@pytest.mark.parametrize(
    ("app", "method", "path", "allowed"),
    [
        (data(), "GET", "/v1/chat/completions", "POST"),
        (data(), "OPTIONS", "/v1/chat/completions", "POST"),
        (data(), "POST", "/v1/models", "GET"),
        (data(), "DELETE", "/v1/models/auto", "GET"),
        (data(), "POST", "/livez", "GET, HEAD"),
    ],
)
async def test_another_method_is_refused_with_the_one_that_is_allowed(
    app: ASGIApp, method: str, path: str, allowed: str
) -> None:
    answer = await call(app, scope_of(path, method=method))

    assert answer.status == 405
    assert answer.headers["allow"] == allowed
    assert answer.error["code"] == "method_not_allowed"
    assert answer.error["message"] == f"{path} takes {allowed}, not {method}."


async def test_the_guard_stands_before_every_route_and_before_the_answer_that_there_is_none() -> None:
    seen: list[str] = []

    def guard(app: ASGIApp) -> ASGIApp:
        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["path"])
            await app(scope, receive, send)

        return watched

    paths = ["/v1/models", "/livez", "/no/such/path"]
    for path in paths:
        await get(data(guard=guard), path)

    assert seen == paths


# Health


async def test_every_public_path_exists() -> None:
    for path in PUBLIC:
        answer = await get(data(), path)

        assert (answer.status, answer.json) == (200, {"status": "ok"})


async def test_an_instance_that_is_not_ready_says_why_and_is_alive_all_the_same() -> None:
    app = data(not_ready=lambda: "It is not the day for it.")

    answer = await get(app, "/readyz")

    assert (answer.status, answer.error["code"]) == (503, "unavailable")
    assert answer.error["message"] == "It is not the day for it. Ask another instance, or later."
    assert answer.headers["retry-after"] == "1"
    for path in ("/livez", "/healthz"):
        assert (await get(app, path)).status == 200


@pytest.mark.parametrize(("is_stopping", "told"), [(False, None), (True, "close")])
async def test_no_connection_is_kept_by_an_instance_that_is_stopping(is_stopping: bool, told: str | None) -> None:
    app = LastResort(answering("chat"), new_request_id=named, keeps_no_connection=lambda: is_stopping)

    answer = await get(app, "/")

    assert answer.headers.get("connection") == told


async def test_a_close_that_is_said_already_is_not_said_twice() -> None:
    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, {}, headers=[(b"connection", b"close")])

    answer = await get(LastResort(closing, new_request_id=named, keeps_no_connection=lambda: True), "/")

    assert answer.headers["connection"] == "close"  # which fails if a header is there twice


# Our own mistakes


async def raises_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError(PROMPT)


async def raises_after_the_start(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    raise ValueError(PROMPT)


async def raises_several(scope: Scope, receive: Receive, send: Send) -> None:
    raise ExceptionGroup(PROMPT, [ValueError(PROMPT), KeyError(PROMPT)])


@pytest.mark.parametrize("mistake", [raises_at_once, raises_several])
async def test_a_mistake_of_ours_is_a_500_that_tells_nothing_of_its_inside(
    caplog: pytest.LogCaptureFixture, mistake: ASGIApp
) -> None:
    answer = await get(last_resort(mistake), "/")

    assert answer.status == 500
    assert answer.error == {
        "message": "The gateway made a mistake; it has been logged.",
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("unhandled ")
    assert PROMPT not in caplog.text


async def test_a_mistake_of_ours_is_logged_with_its_kind_and_place(caplog: pytest.LogCaptureFixture) -> None:
    await get(last_resort(raises_at_once), "/")

    kind, place = caplog.records[0].getMessage().removeprefix("unhandled ").split(" in ")
    assert kind == "ValueError"
    assert place.partition(":")[0] == "app.py"  # the innermost of our own lines: the test's are not


async def test_a_mistake_after_the_answer_began_breaks_the_answer_off() -> None:
    with pytest.raises(ConnectionAbortedError) as broken:
        await get(last_resort(raises_after_the_start), "/")

    assert broken.value.__context__ is None  # or the server's log would quote what raised it


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The application under uvicorn, in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    listens = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            listens.set()

    server = Server(uvicorn.Config(app, log_config=None, lifespan="off", http="httptools"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    assert listens.wait(PATIENCE_S)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()


def test_a_client_sees_an_answer_that_broke_off_as_broken_and_no_log_quotes_the_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        served(last_resort(raises_after_the_start)) as url,
        httpx2.Client(trust_env=False) as http,
        pytest.raises(httpx2.RemoteProtocolError),
    ):
        http.get(url)

    assert "unhandled ValueError" in caplog.text
    assert PROMPT not in caplog.text


def test_a_real_client_gets_the_500_whole(caplog: pytest.LogCaptureFixture) -> None:
    with served(last_resort(raises_at_once)) as url, httpx2.Client(trust_env=False) as http:
        answer = http.get(url)

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert PROMPT not in caplog.text


@pytest.mark.parametrize("path", ["//livez", "/livez/", "/%6civez/", "/livez%2e", "/LIVEZ", "/x/../livez", "/livez%00"])
def test_a_path_that_looks_public_reaches_a_real_server_as_another(path: str) -> None:
    """What the guard compares is what the routes compare, whatever the server decodes."""

    def guard(app: ASGIApp) -> ASGIApp:
        async def public_only(scope: Scope, receive: Receive, send: Send) -> None:
            await (app if scope["path"] in PUBLIC else answering("the guard"))(scope, receive, send)

        return public_only

    with served(data(guard=guard)) as url, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65_536), b""))

    assert b"the guard" in answer or answer.startswith(b"HTTP/1.1 400")
