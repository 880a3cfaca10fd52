"""Failures by kind, seen from outside: who is asked next, who is left alone, and what the client is told."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import Proxy, running_proxy
from tests.e2e.hostile import Answer, HostileProvider
from tests.e2e.test_hostile_provider import is_settled
from tests.e2e.test_streams import end, event, raw_request
from tests.waiting import eventually

_BODY: dict[str, object] = {
    "model": "auto",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Tell me about tea."}],
}


class Provider(HostileProvider):
    """Answers by model, and remembers who was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.refusals: dict[str, Answer] = {}  # whoever is not among them answers well

    def _speak(self, connection: socket.socket) -> None:
        with connection:
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            if head.startswith(b"GET "):
                connection.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                return
            model = json.loads(body)["model"]
            self.asked.append(model)
            self.refusals.get(model, well)(connection)


def reply(status: str, body: dict[str, object], *headers: str) -> Answer:
    content = json.dumps(body).encode()
    head = "\r\n".join(
        [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(content)}", *headers]
    )

    def answer(connection: socket.socket) -> None:
        connection.sendall(f"{head}\r\nconnection: close\r\n\r\n".encode() + content)

    return answer


_MESSAGE = {"role": "assistant", "content": "Tea is a drink."}
well = reply(
    "200 OK",
    {
        "id": "gen-1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": _MESSAGE}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "cost": 0.00001},
    },
)
busy = reply("429 Too Many Requests", {"error": {"message": "slow down", "code": 429}}, "retry-after: 40")
busy_for_a_second = reply("429 Too Many Requests", {"error": {"message": "slow down", "code": 429}}, "retry-after: 1")
too_long = reply("400 Bad Request", {"error": {"message": "its maximum context length is 99 tokens", "code": 400}})
overloaded = reply("500 Internal Server Error", {"error": {"message": "oops", "code": 500}})
wrong = reply("400 Bad Request", {"error": {"message": "temperature must be a number", "code": 400}})
no_key = reply("401 Unauthorized", {"error": {"message": "User not found", "code": 401}})


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def proxy(provider: Provider, tmp_path: Path) -> Iterator[Proxy]:
    with running_proxy(tmp_path, provider.base_url) as proxy:
        yield proxy


def candidates(proxy: Proxy) -> list[str]:
    """In the order of the decision."""
    dry = proxy.chat("search", _BODY, x_penstock_dry_run="1").json()
    return [each["model"] for each in dry["candidates"]]


def test_one_that_says_not_now_is_left_alone_and_the_client_never_notices(proxy: Proxy, provider: Provider) -> None:
    first, second, *_ = candidates(proxy)
    provider.refusals[first] = busy

    for _ in range(3):
        assert proxy.chat("search", _BODY).status_code == 200

    assert provider.asked == [first, second, second, second]
    dry = proxy.chat("search", _BODY, x_penstock_dry_run="1").json()
    assert {each["model"]: each["reason"] for each in dry["rejections"]}[first] == "unavailable"


def test_when_all_say_not_now_the_client_is_told_when_to_come_again_and_nobody_is_asked(
    proxy: Proxy, provider: Provider
) -> None:
    provider.refusals = dict.fromkeys(candidates(proxy), busy)

    refused = proxy.chat("search", _BODY)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
    assert refused.json()["error"]["tried"]
    asked = len(provider.asked)
    while (again := proxy.chat("search", _BODY)).status_code == 429:  # candidates beyond the most that one asks
        asked = len(provider.asked)

    assert (again.status_code, again.json()["error"]["code"]) == (503, "upstream_busy")
    assert 35 <= int(again.headers["retry-after"]) <= 40
    assert again.headers["x-should-retry"] == "true"
    assert len(provider.asked) == asked
    assert proxy.spend_nano_usd() == 0


def test_one_that_fails_five_times_in_a_row_is_not_asked_any_more(proxy: Proxy, provider: Provider) -> None:
    first, *_ = candidates(proxy)
    provider.refusals[first] = overloaded

    statuses = [proxy.chat("search", _BODY).status_code for _ in range(12)]

    assert provider.asked.count(first) == 5
    assert statuses[5:] == [200] * 7
    assert f'penstock_breaker_state{{model="{first}",provider="openrouter"}} 2.0' in proxy.metrics()


