"""deploy/haproxy and deploy/nginx: TLS in front of two real instances, with Debian's programs and the shipped files."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.gated import GatedProvider, gated_provider
from tests.deploy.places import DEPLOY
from tests.e2e.conftest import Proxy, running_proxy
from tests.torture.stores import free_port, wait_for_port
from tests.waiting import eventually

_HTTP = ("--http1.1", "--http2")


@dataclass(frozen=True, slots=True)
class Balanced:
    """A balancer with TLS before two instances."""

    url: str
    certificate: Path
    instances: tuple[Proxy, Proxy]

    def curl(self, *options: str) -> list[str]:
        """Real curl, which checks the certificate; `options` come after what every call needs."""
        known = ["--cacert", str(self.certificate), "--resolve", f"localhost:{self.url.rsplit(':', 1)[1]}:127.0.0.1"]
        return [program("curl"), "--silent", "--show-error", "--no-buffer", *known, *options]

    def chat(self, *options: str) -> "subprocess.Popen[bytes]":
        key = self.instances[0].keys["search"]
        body = '{"model":"deepseek/deepseek-v4-flash","stream":true,"messages":[{"role":"user","content":"Rain?"}]}'
        headers = ["-H", f"authorization: Bearer {key}", "-H", "content-type: application/json"]
        command = self.curl(*options, *headers, "-d", body, f"{self.url}/v1/chat/completions")
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.defpath}:/usr/sbin:/usr/local/sbin")
    if found is None and os.environ.get("CI") != "true":  # noqa: TID251 - whether to skip is a test's business
        pytest.skip(f"{name} is not installed")
    assert found is not None
    return found


def haproxy(directory: Path, certificate: Path, instances: tuple[str, str], port: int) -> list[str]:
    files = [DEPLOY / "haproxy" / "haproxy.cfg", DEPLOY / "haproxy" / "tls.cfg"]
    variables = {
        "PENSTOCK_BIND": f"127.0.0.1:{free_port()}",
        "PENSTOCK_TLS_BIND": f"127.0.0.1:{port}",
        "PENSTOCK_CERT": str(certificate),
        "PENSTOCK_A": instances[0],
        "PENSTOCK_B": instances[1],
    }
    settings = [f"{name}={value}" for name, value in variables.items()]
    return ["env", *settings, program("haproxy"), "-db", *(word for file in files for word in ("-f", str(file)))]


def nginx(directory: Path, certificate: Path, instances: tuple[str, str], port: int) -> list[str]:
    text = (DEPLOY / "nginx" / "penstock.conf").read_text()
    edits = {
        "/etc/ssl/penstock/fullchain.pem": str(certificate),
        "/etc/ssl/penstock/key.pem": str(certificate),
        "api.example.com": "localhost",
        "listen 443 ": f"listen 127.0.0.1:{port} ",
        "server 127.0.0.1:8000 ": f"server {instances[0]} ",
        "server 127.0.0.1:8010 ": f"server {instances[1]} ",
    }
    for before, after in edits.items():
        assert before in text, before
        text = text.replace(before, after)
    main = directory / "nginx.conf"
    places = "".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main.write_text(
        f"pid {directory}/pid; error_log stderr; daemon off;\nevents {{}}\n"
        f"http {{ access_log off; {places}\n{text}\n}}\n"
    )
    return [program("nginx"), "-p", str(directory), "-c", str(main)]


BALANCERS: dict[str, Callable[[Path, Path, tuple[str, str], int], list[str]]] = {"haproxy": haproxy, "nginx": nginx}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For `localhost`, with its key in the same file."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    key = path.with_suffix(".key")
    subprocess.run(
        [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out",
         path],
        check=True,
        capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + key.read_text())
    return path


@pytest.fixture(scope="module")
def provider() -> Iterator[GatedProvider]:
    with gated_provider() as provider:
        yield provider


def noticed(config: Path) -> None:
    """Two thirds of the notice that is shipped, where `running_proxy` takes it out."""
    main = config / "penstock.yaml"
    text = main.read_text().replace("stop_notice_s: 0", "stop_notice_s: 3")
    main.write_text(f"{text}\ntrusted_proxies: [127.0.0.1/32]\n")


@contextmanager
def balanced(name: str, directory: Path, certificate: Path, provider: GatedProvider) -> Iterator[Balanced]:
    port = free_port()
    (directory / "b").mkdir(parents=True)
    with running_proxy(directory / "a", provider.base_url, edit=noticed) as first:
        # The same keys: a team's are known to every instance in operation, by PostgreSQL.
        shutil.copytree(directory / "a" / "state", directory / "b" / "state", ignore=shutil.ignore_patterns("*lock*"))
        with running_proxy(directory / "b", provider.base_url, edit=noticed) as second:
            addresses = tuple(each.base_url.removeprefix("http://").removesuffix("/v1") for each in (first, second))
            command = BALANCERS[name](directory, certificate, (addresses[0], addresses[1]), port)
            with (directory / "balancer.log").open("wb") as log:
                process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            try:
                wait_for_port(port, process=process)
                yield Balanced(f"https://localhost:{port}", certificate, (first, second))
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture(scope="module", params=BALANCERS)
def front(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    certificate: Path,
    provider: GatedProvider,
) -> Iterator[Balanced]:
    directory = tmp_path_factory.mktemp(request.param)
    with balanced(request.param, directory, certificate, provider) as front:
        yield front


def until(word: bytes, stream: "subprocess.Popen[bytes]") -> bytes:
    """What came up to `word`; the stream's end comes first if there is none."""
    assert stream.stdout is not None
    came = b""
    while word not in came:
        piece = stream.stdout.readline()
        assert piece, came
        came += piece
    return came


