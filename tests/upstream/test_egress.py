"""Which addresses may be connected to, by the name that led there; and that the transport keeps to it."""

import logging
import re
import socket
import token
import tokenize
from pathlib import Path

import pytest
from aiohappyeyeballs import AddrInfoType
from hypothesis import given
from hypothesis import strategies as st

import router
from router.upstream.connection import Timeouts
from router.upstream.egress import objection, says_private
from router.upstream.faults import AddressRefused, ConnectError, is_unsent
from router.upstream.transport import Origin, PreparedHead, UpstreamTransport
from tests.upstream.faulty_server import Peer, answer, faulty_server

PUBLIC = ("1.1.1.1", "104.18.2.115", "172.15.255.255", "172.32.0.1", "2606:4700::6812:273", "64:ff9b::104.18.2.115")
PRIVATE = (
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "::1",
    "fd12::1",
    "fec0::1",
)
NEVER = (
    "169.254.169.254",
    "fe80::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "ff02::1",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_taken(address: str) -> None:
    assert objection(address, host="provider.example", is_private=False) is None


@pytest.mark.parametrize(
    "address", [*PRIVATE, "::ffff:127.0.0.1", "64:ff9b::10.0.0.1", "2002:0a00:0001::1", "64:ff9b:1::1"]
)
def test_a_private_address_is_taken_only_where_the_provider_is_said_to_be_in_a_private_network(address: str) -> None:
    assert objection(address, host="provider.example", is_private=False) == "is private"
    assert objection(address, host="provider.example", is_private=True) is None


@pytest.mark.parametrize("address", [*NEVER, "::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1"])
def test_what_gives_out_credentials_or_is_nobodys_is_not_taken_even_there(address: str) -> None:
    assert objection(address, host="vllm.internal", is_private=True) is not None


@pytest.mark.parametrize("address", [*PRIVATE, "169.254.169.254"])
def test_an_address_that_stands_in_the_configuration_is_taken(address: str) -> None:
    assert objection(address, host=address, is_private=False) is None


def test_the_address_of_an_interface_is_compared_without_the_interface() -> None:
    assert objection("fe80::1%eth0", host="fe80::1%eth0", is_private=True) is None
    assert objection("fe80::1%eth0", host="printer.local", is_private=True) is not None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_however_it_is_wrapped(address: object) -> None:
    plain, mapped, translated = (
        objection(each, host="provider.example", is_private=False)
        for each in (str(address), f"::ffff:{address}", f"64:ff9b::{address}")
    )

    assert plain == mapped == translated


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "::1",
        "localhost",
        "LOCALHOST.",
        "ollama",
        "vllm.internal",
        "nas.local",
        "llm.svc.cluster.local",
        "a.home.arpa",
    ],
)
def test_a_name_that_is_nowhere_on_the_internet_says_itself_that_it_is_private(host: str) -> None:
    assert says_private(host)


@pytest.mark.parametrize(
    "host",
    ["openrouter.ai", "localhost.example", "2130706433", "0x7f000001", "0177.0.0.1", "internal.example"],
)
def test_a_name_that_may_be_anybodys_does_not(host: str) -> None:
    assert not says_private(host)


async def mine(peer: Peer) -> None:
    await peer.request()
    await peer.send(answer(b"mine"))


class resolving:  # noqa: N801 - it is called where a function would be
    """A resolver that says these addresses of whatever name, and counts."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[AddrInfoType]:
        self.asked += 1
        return [info for each in self._addresses for info in socket.getaddrinfo(each, port, type=socket.SOCK_STREAM)]


@pytest.mark.anyio
async def test_a_public_name_that_leads_to_this_machine_is_not_connected_to(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        faulty_server(mine) as server,
        UpstreamTransport(resolve=resolving("127.0.0.1", "169.254.169.254")) as transport,
    ):
        head = PreparedHead(Origin("http", "provider.example", server.origin.port), b"POST", b"/", [])
        with caplog.at_level(logging.WARNING, "penstock.upstream"):
            for _ in range(3):
                with pytest.raises(AddressRefused, match=r"127\.0\.0\.1, which is private; 169\.254\.169\.254") as told:
                    await transport.ask(head, b"", Timeouts())
                assert is_unsent(told.value)

        assert server.connections == 0
        assert transport.open_connections == 0
        assert len(caplog.records) == 1  # and not one for each request


@pytest.mark.anyio
async def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to() -> None:
    resolve = resolving("127.0.0.1")
    async with faulty_server(mine) as server, UpstreamTransport(resolve=resolve) as transport:
        origin = Origin("http", "vllm.internal", server.origin.port, is_private=True)
        response = await transport.ask(PreparedHead(origin, b"POST", b"/", []), b"", Timeouts())

        assert b"".join([chunk async for chunk in response.chunks()]) == b"mine"
        assert resolve.asked == 1


@pytest.mark.anyio
async def test_a_name_without_any_address_is_one_that_cannot_be_connected_to() -> None:
    async with UpstreamTransport(resolve=resolving()) as transport:
        with pytest.raises(ConnectError, match="no address") as told:
            await transport.ask(PreparedHead(Origin("http", "a.example", 80), b"POST", b"/", []), b"", Timeouts())

        assert is_unsent(told.value)
        assert transport.open_connections == 0


@pytest.mark.anyio
async def test_of_several_addresses_those_without_objection_are_tried() -> None:
    async with (
        faulty_server(mine) as server,
        UpstreamTransport(resolve=resolving("169.254.169.254", "127.0.0.1")) as transport,
    ):
        origin = Origin("http", "vllm.internal", server.origin.port, is_private=True)
        response = await transport.ask(PreparedHead(origin, b"POST", b"/", []), b"", Timeouts(connect_s=0.2))

        assert b"".join([chunk async for chunk in response.chunks()]) == b"mine"


# What may open a connection, in whatever library; and a socket, by which one could.
_OPENS = re.compile(
    r"\b(create_connection|create_unix_connection|create_datagram_endpoint|open_connection|open_unix_connection"
    r"|sock_connect|start_connection|connect_tcp|connect_unix|create_udp_socket|create_connected_udp_socket"
    r"|urlopen|urllib\.request|http\.client|getaddrinfo|gethostby\w+|psycopg\.connect|from_url|httpx2?|aiohttp"
    r"|ftplib|smtplib|socketserver|xmlrpc)\b|socket\.socket\(|\.connect\(\("
)
_WHERE = {
    "upstream/transport.py": "calls to providers, and what goes the same way",
    "storage/pool.py": "PostgreSQL, and the same socket again to shut it down",
    "assembly/with_redis.py": "Redis",
    "cli/doctor/machine.py": "whether Penstock has the configured port already; whether it is free",
    "server/supervision.py": "systemd's socket on this machine",
    "server/listen.py": "where it listens",
    "server/workers.py": "sockets that another process handed over",
    "sandbox/connection.py": "the socket of a connection that somebody made",
}


def code(file: Path) -> str:
    """A source without its comments and texts, a space between all."""
    with file.open("rb") as source:
        kept = [each.string for each in tokenize.tokenize(source.readline) if each.type in (token.NAME, token.OP)]
    return " ".join(kept).replace(" . ", ".").replace(" (", "(").replace("( ", "(")


def test_nothing_else_opens_connections() -> None:
    """What docs/egress.md lists is all there is."""
    package = Path(router.__file__).parent

    mentioned = [file for file in package.rglob("*.py") if _OPENS.search(file.read_text())]
    found = {str(file.relative_to(package)) for file in mentioned if _OPENS.search(code(file))}

    assert found == set(_WHERE)
