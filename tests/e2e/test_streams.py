"""Clients of streams that wait, hang up, do not read, or are there when the server is stopped."""

import json
import re
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import httpx2
import openai
import pytest

from tests.e2e.conftest import Proxy, running_proxy
from tests.e2e.hostile import HostileProvider
from tests.waiting import eventually

COMMENT = ": penstock waiting"
COMMENT_EVERY_S, UNREAD_S = 0.3, 1.0
SERVED_BY_DEEPINFRA, SERVED_BY_GOOGLE = "DeepInfra", "Google"  # whose bill stops at a hang-up, and whose does not
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
RECORD = json.dumps({"data": {"id": "gen-1", "total_cost": 0.000001, "native_tokens_prompt": 9}}).encode()
_BODY: dict[str, object] = {
    "model": "auto",
    "max_tokens": 100,
    "stream": True,
    "messages": [{"role": "user", "content": "Tell me about tea."}],
}


def event(content: str, *, by: str = SERVED_BY_GOOGLE, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "gen-1", "model": "m", "provider": by, "choices": [choice]}).encode() + b"\n\n"


def end() -> bytes:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "cost": 0.000001}
    return (
        event("end", finish="stop")
        + b"data: "
        + json.dumps({"id": "gen-1", "model": "m", "choices": [], "usage": usage}).encode()
        + b"\n\ndata: [DONE]\n\n"
    )


def is_closed(connection: socket.socket, *, within_s: float) -> bool:
    """Whether the other side closes within so many seconds."""
    readable, _, _ = select.select([connection], [], [], within_s)
    if not readable:
        return False
    try:
        return connection.recv(1) == b""
    except OSError:
        return True


def status_line(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()


def quick(config: Path) -> None:
    main = config / "penstock.yaml"
    text = main.read_text().replace("comment_every_s: 10", f"comment_every_s: {COMMENT_EVERY_S}")
    text = text.replace("unread_s: 300", f"unread_s: {UNREAD_S}")
    text = text.replace("breakers: true", "breakers: false")  # one test's failures are none of the next one's
    main.write_text(text)


@pytest.fixture
def provider() -> Iterator[HostileProvider]:
    provider = HostileProvider()
    provider.record = RECORD
    yield provider
    provider.close()


@pytest.fixture
def pause() -> threading.Event:
    """To wait on in place of sleeping; nobody sets it."""
    return threading.Event()


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, HostileProvider]]:
    provider = HostileProvider()
    provider.record = RECORD
    with running_proxy(tmp_path_factory.mktemp("proxy"), provider.base_url, edit=quick) as proxy:
        yield proxy, provider
    provider.close()


# Waiting for the first event


def test_who_waits_for_a_stream_gets_comments_and_then_the_stream(
    patient: tuple[Proxy, HostileProvider], pause: threading.Event
) -> None:
    proxy, provider = patient

    def late(connection: socket.socket) -> None:
        pause.wait(4 * COMMENT_EVERY_S)
        connection.sendall(_HEAD + event("Tea ") + end())

    provider.answer = late

    answer = proxy.chat("search", _BODY)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in client_stream(proxy))

    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "x-penstock-model" not in answer.headers  # nobody had answered yet
    events = answer.text.split("\n\n")
    comments = [each for each in events if each.startswith(":")]
    assert comments == [COMMENT] * len(comments)
    assert 2 <= len(comments) <= 4
    assert events[len(comments)].startswith("data: {")
    assert not re.search("^(id|retry):", answer.text, re.MULTILINE)
    assert text == "Tea end"


def test_a_stream_that_begins_in_time_has_no_comments(patient: tuple[Proxy, HostileProvider]) -> None:
    proxy, provider = patient
    provider.answer = lambda connection: connection.sendall(_HEAD + event("Tea ") + end())

    answer = proxy.chat("search", _BODY)

    assert COMMENT not in answer.text
    assert answer.headers["x-penstock-provider"] == "openrouter"


def test_another_provider_is_asked_behind_the_comments(
    patient: tuple[Proxy, HostileProvider], pause: threading.Event
) -> None:
    proxy, provider = patient
    asked: list[object] = []

    def fails_at_first(connection: socket.socket) -> None:
        asked.append(connection)
        if len(asked) == 1:
            pause.wait(2 * COMMENT_EVERY_S)
            connection.sendall(status_line("503 Service Unavailable"))
        else:
            connection.sendall(_HEAD + event("Tea ") + end())

    provider.answer = fails_at_first

    answer = proxy.chat("search", _BODY)

    assert len(asked) == 2
    assert answer.text.startswith(COMMENT)
    assert answer.text.endswith("data: [DONE]\n\n")