@pytest.mark.parametrize("version", _HTTP)
def test_each_event_of_a_stream_arrives_before_the_next_is_sent(
    front: Balanced, provider: GatedProvider, version: str
) -> None:
    with front.chat(version, "--include") as stream:
        head = until(b"word0", stream)
        provider.permits.release()  # nothing more was sent before this
        until(b"word1", stream)
        provider.permits.release()
        until(b"[DONE]", stream)

    assert head.startswith(b"HTTP/2 200" if version == "--http2" else b"HTTP/1.1 200")
    assert b"strict-transport-security" in head.lower()
    assert b"text/event-stream" in head


def test_who_asks_is_told_and_what_clients_claim_of_it_opens_no_key(front: Balanced) -> None:
    create = ["keys", "create", "--team", "search", "--from", "127.0.0.1/32", "--from", "10.20.0.0/16", "--json"]
    keys = [json.loads(each.command(*create))["key"] for each in front.instances]
    claimed = ["--interface", "127.0.0.2", "-H", "x-forwarded-for: 10.20.0.5"]

    def answers() -> list[bytes]:
        asked = [
            front.curl(*claimed, "-H", f"authorization: Bearer {key}", f"{front.url}/v1/models")
            for key in keys
            for _ in range(4)
        ]
        return [subprocess.run(each, capture_output=True, check=True).stdout for each in asked]

    # Each instance knows one of the keys, and which of them is asked is the balancer's choice.
    eventually(lambda: any(b"may not be used from 127.0.0.2" in each for each in answers()), within_s=10)
    assert not [each for each in answers() if b"error" not in each]


@pytest.mark.parametrize("version", _HTTP)
def test_a_client_that_hangs_up_is_hung_up_for_at_the_provider(
    front: Balanced, provider: GatedProvider, version: str
) -> None:
    provider.was_hung_up_on.clear()

    with front.chat(version) as stream:
        until(b"word0", stream)
        stream.kill()

    assert provider.was_hung_up_on.wait(15)


@pytest.mark.parametrize("version", _HTTP)
def test_long_bodies_pass_whole_and_the_longest_are_refused_by_penstock_itself(
    front: Balanced, version: str, tmp_path: Path
) -> None:
    long, longest = tmp_path / "long", tmp_path / "longest"
    long.write_bytes(b'{"model": "auto", "messages": "' + b"x" * 8_000_000 + b'"}')
    longest.write_bytes(b" " * (32 * 1024 * 1024 + 1))

    said = {}
    for file in (long, longest):
        headers = ["-H", f"authorization: Bearer {front.instances[0].keys['search']}", "-H", "expect: 100-continue"]
        command = front.curl(version, "-v", *headers, "--data-binary", f"@{file}", f"{front.url}/v1/chat/completions")
        said[file] = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert '"invalid_request' in said[long].stdout, said[long].stderr[-500:]
    assert "messages" in said[long].stdout  # it was read to its end, and is no list
    if version == "--http1.1":
        assert "< HTTP/1.1 100 Continue" in said[long].stderr
    assert '"code":' in said[longest].stdout, said[longest].stderr[-500:]
    assert " 413" in said[longest].stderr


def test_an_instance_that_stops_fails_no_request(front: Balanced) -> None:
    """A POST, which a balancer may not send twice; without a key, so that what answers is Penstock's 401.

    The last of the tests of `front`: one of its instances is gone afterwards.
    """
    statuses: list[str] = []
    stopping = front.instances[0].process

    def ask() -> bool:
        """And whether the instance has ended."""
        shown = ["--output", os.devnull, "--write-out", "%{http_code}"]
        command = front.curl(*shown, "-d", "{}", f"{front.url}/v1/chat/completions")
        statuses.append(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
        return stopping.poll() is not None

    for _ in range(20):
        ask()
    stopping.send_signal(signal.SIGTERM)
    eventually(ask, within_s=30)
    for _ in range(10):
        ask()

    assert stopping.returncode == 0
    assert set(statuses) == {"401"}, statuses
