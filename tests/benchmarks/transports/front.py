"""The server that contenders ask over TLS: nginx before the mock, which lets the client choose HTTP/1.1 or HTTP/2."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.contestants import nginx_binary
from tests.benchmarks.processes import BenchmarkError, ChildProcess, free_port

_CONF = """
daemon off;
worker_processes 1;
error_log /dev/null crit;
pid {directory}/nginx.pid;
{user}
events {{ worker_connections 4000; }}
http {{
    access_log off;
    keepalive_requests 100000000;
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
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


@contextmanager
def tls_front(directory: Path, certificate: Path, upstream_port: int, *, core: int | None) -> Iterator[str]:
    """Its origin, while it runs. `certificate` holds its key too."""
    binary = nginx_binary()
    if binary is None:
        raise BenchmarkError("nginx is not installed (Debian: apt-get install nginx-light)")
    port = free_port()
    (directory / "front.conf").write_text(
        _CONF.format(
            directory=directory,
            user="user root;" if os.geteuid() == 0 else "",
            upstream_port=upstream_port,
            port=port,
            certificate=certificate,
        )
    )
    argv = (binary, "-p", str(directory), "-c", "front.conf", "-e", "/dev/null")
    with ChildProcess(argv, log_path=directory / "front.log", core=core):
        yield f"https://localhost:{port}"