def test_what_fails_behind_the_comments_is_told_by_an_error_event(
    patient: tuple[Proxy, HostileProvider], pause: threading.Event
) -> None:
    proxy, provider = patient

    def refuses_late(connection: socket.socket) -> None:
        pause.wait(2 * COMMENT_EVERY_S)
        connection.sendall(status_line("400 Bad Request"))

    provider.answer = refuses_late

    answer = proxy.chat("search", _BODY)
    with pytest.raises(openai.APIError) as refused:
        list(client_stream(proxy))

    assert answer.status_code == 200
    last = answer.text.strip().split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_400"
    assert "[DONE]" not in answer.text
    assert refused.value.code == "upstream_400"


@pytest.mark.parametrize("after_s", [0, 2 * COMMENT_EVERY_S])
def test_a_whole_answer_comes_as_a_stream_to_who_asked_for_one(
    patient: tuple[Proxy, HostileProvider], pause: threading.Event, after_s: float
) -> None:
    """Some providers do not stream. The SDKs read JSON in place of events as a stream without a chunk."""
    proxy, provider = patient
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": "Tea", "tool_calls": [call]}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    content = json.dumps({"id": "gen-1", "model": "m", "object": "chat.completion", "created": 0, "choices": [choice]})

    def whole(connection: socket.socket) -> None:
        pause.wait(after_s)
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        connection.sendall((head + content).encode())

    provider.answer = whole

    [chunk] = list(client_stream(proxy))

    assert chunk.choices[0].delta.content == "Tea"
    assert chunk.choices[0].delta.tool_calls is not None
    assert chunk.choices[0].delta.tool_calls[0].index == 0


# Hanging up


@pytest.mark.parametrize(("by", "is_closed_at_once"), [(SERVED_BY_DEEPINFRA, True), (SERVED_BY_GOOGLE, False)])
def test_who_hangs_up_while_the_provider_is_silent_ends_the_call_within_a_second_where_that_stops_the_bill(
    patient: tuple[Proxy, HostileProvider], by: str, is_closed_at_once: bool
) -> None:
    """It was noticed at the provider's next byte, which may come after minutes."""
    proxy, provider = patient
    closed: list[bool] = []
    before = proxy.spend_nano_usd()

    def falls_silent(connection: socket.socket) -> None:
        connection.sendall(_HEAD + event("Tea ", by=by))
        closed.append(is_closed(connection, within_s=1.0))
        if not closed[-1]:
            connection.sendall(end())

    provider.answer = falls_silent

    with raw_request(proxy) as client:
        assert b"Tea" in read_until(client, b"Tea")

    eventually(lambda: bool(closed), within_s=10)
    assert closed == [is_closed_at_once]
    eventually(lambda: "penstock_in_flight_requests 0.0" in proxy.metrics(), within_s=40)
    assert 'outcome="client_gone"' in proxy.metrics()
    eventually(lambda: proxy.spend_nano_usd() - before == 1_000, within_s=20)  # by its usage chunk, or by its record


def test_who_hangs_up_while_a_stream_is_collected_to_be_verified_ends_the_call_as_well(
    provider: HostileProvider, tmp_path: Path
) -> None:
    """It was read, and paid for, to its end."""
    begun, closed = threading.Event(), list[bool]()

    def falls_silent(connection: socket.socket) -> None:
        connection.sendall(_HEAD + event("Tea ", by=SERVED_BY_DEEPINFRA))
        begun.set()
        closed.append(is_closed(connection, within_s=3.0))

    with running_proxy(tmp_path, provider.base_url, edit=verifying) as proxy:
        provider.answer = falls_silent
        with raw_request(proxy):
            assert begun.wait(10)

        eventually(lambda: closed == [True], within_s=10)
        eventually(lambda: "penstock_in_flight_requests 0.0" in proxy.metrics(), within_s=10)
        assert 'outcome="client_gone"' in proxy.metrics()
        assert proxy.spend_nano_usd() == 1_000  # by its record


def test_nobody_else_is_asked_for_a_client_that_has_hung_up(
    patient: tuple[Proxy, HostileProvider], pause: threading.Event
) -> None:
    proxy, provider = patient
    asked: list[object] = []

    def fails_late(connection: socket.socket) -> None:
        asked.append(connection)
        pause.wait(1.0)
        connection.sendall(status_line("503 Service Unavailable"))

    provider.answer = fails_late
    with raw_request(proxy):
        eventually(lambda: len(asked) == 1, within_s=10)

    eventually(lambda: "penstock_in_flight_requests 0.0" in proxy.metrics(), within_s=40)
    assert len(asked) == 1


