"""Where a request comes from: what a stranger writes into a header never counts."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.server.addresses import source_address
from tests.server.asgi import scope_of

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def source(peer: str | None, *told: str, trusted: tuple[str, ...] = ("10.0.0.0/8", "fd00::/8")) -> str | None:
    scope = scope_of(headers=[("x-forwarded-for", each) for each in told])
    scope["client"] = None if peer is None else (peer, 50_000)
    address = source_address(scope, tuple(map(ip_network, trusted)))
    return None if address is None else str(address)


@pytest.mark.parametrize(
    ("peer", "told", "expected"),
    [
        ("192.0.2.1", (), "192.0.2.1"),
        ("192.0.2.1", ("198.51.100.9",), "192.0.2.1"),  # no proxy of ours: its word is nothing
        ("10.0.0.1", ("198.51.100.9",), "198.51.100.9"),
        ("10.0.0.1", ("203.0.113.1, 198.51.100.9",), "198.51.100.9"),  # the first is the client's own invention
        ("10.0.0.1", ("10.9.9.9, 198.51.100.9, 10.0.0.2",), "198.51.100.9"),
        ("10.0.0.1", ("203.0.113.1", "198.51.100.9"), "198.51.100.9"),  # two lines are one list
        ("10.0.0.1", ("198.51.100.9:4711",), "198.51.100.9"),
        ("10.0.0.1", ("[2001:db8::1]:4711",), "2001:db8::1"),
        ("10.0.0.1", ("2001:db8::1",), "2001:db8::1"),
        ("::ffff:10.0.0.1", ("198.51.100.9",), "198.51.100.9"),
        ("10.0.0.1", ("::ffff:198.51.100.9",), "198.51.100.9"),
        ("fd00::1", ("198.51.100.9",), "198.51.100.9"),
        ("10.0.0.1", (), None),  # a balancer that tells nobody's address: the client is not the balancer
        ("10.0.0.1", ("10.0.0.2, 10.0.0.3",), "10.0.0.2"),
        ("10.0.0.1", ("198.51.100.9, unknown",), None),  # who is behind it nobody knows
        ("10.0.0.1", ("",), None),
        ("10.0.0.1", ("198.51.100.9,",), None),
        ("10.0.0.1", ("0x7f000001",), None),
        (None, ("198.51.100.9",), None),  # a unix socket
    ],
)
def test_the_first_from_the_right_that_is_no_proxy_of_ours_has_asked(
    peer: str | None, told: tuple[str, ...], expected: str | None
) -> None:
    assert source(peer, *told) == expected


def test_nobody_is_trusted_by_default() -> None:
    assert source("10.0.0.1", "198.51.100.9", trusted=()) == "10.0.0.1"


@given(claimed=st.text(st.characters(max_codepoint=255)) | st.ip_addresses().map(str), client=st.ip_addresses())
def test_whatever_a_client_claims_its_own_address_counts(claimed: str, client: object) -> None:
    address = ip_address(str(client))
    mapped = getattr(address, "ipv4_mapped", None)
    if any((mapped or address) in network for network in TRUSTED):
        return

    assert source("10.0.0.1", f"{claimed}, {client}") == str(mapped or address)
    assert source(str(client), claimed) == str(mapped or address)
