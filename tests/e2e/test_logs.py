"""What a running proxy writes to its log: at the finest level nothing of requests, answers or secrets."""

import json
import re
import socket
from contextlib import suppress
from pathlib import Path

import httpx2

from tests.e2e.conftest import Proxy, running_proxy
from tests.e2e.hostile import Answer
from tests.e2e.test_failover import Provider, candidates, reply
from tests.e2e.test_streams import event, raw_request
from tests.telemetry.collector import running_collector
from tests.waiting import eventually

CANARY = "canary-5f1c9e"
_SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
_BODY: dict[str, object] = {
    "model": "auto",
    "max_tokens": 100,
    "user": CANARY,
    "metadata": {"a": CANARY},
    "tools": [{"type": "function", "function": {"name": CANARY, "description": CANARY, "parameters": {}}}],
    "messages": [{"role": "system", "content": CANARY}, {"role": "user", "content": CANARY, "name": CANARY}],
}


def raw(content: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.sendall(content)

    return answer


_ERROR: dict[str, object] = {
    "error": {"message": CANARY, "code": 500, "metadata": {"raw": CANARY, "provider_name": CANARY}}
}
_CHOICE = {"index": 0, "finish_reason": CANARY, "message": {"role": "assistant", "content": CANARY}}
_USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "cost": 50.0}  # absurd: it is complained of, and not believed
PROVIDER_ANSWERS = {
    "an answer": reply("200 OK", {"id": CANARY, "model": "a-version", "choices": [_CHOICE], "usage": _USAGE}),
    "an error": reply("500 Internal Server Error", _ERROR),
    "a refusal": reply("400 Bad Request", {"error": {"message": CANARY, "code": CANARY, "type": CANARY}}),
    "no key": reply("401 Unauthorized", _ERROR),
    "busy": reply("429 Too Many Requests", _ERROR, f"retry-after: {CANARY}"),
    "an error within": reply("200 OK", _ERROR),
    "no JSON": raw(f"HTTP/1.1 200 OK\r\ncontent-length: {len(CANARY)}\r\n\r\n{CANARY}".encode()),
    "no HTTP": raw(CANARY.encode() + b"\r\n\r\n"),
    "a stream cut off": raw(_SSE + event(CANARY)),
    "a stream of garbage": raw(_SSE + b"data: {" + CANARY.encode() + b"\n\n"),
    "a stream with an error": raw(_SSE + event(CANARY) + b"data: " + json.dumps(_ERROR).encode() + b"\n\n"),
    "an unknown coding": raw(
        f"HTTP/1.1 200 OK\r\ncontent-encoding: {CANARY}\r\ncontent-length: 2\r\n\r\n{{}}".encode()
    ),
}


def ask_everything(proxy: Proxy, provider: Provider) -> None:
    asked = candidates(proxy)
    for answer in PROVIDER_ANSWERS.values():
        provider.refusals = dict.fromkeys(asked, answer)
        for stream in (False, True):
            with suppress(httpx2.HTTPError):
                proxy.chat("search", {**_BODY, "stream": stream}, x_penstock_tags=CANARY, x_session_id=CANARY)
    provider.refusals.clear()


