"""Providers that lie, trickle or babble: the books stay right, and nothing is held for ever."""

import json
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Proxy, running_proxy
from tests.e2e.hostile import Answer, HostileProvider
from tests.waiting import eventually


@pytest.fixture(scope="module")
def provider() -> Iterator[HostileProvider]:
    provider = HostileProvider()
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def proxy(provider: HostileProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    def impatient(config: Path) -> None:
        main = config / "penstock.yaml"
        text = main.read_text()
        main.write_text(
            text.replace("first_byte_s: 300", "first_byte_s: 2").replace("between_bytes_s: 120", "between_bytes_s: 1")
        )
        search = (config / "teams" / "search.yaml").read_text().replace("team: search", "team: cached")
        (config / "teams" / "cached.yaml").write_text(f"{search}\ncache: {{ttl_s: 600, when: always}}\n")

    with running_proxy(tmp_path_factory.mktemp("proxy"), provider.base_url, edit=impatient) as proxy:
        yield proxy


def test_a_cost_far_above_what_was_held_is_not_believed(proxy: Proxy, provider: HostileProvider) -> None:
    """$900,000 for one call once locked its team out for the rest of the month."""
    provider.answer = whole(usage={"prompt_tokens": 5, "completion_tokens": 5, "cost": 900_000})

    assert proxy.chat("search", _BODY).status_code == 200
    assert proxy.chat("search", _BODY).status_code == 200
    eventually(lambda: is_settled(proxy), within_s=60)
    assert proxy.spend_nano_usd() < 10**9


def test_calls_that_failed_and_may_be_billed_count_against_the_requests_ceiling(
    proxy: Proxy, provider: HostileProvider
) -> None:
    """Three candidates that each fit below the ceiling once took a request to twice its ceiling."""
    asked: list[object] = []

    def break_off(connection: socket.socket) -> None:
        asked.append(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")

    provider.answer = break_off
    dry = proxy.chat("search", _BODY, x_penstock_dry_run="1").json()
    first, second = (float(each["worst_usd"]) for each in dry["candidates"][:2])
    spent_before = proxy.spend_nano_usd()

    assert proxy.chat("search", _BODY, x_penstock_max_cost_usd=f"{first + second * 0.9:.9f}").status_code == 502

    assert len(asked) == 1
    eventually(lambda: is_settled(proxy), within_s=60)
    assert proxy.spend_nano_usd() - spent_before <= (first + second * 0.9) * 1e9

    assert proxy.chat("search", _BODY, x_penstock_max_cost_usd=f"{first + second * 1.1:.9f}").status_code == 502
    assert len(asked) == 3


def test_an_error_inside_an_answer_that_has_begun_may_be_owed(proxy: Proxy, provider: HostileProvider) -> None:
    """A choice with half an answer and an error once was booked free, although some providers bill what they made."""
    choice = {
        "index": 0,
        "finish_reason": "error",
        "message": {"role": "assistant", "content": "Hal"},
        "error": {"code": 502, "message": "broke"},
    }
    provider.answer = whole(choices=[choice])
    spent_before = proxy.spend_nano_usd()

    assert proxy.chat("search", _BODY).status_code == 502

    eventually(lambda: is_settled(proxy), within_s=60)
    assert proxy.spend_nano_usd() > spent_before


def test_an_error_in_place_of_an_answer_costs_nothing(proxy: Proxy, provider: HostileProvider) -> None:
    provider.answer = whole(choices=[], error={"code": 503, "message": "overloaded"})
    spent_before = proxy.spend_nano_usd()

    assert proxy.chat("search", _BODY).status_code == 503

    eventually(lambda: is_settled(proxy), within_s=60)
    assert proxy.spend_nano_usd() == spent_before


def test_a_name_of_megabytes_is_cut_and_the_call_is_booked(proxy: Proxy, provider: HostileProvider) -> None:
    """An id of 70,000 characters once kept hold and slot for ever, and the call out of the books."""
    provider.answer = whole(id="A" * 70_000, model="B" * 70_000)

    assert proxy.chat("search", _BODY).status_code == 200
    eventually(lambda: is_settled(proxy), within_s=60)


def test_a_provider_that_trickles_is_given_up_and_nothing_stays_held(proxy: Proxy, provider: HostileProvider) -> None:
    """Comments every so often once kept a request, and what was held for it, under way without end."""
    stop = threading.Event()

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        while not stop.wait(0.2):
            connection.sendall(b": OPENROUTER PROCESSING\n\n")

    provider.answer = trickle
    refused = proxy.chat("search", {**_BODY, "stream": True})

    assert refused.status_code == 504
    eventually(lambda: is_settled(proxy), within_s=30)
    stop.set()


def test_a_chunk_with_broken_text_ends_in_an_error_event_and_not_in_a_crash(
    proxy: Proxy, provider: HostileProvider
) -> None:
    def speak(connection: socket.socket) -> None:
        good = b'data: {"id":"gen-1","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"}}]}\n\n'
        bad = b'data: {"\xff":1,"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"cost":0.000001}}\n\n'
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        connection.sendall(good + bad)

    provider.answer = speak
    reply = proxy.chat("search", {**_BODY, "stream": True})

    assert reply.status_code == 200
    assert "[DONE]" not in reply.text
    assert "error" in reply.text
    eventually(lambda: is_settled(proxy), within_s=60)


def test_a_whole_answer_to_who_wanted_a_stream_is_given_again_as_a_stream(
    proxy: Proxy, provider: HostileProvider
) -> None:
    """The cache once gave the provider's JSON under the name of an event stream, in which no client finds an event."""
    provider.answer = whole(usage={"prompt_tokens": 5, "completion_tokens": 5, "cost": 0.000001})
    body = {**_BODY, "stream": True}

    first = proxy.chat("cached", body)
    eventually(lambda: is_settled(proxy), within_s=60)
    again = proxy.chat("cached", body)

    assert (first.headers["x-penstock-cache"], again.headers["x-penstock-cache"]) == ("miss", "hit")
    assert again.content == first.content
    assert again.content.endswith(b"data: [DONE]\n\n")


def test_a_whole_answer_that_no_client_can_read_is_an_error_and_booked_as_it_says(
    proxy: Proxy, provider: HostileProvider
) -> None:
    """Both kinds once were a 200: what is no UTF-8, and to who waits for the end of a response another API's answer."""
    counts = b'"prompt_tokens":5,"completion_tokens":5,"input_tokens":5,"output_tokens":5'
    spent_before = proxy.spend_nano_usd()

    asked = [(*each, is_stream) for each in _UNREADABLE for is_stream in (False, True)]
    for path, said, is_stream in asked:
        provider.answer = sending(b'{"id":"gen-1",%b,"usage":{%b,"cost":0.000001}}' % (said, counts))
        reply = proxy.http.post(
            f"{proxy.base_url}/{path}",
            json={**_ASKED[path], "stream": is_stream},
            headers={"authorization": f"Bearer {proxy.keys['search']}"},
        )
        assert reply.status_code == 502, (path, is_stream, reply.content)
        assert reply.json()["error"]["code"] == "upstream_broken"

    eventually(lambda: is_settled(proxy), within_s=60)
    # A thousand for each call; two of which money may be owed end a request (gateway/exchange.py).
    assert len(asked) * 1_000 <= proxy.spend_nano_usd() - spent_before <= 2 * len(asked) * 1_000


def test_a_client_cannot_hide_an_image_from_the_hold(proxy: Proxy, provider: HostileProvider) -> None:
    """A part with both `text` and `image_url` once was held for its text alone."""
    provider.answer = whole(usage={"prompt_tokens": 5, "completion_tokens": 5, "cost": 0.00001})

    def worst_usd(part: dict[str, object]) -> float:
        body = {"model": "openai/gpt-5.4", "max_tokens": 1, "messages": [{"role": "user", "content": [part] * 8}]}
        dry = proxy.chat("search", body, x_penstock_dry_run="1").json()
        return float(dry["candidates"][0]["worst_usd"])

    image: dict[str, object] = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
    assert worst_usd({**image, "text": "x"}) >= worst_usd(image)


def test_a_schema_with_numbers_beyond_all_bounds_is_refused_and_no_mistake_of_ours(proxy: Proxy) -> None:
    tool = b'[{"type":"function","function":{"name":"f","parameters":{"maximum":1e400}}}]'
    body = b'{"model":"auto","messages":[{"role":"user","content":"Hi"}],"tools":' + tool + b"}"

    reply = proxy.http.post(
        f"{proxy.base_url}/chat/completions",
        content=body,
        headers={"authorization": f"Bearer {proxy.keys['search']}"},
    )

    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_type")


def test_a_call_under_way_when_the_server_is_stopped_is_booked(provider: HostileProvider, tmp_path: Path) -> None:
    """The server cancels what outlasts its grace; the books once were closed before that was settled."""
    began = threading.Event()

    def stall(connection: socket.socket) -> None:
        began.set()
        connection.recv(1)

    provider.answer = stall
    with running_proxy(tmp_path, provider.base_url, edit=_short_grace) as proxy:
        client = threading.Thread(target=_ask_in_vain, args=(proxy,), daemon=True)
        client.start()
        assert began.wait(10)
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(60) == 0
        client.join(10)

        (row,) = json.loads(proxy.command("spend", "--by", "source", "--json"))
        assert row["source"] == "held"
        assert row["requests"] == 1


_BODY: dict[str, object] = {
    "model": "auto",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Tell me about tea."}],
}

_UNREADABLE = [
    ("chat/completions", b'"choices":[{"finish_reason":"stop","message":{"content":"T\xe9"}}]'),
    ("completions", b'"object":"text_c\xd4mpletion","choices":[{"finish_reason":"stop","text":"T"}]'),
    ("responses", b'"status":"completed","output":[{"type":"message","id":"\xff"}]'),
    ("responses", b'"type":"message","content":[{"type":"text","text":"T"}],"stop_reason":"end_turn"'),
    ("messages", b'"type":"message","content":[{"type":"text","text":"\xb1"}],"stop_reason":"end_turn"'),
]
_ASKED: dict[str, dict[str, object]] = {
    "chat/completions": _BODY,
    "messages": _BODY,
    "completions": {"model": "auto", "max_tokens": 100, "prompt": "Tea is"},
    "responses": {"model": "auto", "max_output_tokens": 100, "input": "Tell me about tea."},
}


def whole(**members: object) -> Answer:
    """A whole answer with these members beside the usual ones."""
    body = {
        "id": "gen-1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
        **members,
    }
    return sending(json.dumps(body).encode())


def sending(content: bytes) -> Answer:
    """An answer with this content under the name of JSON."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\nconnection: close"

    def answer(connection: socket.socket) -> None:
        connection.sendall(head.encode() + b"\r\n\r\n" + content)

    return answer


def is_settled(proxy: Proxy) -> bool:
    """Nothing is under way and nothing held."""
    held = [line for line in proxy.metrics().splitlines() if line.startswith("penstock_budget_held_usd{")]
    return "penstock_in_flight_requests 0.0" in proxy.metrics() and all(line.endswith(" 0.0") for line in held)


def _short_grace(config: Path) -> None:
    main = config / "penstock.yaml"
    main.write_text(main.read_text().replace("stop_grace_s: 30", "stop_grace_s: 1"))


def _ask_in_vain(proxy: Proxy) -> None:
    try:
        proxy.chat("search", _BODY)
    except Exception:  # noqa: BLE001 - the server goes away; how the client library says so is not the point
        return
