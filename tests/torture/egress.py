"""x: nothing that a request, an answer or a name server says makes the proxy connect to where it is not configured to.

It runs in a network of its own (watched_network.py), where a connection to anywhere is possible and none is unseen.
"""

import asyncio
import itertools
import json
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.torture.plant import AMPLE, CHECKOUT, Plant, running_plant
from tests.torture.result import Result, at_least, none
from tests.torture.setting import Setting
from tests.torture.spellings import HOSTS, Attempt, attempts
from tests.torture.stores import CannotRun
from tests.torture.watched_network import Destination, NameServer, Watch, make_every_address_ours, require_namespaces

TITLE = "nothing a request says chooses a host"

_EMBEDDING_MODEL = "openai/text-embedding-3-small"
_REDIRECTS = (301, 302, 303, 307, 308)
_REDIRECTED_TO = ("http://169.254.169.254/latest/", "http://10.0.0.1/", "http://127.0.0.1:6379/", "//10.0.0.1/v1")
_NAME, _PUBLIC = "rebound.example", "1.2.3.4"
# What the name of the provider resolves to, one look-up after the other.
_ANSWERS = ((_PUBLIC,), ("169.254.169.254",), ("127.0.0.1",), ("10.0.0.1", _PUBLIC), ("192.168.0.1",), ("0.0.0.0",))
_REBINDS = 24
_AFTERWARDS_S = 1.0  # whatever else it does about what it was asked
_ANSWER_S = 20.0
_AT_ONCE = 8
_PROXY = "http://10.9.9.9:3128"
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    program = [sys.executable, "-m", "tests.torture.egress"]
    child = await asyncio.create_subprocess_exec(
        *require_namespaces(),
        *program,
        str(setting.directory),
        str(setting.seed),
        "short" if setting.is_short else "long",
        cwd=CHECKOUT,
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await child.communicate()
    if child.returncode:
        raise CannotRun(f"{' '.join(program)} ended with {child.returncode}")
    seen: Mapping[str, int] = json.loads(told)
    figures = [
        at_least("requests that name a host", seen["asked"], 300 if setting.is_short else 4000),
        at_least("ways to write one", seen["spellings"], 40),
        at_least("places for one", seen["places"], 80),
        at_least("requests that reached the provider", seen["forwarded"], 100),
        at_least("redirects by the provider", seen["redirects"], len(_REDIRECTS) * len(_REDIRECTED_TO)),
        none("connections and datagrams off the list", seen["strays"]),
        none("names looked up where none is configured", seen["names"]),
        at_least("connections and datagrams of the watch's own test", seen["own"], 2),
        none("answers of 500", seen["faults"]),
        none("requests without an answer", seen["hangs"]),
        at_least("look-ups of a name that is rebound", seen["lookups"], _REBINDS / 2),
        at_least("requests over its public address", seen["rebound_reached"], _REBINDS / 6),
        none("connections to its other addresses", seen["rebound_strays"]),
    ]
    return Result("egress", TITLE, command, tuple(figures), time.monotonic() - started_s)


class _Provider(ThreadingHTTPServer):
    """Answers everything, with redirects where the prompt asks for one, and points elsewhere wherever it can."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("0.0.0.0", 0), _Answering)
        self.asked = 0
        self.redirects = 0


class _Answering(BaseHTTPRequestHandler):
    server: _Provider
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """To nobody."""

    def do_GET(self) -> None:
        self._answer(200, {"data": [], "links": {"next": "http://169.254.169.254/api/v1/models"}})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked += 1
        if b"REDIRECT " in body:
            status, target = body.partition(b"REDIRECT ")[2].split()[:2]
            self.server.redirects += 1
            self._answer(int(status), {}, location=target.partition(b'"')[0].decode())
            return
        message = {"role": "assistant", "content": "http://169.254.169.254/"}
        self._answer(
            200,
            {
                "id": "gen-1",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10, "cost": 0.000001},
            },
        )

    def _answer(self, status: int, content: object, *, location: str = "http://169.254.169.254/") -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in (
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("location", location),
            ("refresh", f"0; url={location}"),
            ("alt-svc", 'h2="169.254.169.254:443"'),
            ("link", f"<{location}>; rel=preload"),
            ("connection", "close"),  # so that the next request connects anew
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


@contextmanager
def _provider() -> Iterator[_Provider]:
    provider = _Provider()
    thread = threading.Thread(target=provider.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        provider.shutdown()
        thread.join()
        provider.server_close()


def _inside(setting: Setting) -> dict[str, int]:
    """What is seen in the new network, in which this process is."""
    make_every_address_ours()
    with _provider() as provider:
        return {**_asked_everything(setting, provider), **_rebound(setting, provider)}


def _asked_everything(setting: Setting, provider: _Provider) -> dict[str, int]:
    watch = Watch()
    servers = NameServer(lambda _: ("10.1.1.1",))
    with closing(_Ending(watch, servers)), _plant(setting, "named", provider) as plant:
        tried = [*_tried(setting), *_redirects()]
        with ThreadPoolExecutor(_AT_ONCE) as clients:
            statuses = list(clients.map(partial(_status, plant), tried))
        time.sleep(_AFTERWARDS_S)
        watched = dict(watch.seen)
        _go_astray()
    strays = _strays(watched, plant, provider)
    _tell(strays)
    return {
        "asked": len(tried),
        "spellings": len(HOSTS),
        "places": len({attempt.place for attempt in tried}),
        "forwarded": provider.asked,
        "redirects": provider.redirects,
        "strays": len(strays),
        "names": len(servers.asked),
        "own": len(_strays(watch.seen, plant, provider)) - len(strays),
        "faults": statuses.count(500),
        "hangs": statuses.count(0),
    }


def _rebound(setting: Setting, provider: _Provider) -> dict[str, int]:
    """The provider has a public name, which whoever answers for it makes lead elsewhere."""
    answers = itertools.cycle(_ANSWERS)
    before = provider.asked
    servers = NameServer(lambda _: next(answers))
    watch = Watch()
    with closing(_Ending(watch, servers)), _plant(setting, "rebound", provider, host=_NAME) as plant:
        for number in range(_REBINDS):
            body = {"model": "stops", "max_tokens": 5, "messages": [{"role": "user", "content": f"Say {number}."}]}
            _status(plant, Attempt("plain", "/v1/chat/completions", body))
    allowed = Destination("tcp", _PUBLIC, provider.server_port)
    strays = [each for each in _strays(watch.seen, plant, provider) if each != allowed and each[::2] != ("udp", 53)]
    # The provider itself listens at every address, so that this port of loopback would be a stray as well.
    loopback = watch.seen.get(Destination("tcp", "127.0.0.1", provider.server_port), 0)
    _tell(strays)
    return {
        "lookups": servers.asked.count(_NAME),
        "rebound_reached": provider.asked - before,
        "rebound_strays": len(strays) + loopback + len(set(servers.asked) - {_NAME}),
    }


class _Ending:
    """Closes both."""

    def __init__(self, watch: Watch, servers: NameServer) -> None:
        self._watch = watch
        self._servers = servers

    def close(self) -> None:
        self._watch.end()
        self._servers.end()


@contextmanager
def _plant(setting: Setting, name: str, provider: _Provider, *, host: str = "127.0.0.1") -> Iterator[Plant]:
    with running_plant(
        setting,
        name=name,
        teams={"ample": AMPLE},
        time_scale=0.0,
        upstream_port=provider.server_port,
        environment=lambda _: dict.fromkeys(_PROXY_VARIABLES, _PROXY),
        is_started=False,
    ) as plant:
        [replica] = plant.replicas
        main = replica.config / "penstock.yaml"
        main.write_text(main.read_text().replace(f"127.0.0.1:{provider.server_port}", f"{host}:{provider.server_port}"))
        replica.start()
        yield plant


def _tried(setting: Setting) -> Iterable[Attempt]:
    if not setting.is_short:
        return [each for url in HOSTS for each in attempts("stops", _EMBEDDING_MODEL, url)]
    by_url = [list(attempts("stops", _EMBEDDING_MODEL, url)) for url in HOSTS]
    every_place = [by_url[number % len(HOSTS)][number] for number in range(len(by_url[0]))]
    of_note = {"api_base", "image_url", "provider", "x-forwarded-host", "absolute form"}
    return every_place + [each for tried in by_url for each in tried if each.place in of_note]


def _redirects() -> Iterable[Attempt]:
    for status, url in itertools.product(_REDIRECTS, _REDIRECTED_TO):
        message = {"role": "user", "content": f"REDIRECT {status} {url} "}
        body = {"model": "stops", "max_tokens": 5, "messages": [message]}
        yield Attempt("redirect", "/v1/chat/completions", body)


def _status(plant: Plant, attempt: Attempt) -> int:
    """What the request is answered with; 0 if with nothing in time, 1 if the connection is closed instead."""
    key = plant.keys["ample"][0].text
    with socket.create_connection(("127.0.0.1", plant.replicas[0].port), timeout=_ANSWER_S) as connection:
        try:
            connection.sendall(attempt.encoded(key))
            told = b"".join(iter(lambda: connection.recv(65536), b""))
        except TimeoutError:
            return 0
        except OSError:
            return 1
    return int(told.split()[1]) if told.startswith(b"HTTP/1.1 ") else 1


def _strays(seen: Iterable[Destination], plant: Plant, provider: _Provider) -> list[Destination]:
    [replica] = plant.replicas
    ours = {replica.port, replica.admin_port, provider.server_port}
    return [each for each in seen if each not in {Destination("tcp", "127.0.0.1", port) for port in ours}]


def _go_astray() -> None:
    """What the watch must see, or it would have seen nothing else either."""
    with socket.socket() as stray:
        stray.setblocking(False)
        stray.connect_ex(("169.254.169.254", 80))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as stray:
        stray.sendto(b"x", ("fd00:ec2::254", 53))


def _tell(strays: Iterable[Destination]) -> None:
    for stray in strays:
        sys.stderr.write(f"connected to {stray}\n")


if __name__ == "__main__":
    given, seed, length = sys.argv[1:]
    sys.stdout.write(json.dumps(_inside(Setting(int(seed), length == "short", "sqlite", Path(given)))))
