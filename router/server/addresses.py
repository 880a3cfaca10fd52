"""Where a request comes from: the address that its connection has, or behind balancers of ours the one they tell.

Anybody can write `X-Forwarded-For`, so it is read only of a connection from a proxy that the configuration trusts
(`trusted_proxies`), and only as far as such proxies have written it: from the right, each of them has appended the
address that its own connection came from. The first from there that is no trusted proxy is the client. What stands to
the left of it is the client's own word. `Forwarded` (RFC 7239) and `X-Real-IP` are not read.
"""

from collections.abc import Sequence
from ipaddress import AddressValueError, IPv6Address, ip_address

from starlette.types import Scope

from router.keys import Address, Network

_FORWARDED_FOR = b"x-forwarded-for"


def source_address(scope: Scope, trusted: Sequence[Network]) -> Address | None:
    """The client's address; None if it is not known, as of a unix socket, or where a trusted proxy tells nonsense or
    nothing: it is not the proxy that asks, and whoever stands behind it is not allowed because the proxy would be.
    """
    client = scope.get("client")
    address = _address(client[0]) if client else None
    if address is None or not _is_trusted(address, trusted):
        return address
    told = b",".join(value for name, value in scope["headers"] if name == _FORWARDED_FOR)
    if not told.strip():
        return None
    for each in reversed(told.decode("latin-1").split(",")):
        address = _address(each.strip())
        if address is None or not _is_trusted(address, trusted):
            return address
    return address  # one of our own proxies has asked


def _is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


def _address(text: str) -> Address | None:
    """An address with or without a port, as balancers write it (Azure's have one); IPv4 within IPv6 as IPv4."""
    host = text
    if text.startswith("["):
        host, _, _ = text[1:].partition("]")
    elif text.count(":") == 1:
        host, _, _ = text.partition(":")
    try:
        address = ip_address(host)
    except (AddressValueError, ValueError):
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
