"""What an operator does: check, start, stop, keys, budgets, metrics, console."""

import json
import re
import resource
import shutil
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.conftest import CHECKOUT, Proxy, Sandbox, run_penstock, running_proxy
from tests.waiting import eventually


def test_check_names_every_fault_with_its_place_and_serve_refuses(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(CHECKOUT / "config", config)
    _edit(config / "penstock.yaml", "max_body_bytes: 33554432", "max_body_byte: 33554432")
    _edit(config / "teams" / "search.yaml", "team: search\n", "team: search\nteam: search\n")
    _edit(config / "teams" / "research.yaml", "limit_usd: ", "limit_usd: -", count=1)
    _edit(config / "teams" / "research.yaml", "      - openai/gpt-5.5\n", "      - openai/gpt-55\n", count=1)

    checked = run_penstock("check", str(config))
    served = run_penstock("serve", "--config", str(config))

    faults = checked.stderr.decode()
    for where in (r"penstock\.yaml:\d+:\d+: .*max_body_bytes", r"search\.yaml:\d+:\d+: .*twice|search\.yaml:\d+:\d+: ",
                  r"research\.yaml:\d+:\d+: .*-", r"research\.yaml:\d+:\d+: .*gpt-55"):  # fmt: skip
        assert re.search(where, faults), faults
    assert checked.returncode == 1
    assert served.returncode == 1
    assert "Traceback" not in served.stderr.decode()
    assert "gpt-55" in served.stderr.decode()


def test_the_shipped_configuration_is_valid() -> None:
    checked = run_penstock("check", "config")

    assert checked.returncode == 0
    assert checked.stdout.startswith(b"config is valid: 2 teams, 18 models")


def test_check_notes_what_is_of_no_use_with_its_place(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(CHECKOUT / "config", config)
    _edit(config / "models.yaml", 'V4 paper", checked: 2026-', 'V4 paper", checked: 9998-', count=1)

    checked = run_penstock("check", str(config))

    assert checked.returncode == 0
    assert re.search(r"^note: \S*models\.yaml:\d+:\d+: `checked` is 9998-", checked.stderr.decode(), re.MULTILINE)


def test_a_key_works_once_created_and_no_more_once_revoked(proxy: Proxy) -> None:
    made = json.loads(proxy.command("keys", "create", "--team", "search", "--name", "tmp", "--json"))

    def status() -> int:
        return proxy.http.get(
            f"{proxy.base_url}/models", headers={"authorization": f"Bearer {made['key']}"}
        ).status_code

    eventually(lambda: status() == 200, within_s=5)
    proxy.command("keys", "revoke", made["id"])
    eventually(lambda: status() == 401, within_s=5)
    listed = proxy.command("keys", "list").decode()
    assert made["key"] not in listed
    assert re.search(rf"{made['id']} +search +tmp +revoked", listed)


def test_the_latency_of_a_request_that_names_its_trace_leads_to_it(proxy: Proxy) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hm?"}], "max_tokens": 20}

    reply = proxy.chat("search", body, traceparent=f"00-{trace}-00f067aa0ba902b7-01")

    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    text = proxy.http.get(f"{proxy.admin_url}/metrics", headers=accept).text
    assert reply.status_code == 200
    for name in ("request_duration", "overhead"):
        assert re.search(rf'^penstock_{name}_seconds_bucket{{le="[^"]+"}} \S+ # {{trace_id="{trace}"}}', text, re.M)


def test_every_route_but_health_needs_a_key(proxy: Proxy) -> None:
    origin = proxy.base_url.removesuffix("/v1")

    assert proxy.http.get(f"{origin}/livez").json() == {"status": "ok"}
    assert proxy.http.get(f"{origin}/readyz").json()["status"] == "ok"
    for path in ("/", "/v1/models", "/v1/chat/completions", "/metrics", "/admin/spend", "/v1/nothing", "//livez"):
        assert proxy.http.get(origin + path).status_code == 401, path


def test_what_is_not_there_is_said_in_openai_s_shape(proxy: Proxy) -> None:
    headers = {"authorization": f"Bearer {proxy.keys['search']}"}

    missing = proxy.http.get(f"{proxy.base_url}/nothing", headers=headers)
    wrong = proxy.http.get(f"{proxy.base_url}/chat/completions", headers=headers)

    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "unknown_route")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


@pytest.mark.parametrize("authorization", ["Bearer psk_of_nobody", None])
def test_an_answer_before_the_end_of_a_long_body_is_not_lost_to_a_reset(
    proxy: Proxy, authorization: str | None
) -> None:
    """Who sends on for a while, as nginx does, before it reads, gets the answer all the same, and then the end."""
    host, _, port = proxy.base_url.split("/")[2].rpartition(":")
    key = authorization or f"Bearer {proxy.keys['search']}"
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {40 * 1024 * 1024}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(head.encode())
        for _ in range(64):
            client.sendall(b" " * 65_536)
        answer = b"".join(iter(lambda: client.recv(65_536), b""))

    assert answer.startswith(b"HTTP/1.1 401 " if authorization else b"HTTP/1.1 413 ")
    assert answer.endswith(b"}")
    assert answer.lower().count(b"connection: close") == 1


def test_a_tiny_budget_is_never_overspent_by_many_at_once(sandbox: Sandbox, tmp_path: Path) -> None:
    def tiny(config: Path) -> None:
        (config / "teams" / "tiny.yaml").write_text(
            "team: tiny\n"
            "budgets: [{limit_usd: 0.002, per: month}]\n"
            "aliases: {auto: {model: deepseek/deepseek-v4-flash}}\n"
        )

    with running_proxy(tmp_path, sandbox.base_url, edit=tiny) as proxy:
        body = {"model": "auto", "messages": [{"role": "user", "content": "Tell me about tea."}], "max_tokens": 500}
        with ThreadPoolExecutor(32) as workers:
            replies = list(workers.map(lambda _: proxy.chat("tiny", body), range(200)))

        statuses = {reply.status_code for reply in replies}
        refused = next(reply for reply in replies if reply.status_code == 429)
        eventually(lambda: "penstock_in_flight_requests 0.0" in proxy.metrics(), within_s=10)
        spent = proxy.spend_nano_usd()
        assert statuses == {200, 429}
        assert 1_000_000 < spent <= 2_000_000
        assert 'penstock_budget_held_usd{per="month",project="",team="tiny"} 0.0' in proxy.metrics()
        assert refused.headers["x-should-retry"] == "false"
        error = refused.json()["error"]
        assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")
        assert error["left_nano_usd"] < error["asked_nano_usd"]
        assert error["resets_in_s"] > 0


def test_a_restart_remembers_what_was_spent_and_a_stop_loses_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    body = {"model": "auto", "messages": [{"role": "user", "content": "Tell me about tea."}], "max_tokens": 300}
    with running_proxy(first, sandbox.base_url) as proxy:
        costs = [proxy.chat("search", body).headers["x-penstock-cost-usd"] for _ in range(20)]
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(20) == 0
        spent = proxy.spend_nano_usd()
    assert spent == sum(round(float(cost) * 1e9) for cost in costs)

    shutil.copytree(first / "state", second / "state")
    with running_proxy(second, sandbox.base_url) as proxy:
        assert proxy.http.get(proxy.base_url.replace("/v1", "/readyz")).status_code == 200
        shown = re.search(r'penstock_budget_spent_usd\{per="month",project="",team="search"\} (\S+)', proxy.metrics())

        assert shown is not None
        assert round(float(shown[1]) * 1e9) == spent


def test_the_admin_port_shows_metrics_spend_budgets_requests_and_a_console(proxy: Proxy) -> None:
    proxy.chat("search", {"model": "auto", "messages": [{"role": "user", "content": "Tell me about zebras."}]})

    def latest() -> list[dict[str, object]]:
        rows: list[dict[str, object]] = proxy.http.get(f"{proxy.admin_url}/admin/requests?limit=5").json()["requests"]
        return rows

    eventually(lambda: bool(latest()), within_s=5)
    spend = proxy.http.get(f"{proxy.admin_url}/admin/spend?by=team&since=1d").json()
    budgets = proxy.http.get(f"{proxy.admin_url}/admin/budgets").json()["budgets"]
    console = proxy.http.get(f"{proxy.admin_url}/")
    assert any(row["team"] == "search" for row in spend["rows"])
    assert {budget["per"] for budget in budgets} >= {"day", "month"}
    assert "Latest requests" in console.text
    assert "zebra" not in console.text  # prompts are not kept
    assert "default-src 'none'" in console.headers["content-security-policy"]


def test_a_port_that_is_taken_is_said_in_one_sentence(proxy: Proxy) -> None:
    taken = proxy.base_url.split(":")[2].split("/")[0]

    ended = run_penstock("serve", "--config", str(proxy.config), "--port", taken, environment=proxy.environment)

    assert ended.returncode == 1
    assert ended.stderr.decode().startswith(f"Cannot listen on 127.0.0.1:{taken}")


def test_an_admin_port_without_token_stays_on_loopback(proxy: Proxy, tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(CHECKOUT / "config", config)
    _edit(config / "penstock.yaml", "listen: 127.0.0.1:8001", "listen: 0.0.0.0:8001")

    ended = run_penstock("serve", "--config", str(config), environment=proxy.environment)

    assert ended.returncode == 1
    assert re.search(rb"penstock.yaml:\d+:\d+: expected 127.0.0.1, since \$PENSTOCK_ADMIN_TOKEN", ended.stderr)


def test_two_servers_do_not_share_a_state_directory(proxy: Proxy) -> None:
    """Each would count budgets for itself, and together they would overspend them."""
    ended = run_penstock(
        "serve", "--config", str(proxy.config), "--port", "0", "--admin-port", "0", environment=proxy.environment
    )

    assert ended.returncode != 0
    assert b"Another process serves from" in ended.stderr


def test_a_server_opens_as_many_files_as_the_system_allows_it(sandbox: Sandbox, tmp_path: Path) -> None:
    """Each stream needs two, and services begin with 1,024."""
    few, most = 256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    ours = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))
    try:
        with running_proxy(tmp_path, sandbox.base_url) as proxy:
            its = resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, ours)

    assert its == (most, most)