def ask_wrongly(proxy: Proxy) -> None:
    key = {"authorization": f"Bearer {proxy.keys['search']}"}
    url = f"{proxy.base_url}/chat/completions"
    http = proxy.http
    http.post(url, content=f'{{"model": "{CANARY}'.encode(), headers=key)
    http.post(url, json={**_BODY, "model": CANARY}, headers=key)
    http.post(url, json={**_BODY, "messages": CANARY}, headers=key)
    http.post(url, json=_BODY, headers={"authorization": f"Bearer psk_search_{CANARY}"})
    http.post(url, json=_BODY, headers={**key, "x-penstock-policy": CANARY})
    http.post(url, json=_BODY, headers={**key, f"x-penstock-{CANARY}": "1"})
    http.post(url, json=_BODY, headers={**key, "idempotency-key": CANARY, "traceparent": CANARY, "tracestate": CANARY})
    http.get(f"{proxy.base_url}/{CANARY}?{CANARY}", headers=key)
    http.get(f"{proxy.admin_url}/admin/requests?limit={CANARY}")
    http.post(f"{proxy.base_url}/feedback", json={"request_id": CANARY, "score": CANARY}, headers=key)
    http.post(f"{proxy.base_url}/responses", json={"model": "auto", "input": [CANARY]}, headers=key)
    host, port = proxy.base_url.removesuffix("/v1").removeprefix("http://").split(":")
    for garbage in (f"{CANARY}\r\n\r\n", f"GET /{CANARY} HTTP/9.9\r\n\r\n", f"POST / HTTP/1.1\r\n{CANARY}\r\n\r\n"):
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(garbage.encode())
            connection.settimeout(5)
            with suppress(OSError):
                connection.recv(65536)
    raw_request(proxy, _BODY).close()  # hangs up while it is served
    raw_request(proxy, _BODY, all_but_bytes=5).close()  # and while it is sent


def test_at_the_finest_level_no_line_quotes_a_request_an_answer_or_a_secret(tmp_path: Path) -> None:
    def edit(config: Path) -> None:
        main = config / "penstock.yaml"
        text = main.read_text().replace("breakers: true", "breakers: false")
        text += "\nlogs: {level: debug, format: json, requests: true}\n"
        main.write_text(f"{text}traces: {{endpoint: '{collector.url}', headers_env: TRACE_HEADERS}}\n")

    provider = Provider()
    with running_collector() as collector:
        collector.statuses = [500, 401]
        secret = f"authorization={CANARY}"
        with running_proxy(tmp_path, provider.base_url, edit=edit, TRACE_HEADERS=secret) as proxy:
            ask_everything(proxy, provider)
            ask_wrongly(proxy)
            eventually(lambda: "penstock_in_flight_requests 0.0" in proxy.metrics(), within_s=60)
            key = proxy.keys["search"].split("_")[2]
    provider.close()

    log = (tmp_path / "proxy.log").read_text()
    assert "is told to cost" in log  # it does speak of what went wrong
    assert log.count("penstock.requests") > len(PROVIDER_ANSWERS)
    for secret in (CANARY, key, "sk-or-test"):
        assert secret not in log
    for line in log.splitlines():
        assert {"time", "level", "logger", "event"} <= json.loads(line).keys()


def test_a_line_for_each_request_says_what_the_ledger_says(tmp_path: Path) -> None:
    def edit(config: Path) -> None:
        main = config / "penstock.yaml"
        main.write_text(f"{main.read_text()}\nlogs: {{requests: true}}\n")

    provider = Provider()
    with running_proxy(tmp_path, provider.base_url, edit=edit) as proxy:
        answered = proxy.chat("search", {**_BODY, "tools": []})
        spent = proxy.command("spend", "--by", "team,model", "--json")
    provider.close()

    lines = [json.loads(line) for line in (tmp_path / "proxy.log").read_text().splitlines()]
    (line,) = [line for line in lines if line["logger"] == "penstock.requests"]
    (row,) = json.loads(spent)
    assert line["request_id"] == answered.headers["x-request-id"]
    assert line["cost_usd"] == answered.headers["x-penstock-cost-usd"]
    assert (line["team"], line["model"]) == (row["team"], row["model"])
    assert (line["input_tokens"], line["output_tokens"]) == (row["input_tokens"], row["output_tokens"])
    assert round(float(line["cost_usd"]) * 1e9) == row["cost_nano_usd"]


def test_by_default_requests_are_not_logged_and_standard_output_has_no_log(tmp_path: Path) -> None:
    provider = Provider()
    with running_proxy(tmp_path, provider.base_url) as proxy:
        proxy.chat("search", _BODY)
        proxy.process.terminate()
        assert proxy.process.stdout is not None
        said = proxy.process.stdout.read().decode()
    provider.close()

    assert "penstock.requests" not in (tmp_path / "proxy.log").read_text()
    assert not re.search(r'"level"|INFO|WARNING', said)
