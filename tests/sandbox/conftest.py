"""A sandbox under real uvicorn on an ephemeral port, and clients that talk to it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import uvicorn
from openai import OpenAI
from starlette.types import ASGIApp

from router.sandbox.app import sandbox_app
from router.tokens.vocabulary import load_encoding

KEY = "sk-or-v1-test"
PATIENCE_S = 20.0


class SettableClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by


@dataclass(frozen=True)
class RunningSandbox:
    """A sandbox that listens, seen from a client."""

    url: str
    clock: SettableClock
    http: httpx2.Client = field(repr=False)

    def ask(self, text: str = "What is a penstock?", /, **fields: object) -> httpx2.Response:
        """The answer to a chat request, not streamed unless `stream=True` is among the fields."""
        return self.post({"model": "deepseek/deepseek-v4-flash", "messages": [user(text)]} | fields)

    def post(self, body: object, headers: dict[str, str] | None = None) -> httpx2.Response:
        return self.http.post("/api/v1/chat/completions", json=body, headers=headers)

    def bill(self) -> dict[str, Any]:
        bill: dict[str, Any] = self.http.get("/sandbox/bill").json()
        return bill

    def bill_lines(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = self.bill()["generations"]
        return lines

    def wait_for_bill_lines(self, count: int) -> list[dict[str, Any]]:
        """The lines once there are so many; asks again and again until a deadline."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if len(lines := self.bill_lines()) >= count:
                return lines
        raise AssertionError(f"expected {count} generations on the bill, found {self.bill_lines()}")


def user(text: str) -> dict[str, str]:
    """A user's message."""
    return {"role": "user", "content": text}


class _Server(uvicorn.Server):
    """Tells another thread when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@contextmanager
def _listening(app: ASGIApp) -> Iterator[str]:
    """Serves `app` in a thread; gives its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = _Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    assert server.listens.wait(PATIENCE_S), "the sandbox did not start"
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()


@pytest.fixture(scope="session")
def count_tokens() -> Callable[[str], int]:
    """Tokens in o200k_base."""
    encoding = load_encoding("o200k_base")
    return lambda text: len(encoding.encode_ordinary(text))


StartSandbox = Callable[..., AbstractContextManager[RunningSandbox]]


@pytest.fixture(scope="session")
def start_sandbox(count_tokens: Callable[[str], int]) -> StartSandbox:
    """Starts a sandbox of one's own: `with start_sandbox(time_scale=1.0) as sandbox: ...`."""

    @contextmanager
    def start(*, time_scale: float = 0.0, seed: int = 0, fault_rate: float = 0.0) -> Iterator[RunningSandbox]:
        clock = SettableClock()
        app = sandbox_app(
            count_tokens=count_tokens, clock=clock, time_scale=time_scale, seed=seed, fault_rate=fault_rate
        )
        with (
            _listening(app) as url,
            httpx2.Client(
                base_url=url, headers={"authorization": f"Bearer {KEY}"}, timeout=PATIENCE_S, trust_env=False
            ) as http,
        ):
            yield RunningSandbox(url, clock, http)

    return start


@pytest.fixture(scope="session")
def _shared_sandbox(start_sandbox: StartSandbox) -> Iterator[RunningSandbox]:
    with start_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_shared_sandbox: RunningSandbox) -> RunningSandbox:
    """A sandbox without delays, with an empty bill and request log, that remembers no prompt."""
    _shared_sandbox.http.delete("/sandbox/bill")
    _shared_sandbox.http.delete("/sandbox/requests")
    _shared_sandbox.clock.advance(timedelta(hours=1))
    return _shared_sandbox


@pytest.fixture
def own_sandbox(sandbox: RunningSandbox) -> Iterator[RunningSandbox]:
    """The same, and whatever is changed through its control plane is changed back."""
    yield sandbox
    for what in ("providers", "account", "scenario", "market"):
        sandbox.http.delete(f"/sandbox/{what}").raise_for_status()


@pytest.fixture
def client(sandbox: RunningSandbox) -> Iterator[OpenAI]:
    """The official client, pointed at the sandbox."""
    with OpenAI(base_url=f"{sandbox.url}/api/v1", api_key=KEY, max_retries=0, timeout=PATIENCE_S) as openai:
        yield openai