def test_every_answer_has_a_request_id(proxy: Proxy) -> None:
    origin = proxy.base_url.removesuffix("/v1")
    answers = [
        proxy.http.get(f"{origin}/livez"),
        proxy.http.get(f"{origin}/v1/models"),
        proxy.http.get(f"{proxy.admin_url}/nothing"),
        proxy.chat("search", {"model": "nobody/nothing", "messages": []}),
    ]

    ids = [answer.headers.get_list("x-request-id") for answer in answers]
    assert all(len(each) == 1 and each[0].startswith("req_") for each in ids)
    assert len({each[0] for each in ids}) == len(answers)


def test_the_llm_command_answers(proxy: Proxy, tmp_path: Path) -> None:
    arguments = ["openai", "endpoint", proxy.base_url, "-m", "auto", "--key", proxy.keys["search"], "Say hello"]
    answered = subprocess.run(
        [_beside_python("llm"), *arguments],
        env={**proxy.environment, "LLM_USER_PATH": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert answered.returncode == 0, answered.stderr.decode()
    assert answered.stdout.strip()


def test_nothing_secret_is_in_what_the_proxy_writes(proxy: Proxy) -> None:
    canary = "canary-5f1c9e"
    proxy.chat("search", {"model": "auto", "messages": [{"role": "user", "content": canary}]})
    proxy.chat("search", {"model": canary, "messages": "wrong"})

    state = Path(proxy.environment["STATE_DIRECTORY"])
    files = [path for path in state.rglob("*") if path.is_file()]
    written = [path.read_bytes() for path in (*files, state.parent / "proxy.log")]
    secret = proxy.keys["search"].split("_")[2].encode()
    for content in (*written, proxy.metrics().encode()):
        assert canary.encode() not in content
        assert secret not in content
        assert b"sk-or-test" not in content


def _edit(path: Path, old: str, new: str, *, count: int = -1) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def _beside_python(program: str) -> str:
    found = shutil.which(program, path=str(CHECKOUT / ".venv" / "bin")) or shutil.which(program)
    if found is None:
        pytest.fail(f"{program} is not installed; it is among the development requirements")
    return found


def test_a_server_of_one_s_own_is_free_and_first_choice(sandbox: Sandbox, tmp_path: Path) -> None:
    """A quantised Flash on the same machine: any OpenAI-compatible server, its zero prices written down."""

    def with_local(config: Path) -> None:
        _edit(
            config / "penstock.yaml",
            "providers:\n",
            f"providers:\n  local: {{kind: openai_compatible, base_url: '{sandbox.base_url}/api/v1', "
            "api_key_env: LOCAL_KEY}\n",
            count=1,
        )
        _edit(
            config / "models.yaml",
            "    deployments:\n      - provider: openrouter\n",
            "    deployments:\n      - provider: local\n        upstream_model: deepseek/deepseek-v4-flash\n"
            "        prices:\n          - {from: 2026-01-01, input_usd_per_mtok: 0, output_usd_per_mtok: 0,\n"
            "             source: our own, checked: 2026-11-23}\n"
            "      - provider: openrouter\n",
            count=1,
        )

    with running_proxy(tmp_path, sandbox.base_url, edit=with_local, LOCAL_KEY="sk-or-local") as proxy:
        body = {"model": "auto", "messages": [{"role": "user", "content": "Tell me about tea."}], "stream": True}

        reply = proxy.chat("search", body)

        assert reply.status_code == 200
        assert reply.text.endswith("data: [DONE]\n\n")
        assert reply.headers["x-penstock-provider"] == "local"
        sent = sandbox.last_request()
        assert "provider" not in sent
        assert sent["max_tokens"] == 32_768