def test_a_client_that_does_not_read_is_cut_off_and_the_call_is_ended(patient: tuple[Proxy, HostileProvider]) -> None:
    proxy, provider = patient
    ended: list[bool] = []

    def endless(connection: socket.socket) -> None:
        connection.sendall(_HEAD)
        connection.settimeout(30)
        try:
            while True:
                connection.sendall(event("tea " * 2_000, by=SERVED_BY_DEEPINFRA))
        except TimeoutError:
            ended.append(False)
        except OSError:
            ended.append(True)

    provider.answer = endless

    with raw_request(proxy, receive_buffer_bytes=4_096) as client:
        eventually(lambda: bool(ended), within_s=UNREAD_S + 15)
        received = read_to_the_end(client)

    assert ended == [True]
    assert b"[DONE]" not in received
    assert len(received) < 8 * 1024 * 1024


# A stop


def test_a_stop_gives_notice_serves_who_still_comes_and_lets_streams_finish(
    provider: HostileProvider, pause: threading.Event, tmp_path: Path
) -> None:
    go_on = threading.Event()

    def in_two_parts(connection: socket.socket) -> None:
        connection.sendall(_HEAD + event("Tea "))
        go_on.wait(20)
        connection.sendall(end())

    with running_proxy(tmp_path, provider.base_url, edit=grace("stop_notice_s: 3", "stop_grace_s: 30")) as proxy:
        ready = proxy.base_url.replace("/v1", "/readyz")
        provider.answer = in_two_parts
        with raw_request(proxy) as client:
            read_until(client, b"Tea")
            kept = httpx2.Client(timeout=20)
            assert kept.get(ready).status_code == 200
            proxy.process.send_signal(signal.SIGTERM)
            eventually(lambda: kept.get(ready).status_code == 503, within_s=1)
            provider.answer = lambda connection: connection.sendall(_HEAD + event("Tea ") + end())
            fresh = proxy.chat("search", _BODY)
            kept.close()
            eventually(lambda: not is_listening(proxy), within_s=10)
            assert proxy.process.poll() is None
            go_on.set()
            rest = read_until(client, b"[DONE]")

        assert fresh.text.endswith("data: [DONE]\n\n")
        assert fresh.headers["connection"] == "close"
        assert b"end" in rest
        assert proxy.process.wait(20) == 0
        assert proxy.spend_nano_usd() == 2_000


@pytest.mark.parametrize("signals", [1, 2])
def test_what_outlasts_the_grace_gets_an_error_event_and_is_booked(
    provider: HostileProvider, pause: threading.Event, tmp_path: Path, signals: int
) -> None:
    """A second signal ends the grace at once, and loses nothing."""
    cut = threading.Event()

    def drags_on(connection: socket.socket) -> None:
        connection.sendall(_HEAD + event("Tea "))
        cut.wait(20)
        connection.sendall(end())

    grace_s = 1 if signals == 1 else 600
    with running_proxy(
        tmp_path, provider.base_url, edit=grace("stop_notice_s: 0", f"stop_grace_s: {grace_s}")
    ) as proxy:
        provider.answer = drags_on
        with raw_request(proxy) as client:
            read_until(client, b"Tea")
            proxy.process.send_signal(signal.SIGTERM)
            if signals == 2:
                eventually(lambda: not is_listening(proxy), within_s=5)
                proxy.process.send_signal(signal.SIGTERM)
            told = read_until(client, b'"error"')
            cut.set()

        assert b'"code":"unavailable"' in told
        assert proxy.process.wait(30) == 0
        assert proxy.spend_nano_usd() == 1_000
        [row] = json.loads(proxy.command("spend", "--by", "", "--json"))
        assert row["requests"] == 1


def test_a_request_that_still_waits_for_its_answer_when_the_grace_ends_gets_a_503(
    provider: HostileProvider, tmp_path: Path
) -> None:
    def never(connection: socket.socket) -> None:
        is_closed(connection, within_s=30)

    with running_proxy(tmp_path, provider.base_url, edit=grace("stop_notice_s: 0", "stop_grace_s: 1")) as proxy:
        provider.answer = never
        answers: list[httpx2.Response] = []
        asking = threading.Thread(
            target=lambda: answers.append(proxy.chat("search", {**_BODY, "stream": False})), daemon=True
        )
        asking.start()
        eventually(lambda: "penstock_in_flight_requests 1.0" in proxy.metrics(), within_s=10)
        proxy.process.send_signal(signal.SIGTERM)
        asking.join(20)

        assert [each.status_code for each in answers] == [503]
        assert answers[0].headers["x-should-retry"] == "true"
        assert proxy.process.wait(30) == 0
        [row] = json.loads(proxy.command("spend", "--by", "", "--json"))
        assert row["requests"] == 1
        assert row["cost_nano_usd"] > 0  # it may be billed