def test_one_whose_streams_break_off_five_times_in_a_row_is_not_asked_any_more(
    proxy: Proxy, provider: Provider
) -> None:
    first, second, *_ = candidates(proxy)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    provider.refusals[first] = lambda connection: connection.sendall(head + event("Tea "))

    answers = [proxy.chat("search", {**_BODY, "stream": True}) for _ in range(5)]
    eventually(
        lambda: f'penstock_breaker_state{{model="{first}",provider="openrouter"}} 2.0' in proxy.metrics(), within_s=20
    )

    assert all('"code":"upstream_broken"' in answer.text for answer in answers)
    assert proxy.chat("search", _BODY).headers["x-penstock-model"] == second


def test_what_is_wrong_with_the_request_is_told_at_once(proxy: Proxy, provider: Provider) -> None:
    provider.refusals = dict.fromkeys(candidates(proxy), wrong)

    refused = proxy.chat("search", _BODY)

    assert (refused.status_code, refused.headers["x-should-retry"]) == (400, "false")
    assert "temperature must be a number" in refused.json()["error"]["message"]
    assert len(provider.asked) == 1


def test_without_anything_left_for_retries_the_client_is_told_what_was_answered(
    proxy: Proxy, provider: Provider
) -> None:
    """It was told that everybody is busy, also those who had not been asked."""
    first, *_ = candidates(proxy)
    provider.refusals = dict.fromkeys(candidates(proxy), overloaded)
    assert len(proxy.chat("search", _BODY).json()["error"]["tried"]) == 4  # which is all that is left

    for _ in range(2):
        error = proxy.chat("search", _BODY).json()["error"]
        assert (error["code"], error["tried"]) == ("upstream_500", [f"openrouter:{first}"])


def test_one_for_whose_window_a_request_is_too_long_is_not_asked_once_more(proxy: Proxy, provider: Provider) -> None:
    first, *_ = candidates(proxy)
    for _ in range(20):  # which earns retries
        assert proxy.chat("search", _BODY).status_code == 200
    provider.asked.clear()
    provider.refusals = {**dict.fromkeys(candidates(proxy), overloaded), first: too_long}

    assert proxy.chat("search", _BODY).status_code == 502

    assert provider.asked.count(first) == 1
    assert len(provider.asked) == 4


def test_nobody_is_asked_once_more_for_a_client_that_has_hung_up(proxy: Proxy, provider: Provider) -> None:
    """It hangs up while the second pass is waited for."""
    first, *_ = candidates(proxy)
    provider.refusals = {first: busy_for_a_second}
    with raw_request(proxy, {**_BODY, "model": first, "stream": True}):
        eventually(lambda: provider.asked == [first], within_s=10)
    eventually(lambda: "penstock_in_flight_requests 0.0" in proxy.metrics(), within_s=10)

    assert provider.asked == [first]


def test_where_our_key_is_refused_none_of_the_providers_models_is_asked_again(proxy: Proxy, provider: Provider) -> None:
    provider.refusals = dict.fromkeys(candidates(proxy), no_key)

    assert proxy.chat("search", _BODY).status_code == 502
    again = proxy.chat("search", _BODY)

    assert (again.status_code, again.json()["error"]["code"]) == (503, "upstream_busy")
    assert len(provider.asked) == 1
    eventually(lambda: is_settled(proxy), within_s=10)


@pytest.mark.parametrize("verified", ["", "    verify: non_empty\n    buffer: true\n"])
def test_a_stream_that_does_not_begin_in_time_is_given_up_for_the_next(
    provider: Provider, tmp_path: Path, verified: str
) -> None:
    """Slow is failing too: comments every so often are no answer. One that has begun may take its time."""
    stop = threading.Event()

    def hurry(config: Path) -> None:
        team = config / "teams" / "search.yaml"
        team.write_text(
            team.read_text().replace("  balanced:\n", f"  balanced:\n    first_token_timeout_s: 0.5\n{verified}")
        )

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        with suppress(OSError):  # it is hung up on
            while not stop.wait(0.1):
                connection.sendall(b": OPENROUTER PROCESSING\n\n")

    def begins_and_ends_late(connection: socket.socket) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        connection.sendall(head + event("Tea "))
        stop.wait(1.0)
        connection.sendall(end())

    with running_proxy(tmp_path, provider.base_url, edit=hurry) as proxy:
        first, second, *_ = candidates(proxy)
        provider.refusals = {first: trickle, second: begins_and_ends_late}

        answer = proxy.chat("search", {**_BODY, "stream": True})

        stop.set()
        assert answer.status_code == 200
        assert answer.headers["x-penstock-model"] == second
        assert answer.text.endswith("data: [DONE]\n\n")
        assert provider.asked == [first, second]
