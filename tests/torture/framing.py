"""framing: what can be read in two ways is not read, directly, behind HAProxy and behind nginx, by the shipped files.

Accepted is, directly: whatever the application is asked at all, in a request that came to its end. Behind a balancer,
which may read in its own way and send on what it read in words that have one meaning: a request that the balancer does
not know of, which is to say without the header that it adds to each, or one whose head still has two meanings.
"""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import Popen

from starlette.types import Receive, Scope, Send

from router.server.edge import fault_of
from router.server.listen import bound, port_of, serving
from tests.torture.ambiguous import AMBIGUOUS, PLAIN
from tests.torture.plant import CHECKOUT
from tests.torture.result import Result, at_least, equal, none, told
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun, free_port, wait_for_port

TITLE = "what can be read in two ways is not read"

_SEEN = (b"x-front", b"seen")
_ANSWER_S = 3.0  # some balancers wait for the rest of what they take for a body


class Recorder:
    """An application that answers every whole request, and remembers its head, but for questions whether it is well."""

    def __init__(self) -> None:
        self.heads: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _live(receive, send)
            return
        while (message := await receive()).get("more_body", False):
            pass
        if message["type"] == "http.disconnect":
            return  # the body had no end, and nobody is answered
        if scope["path"] != "/readyz":
            self.heads.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


async def _live(receive: Receive, send: Send) -> None:
    for kind in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{kind}.complete"})


@asynccontextmanager
async def recording() -> AsyncIterator[tuple[Recorder, int]]:
    """A recorder on a server of ours, and its port."""
    recorder = Recorder()
    with bound("127.0.0.1", 0) as listener:
        async with serving(recorder, listener):
            yield recorder, port_of(listener)


async def answered(port: int, request: bytes, *, within_s: float = _ANSWER_S) -> bytes:
    """All that comes until the connection is closed from there, or nothing more comes for so long."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    came = b""
    try:
        async with asyncio.timeout(within_s):
            while piece := await reader.read(65536):
                came += piece
    except (TimeoutError, OSError):
        pass
    writer.close()
    return came


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    figures = [at_least("ways to write a request with two meanings", len(AMBIGUOUS), 60)]
    async with recording() as (recorder, port):
        plain = await answered(port, PLAIN)
        figures.append(equal("directly: the plain one is answered", int(plain.startswith(b"HTTP/1.1 200")), 1))
        recorder.heads.clear()
        said = await _said(port, AMBIGUOUS)
        figures += [
            none("directly: accepted", len(recorder.heads)),
            equal("directly: refused with 4xx", sum(each.startswith(b"HTTP/1.1 4") for each in said), len(AMBIGUOUS)),
        ]
        for name, front in (("HAProxy", _haproxy), ("nginx", _nginx)):
            directory = setting.directory / name
            directory.mkdir()
            with front(directory, port) as front_port:
                recorder.heads.clear()
                plain = await answered(front_port, PLAIN)
                figures.append(equal(f"{name}: the plain one is answered", len(recorder.heads), 1))
                recorder.heads.clear()
                await _said(front_port, AMBIGUOUS)
                accepted = [head for head in recorder.heads if _has_two_meanings(head)]
                sys.stderr.writelines(f"{name} accepted {head['raw_path']!r} {head['headers']}\n" for head in accepted)
                figures += [
                    none(f"{name}: accepted", len(accepted)),
                    told(f"{name}: requests that it read, and sent on with one meaning", len(recorder.heads)),
                ]
    return Result("framing", TITLE, command, tuple(figures), time.monotonic() - started_s)


async def _said(port: int, requests: Mapping[str, bytes]) -> list[bytes]:
    return await asyncio.gather(*(answered(port, request) for request in requests.values()))


def _has_two_meanings(head: Scope) -> bool:
    headers = head["headers"]
    return _SEEN not in headers or (
        fault_of(head["http_version"], head["raw_path"], headers, dict(headers)) is not None
    )


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.defpath}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise CannotRun(f"{name} is not installed")
    return found


@contextmanager
def _haproxy(directory: Path, port: int) -> Iterator[int]:
    front = free_port()
    places = {"PENSTOCK_BIND": f"127.0.0.1:{front}", "PENSTOCK_A": f"127.0.0.1:{port}", "PENSTOCK_B": "127.0.0.1:9"}
    settings = [f"{name}={value}" for name, value in places.items()]
    shipped = (CHECKOUT / "deploy" / "haproxy" / "haproxy.cfg").read_text()
    file = directory / "haproxy.cfg"
    file.write_text(
        shipped.replace("    default_backend", "    http-request set-header x-front seen\n    default_backend", 1)
    )
    with _running(["env", *settings, _program("haproxy"), "-db", "-f", str(file)], directory, front):
        yield front


@contextmanager
def _nginx(directory: Path, port: int) -> Iterator[int]:
    """The shipped file without TLS, which has no part in this."""
    front = free_port()
    shipped = (CHECKOUT / "deploy" / "nginx" / "penstock.conf").read_text()
    lines = [line for line in shipped.splitlines() if not line.lstrip().startswith("ssl_")]
    text = "\n".join(lines).replace("listen 443 ssl http2;", f"listen 127.0.0.1:{front};")
    text = text.replace("proxy_set_header Host $host;", "proxy_set_header Host $host; proxy_set_header X-Front seen;")
    text = text.replace("127.0.0.1:8000 ", f"127.0.0.1:{port} ").replace("    server 127.0.0.1:8010 ", "    # ")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
    main = directory / "nginx.conf"
    main.write_text(
        f"pid {directory}/pid; error_log stderr; daemon off; master_process off;\nevents {{}}\n"
        f"http {{ access_log off; {places}\n{text}\n}}\n"
    )
    with _running([_program("nginx"), "-p", str(directory), "-c", str(main)], directory, front):
        yield front


@contextmanager
def _running(command: Sequence[str], directory: Path, port: int) -> Iterator[None]:
    with (directory / "log").open("wb") as log, Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_for_port(port, process=process)
            yield
        finally:
            process.kill()
