"""Who is measured, and how each is started: nginx as the yardstick, penstock, and the bare Python relay as the floor.

Everything one needs to change when penstock's command line or configuration changes is in `penstock` below.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

from tests.benchmarks.processes import BenchmarkError, free_port

REPOSITORY = Path(__file__).resolve().parents[2]
_CLIENT_KEY = "bench"  # what clients show to contestants that do not care


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a contestant relays to, always on loopback."""

    port: int
    certificate: Path | None = None  # with TLS: what to trust, made out to `localhost` and to 127.0.0.1


@dataclass(frozen=True, slots=True)
class Command:
    """How to start a prepared contestant."""

    argv: tuple[str, ...]
    port: int  # where it will answer /v1/chat/completions
    api_key: str = _CLIENT_KEY
    headers: tuple[str, ...] = ()  # lines each request needs as well, "name: value"
    env: Mapping[str, str] = field(default_factory=lambda: {"PATH": os.defpath})  # nothing leaks in from the caller


Prepare = Callable[[Path, Upstream], Command]  # an empty directory for its files and the upstream in, how to start out


def penstock(directory: Path, upstream: Upstream) -> Command:
    """The product with its shipped configuration, one provider pointed at the mock, its state in `directory`."""
    if not (REPOSITORY / "config" / "penstock.yaml").is_file():
        raise BenchmarkError("penstock cannot be started: config/penstock.yaml is missing")
    config = directory / "config"
    shutil.copytree(REPOSITORY / "config", config)
    yaml = YAML()
    settings = yaml.load(config / "penstock.yaml")
    scheme = "https" if upstream.certificate else "http"
    settings["providers"]["openrouter"]["base_url"] = f"{scheme}://127.0.0.1:{upstream.port}/api/v1"
    settings["stop_notice_s"] = 0  # no balancer has to notice, and every round waits for the stop
    yaml.dump(settings, config / "penstock.yaml")
    (config / "teams" / "bench.yaml").write_text(_BENCH_TEAM)
    port, admin_port = free_port(), free_port()
    penstock = (sys.executable, "-m", "router.cli.main")
    environment = {
        "PATH": os.defpath,
        "HOME": str(directory),
        "STATE_DIRECTORY": str(directory / "state"),
        "OPENROUTER_API_KEY": "sk-or-bench",
    }
    if upstream.certificate:
        environment["SSL_CERT_FILE"] = str(upstream.certificate)  # OpenSSL's own way of being told whom to trust
    made = subprocess.run(
        [*penstock, "keys", "create", "--config", str(config), "--team", "bench", "--json"],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    ports = ("--host", "127.0.0.1", "--port", str(port), "--admin-port", str(admin_port))
    return Command(
        argv=(*penstock, "serve", "--config", str(config), *ports),
        port=port,
        api_key=json.loads(made.stdout)["key"],
        env=environment,
    )


def bare(directory: Path, upstream: Upstream) -> Command:
    """The bare Python relay; it writes no files, and speaks no TLS."""
    port = free_port()
    relay = (sys.executable, "-m", "tests.benchmarks.bare_relay")
    return Command(argv=(*relay, "--port", str(port), "--upstream-port", str(upstream.port)), port=port)


def nginx(directory: Path, upstream: Upstream) -> Command:
    """nginx as a plain reverse proxy, one worker; streams are relayed unbuffered because the mock asks for it."""
    port = free_port()
    binary = nginx_binary()
    assert binary is not None, "ask available() first"
    (directory / "nginx.conf").write_text(
        _NGINX_CONF.format(
            user="user root;" if os.geteuid() == 0 else "",
            port=port,
            upstream_port=upstream.port,
            scheme="https" if upstream.certificate else "http",
            tls=_NGINX_TLS.format(certificate=upstream.certificate) if upstream.certificate else "",
            directory=directory,
        )
    )
    return Command(argv=(binary, "-p", str(directory), "-c", "nginx.conf", "-e", "/dev/null"), port=port)


def nginx_binary() -> str | None:
    """Where nginx is, or None; Debian puts it into a directory that is not on everyone's path."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def available() -> dict[str, Prepare]:
    """The contestants that can run here, by name; the order is the order of measuring."""
    yardstick: dict[str, Prepare] = {"nginx": nginx} if nginx_binary() else {}
    return yardstick | {"penstock": penstock, "bare": bare}


# The shape of a real team with four candidates, a floor, rules, two budgets and limits, all wide enough not to bind.
_BENCH_TEAM = """
team: bench
baseline: openai/gpt-5.4
budgets:
  - {limit_usd: 1000000, per: month, when_spent: downgrade}
  - {limit_usd: 100000, per: day}
limits: {requests_per_minute: 100000000, tokens_per_minute: 1000000000000, concurrent: 100000}
aliases:
  auto: {policy: balanced}
policies:
  balanced:
    candidates: [deepseek/deepseek-v4-flash, deepseek/deepseek-v4-pro, openai/gpt-5.4, anthropic/claude-opus-4.7]
    quality: {at_least: 0.5, of: best_candidate}
    max_cost_usd: 5.00
    rules:
      - {name: long input, when: {input_tokens: {over: 200000}}, candidates: [deepseek/deepseek-v4-pro]}
"""

_NGINX_TLS = """
            proxy_ssl_trusted_certificate {certificate};
            proxy_ssl_verify on;
            proxy_ssl_name localhost;"""

_NGINX_CONF = """
daemon off;
worker_processes 1;
error_log /dev/null crit;
pid {directory}/nginx.pid;
{user}
worker_rlimit_nofile 20000;
events {{ worker_connections 20000; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_max_body_size 16m;
    client_body_buffer_size 8m;  # a prompt must not go through a file
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream mock {{
        server 127.0.0.1:{upstream_port};
        keepalive 64;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location = /livez {{ return 200; }}
        location / {{
            proxy_pass {scheme}://mock;{tls}
            proxy_read_timeout 1h;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""