def test_a_verified_stream_that_is_cut_off_is_cut_between_its_events(
    provider: HostileProvider, pause: threading.Event, tmp_path: Path
) -> None:
    """It was cut in the middle of one, so that no SDK could read the error event behind it."""
    words = 12 * 1024 * 1024 // len(event("tea " * 2_000))

    def long(connection: socket.socket) -> None:
        connection.sendall(_HEAD + event("tea " * 2_000) * words + end())

    def brief(config: Path) -> None:
        grace("stop_notice_s: 0", "stop_grace_s: 1")(config)
        verifying(config)

    with running_proxy(tmp_path, provider.base_url, edit=brief) as proxy:
        provider.answer = long
        with raw_request(proxy, receive_buffer_bytes=4_096) as client:
            received = read_until(client, b"HTTP/1.1 200")
            proxy.process.send_signal(signal.SIGTERM)
            eventually(lambda: not is_listening(proxy), within_s=5)
            pause.wait(1.2)  # the grace
            received += read_to_the_end(client)

    *_, last, nothing = unchunked(received).split(b"\n\n")
    assert nothing == b""
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "unavailable"


def test_a_request_that_has_not_come_whole_when_the_grace_ends_gets_a_503(
    provider: HostileProvider, pause: threading.Event, tmp_path: Path
) -> None:
    """It was sent to a provider all the same, and after three seconds its connection closed without a word."""
    asked: list[object] = []
    provider.answer = asked.append
    with running_proxy(tmp_path, provider.base_url, edit=grace("stop_notice_s: 0", "stop_grace_s: 1")) as proxy:
        with raw_request(proxy, {**_BODY, "stream": False}, all_but_bytes=1) as client:
            pause.wait(0.3)
            proxy.process.send_signal(signal.SIGTERM)
            eventually(lambda: not is_listening(proxy), within_s=5)
            pause.wait(1.5)
            client.sendall(b"}")
            told = read_to_the_end(client)

        assert told.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"unavailable"' in told
        assert not asked
        assert proxy.process.wait(30) == 0


def grace(notice: str, whole: str) -> Callable[[Path], None]:
    def edit(config: Path) -> None:
        main = config / "penstock.yaml"
        text = main.read_text().replace("stop_notice_s: 0", notice)
        main.write_text(text.replace("stop_grace_s: 30", whole))

    return edit


def verifying(config: Path) -> None:
    team = config / "teams" / "search.yaml"
    checks = "  balanced:\n    verify: non_empty\n    buffer: true\n"
    team.write_text(team.read_text().replace("  balanced:\n", checks))


def client_stream(proxy: Proxy) -> Iterator[openai.types.chat.ChatCompletionChunk]:
    with proxy.client().chat.completions.create(
        model="auto", messages=[{"role": "user", "content": "Tell me about tea."}], max_tokens=100, stream=True
    ) as chunks:
        yield from chunks


def raw_request(
    proxy: Proxy, asked: Mapping[str, object] = _BODY, *, receive_buffer_bytes: int = 0, all_but_bytes: int = 0
) -> socket.socket:
    """A request on a plain socket, to hang up or not to read."""
    host, port = proxy.base_url.removesuffix("/v1").removeprefix("http://").split(":")
    client = socket.socket()
    if receive_buffer_bytes:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    client.settimeout(20)
    client.connect((host, int(port)))
    body = json.dumps(asked).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {proxy.keys['search']}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    client.sendall(head.encode() + body[: len(body) - all_but_bytes])
    return client


def read_until(client: socket.socket, mark: bytes) -> bytes:
    received = b""
    deadline_s = time.monotonic() + 20
    while mark not in received:
        assert time.monotonic() < deadline_s
        data = client.recv(65_536)
        assert data, f"closed before {mark!r}: {received!r}"
        received += data
    return received


def read_to_the_end(client: socket.socket) -> bytes:
    parts: list[bytes] = []
    with suppress(ConnectionResetError):
        while data := client.recv(65_536):
            parts.append(data)
    return b"".join(parts)


def is_listening(proxy: Proxy) -> bool:
    host, port = proxy.base_url.removesuffix("/v1").removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def unchunked(answer: bytes) -> bytes:
    """The body of an answer in chunks, up to its last whole one."""
    _, _, left = answer.partition(b"\r\n\r\n")
    body = b""
    while left:
        size, _, left = left.partition(b"\r\n")
        if int(size, 16) == 0:
            break
        body, left = body + left[: int(size, 16)], left[int(size, 16) + 2 :]
    return body
