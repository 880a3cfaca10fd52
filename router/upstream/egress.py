"""To which addresses a connection may be opened, and to which not, whatever a name resolves to.

The hosts are those of the configuration. But a name's addresses are in other hands: who controls the DNS of a provider,
or stands between, could have requests, with their keys, sent to a machine in our own network, or to the service that
gives a cloud machine its credentials. So every address is looked at between resolving and connecting, and it is that
very address which is connected to: there is no second look-up that could say something else (DNS rebinding).

- An address that stands as such in `base_url` is the operator's word, and is taken.
- Else an address of a private network is taken only where the provider is said to be in one: by a name that can exist
  nowhere else, or by `private_network: true`.
- Else what belongs to one link, gives out credentials, or is no address of one machine is never taken.

What is not global is private here, by the registries of IANA as Python's `ipaddress` has them.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# No such names are in the public DNS: RFC 6761 (localhost), RFC 6762 (local, of which cluster.local is a part),
# ICANN's board of 29 July 2024 (internal), RFC 8375 (home.arpa).
_PRIVATE_ENDINGS = (".localhost", ".local", ".internal", ".home.arpa")

# Services that give credentials or settings to any program of a cloud machine which asks, beside 169.254.0.0/16:
# AWS by IPv6, Alibaba Cloud, Azure's wire server, Oracle's classic platform (their documentation, November 2026).
_METADATA = frozenset(map(ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")))

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address that one comes out at
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that IANA has given out for the internet so far
_THIS_NETWORK = IPv4Network("0.0.0.0/8")  # RFC 791; Linux takes its first address for its own

Address = IPv4Address | IPv6Address


def says_private(host: str) -> bool:
    """Whether a host of a configuration can only be one of a private network: by its name, or by being an address."""
    if _literal(host) is not None:
        return True
    name = host.lower().rstrip(".")
    # A name of one word is not in the public DNS either; `2130706433` and `0x7f000001` are ways to write an address.
    is_one_word = "." not in name and name[:1].isalpha()
    return is_one_word or name.endswith(_PRIVATE_ENDINGS)


def objection(address: str, *, host: str, is_private: bool) -> str | None:
    """Why there is no connecting to an address that the host resolved to; None if there is.

    `is_private`: the host is said to be in a private network.
    """
    found = _literal(address)
    if found is None:
        return "is no address"
    if found == _literal(host):
        return None
    for each in _meant(found):
        if (why := _objection(each, is_private=is_private)) is not None:
            return why
    return None


def _objection(address: Address, *, is_private: bool) -> str | None:
    if address.is_link_local or address in _METADATA:
        return "is link-local or a cloud's metadata service"
    if address.is_unspecified or address.is_multicast or _is_nobodys(address):
        return "is no address of one machine"
    if not is_private and not _is_public(address):
        return "is private"
    return None


def _is_nobodys(address: Address) -> bool:
    return isinstance(address, IPv4Address) and (address.is_reserved or address in _THIS_NETWORK)


def _is_public(address: Address) -> bool:
    # Which of the other IPv6 blocks `is_global` knows depends on the release of Python.
    return address.is_global and (isinstance(address, IPv4Address) or address in _GLOBAL_UNICAST)


def _meant(address: Address) -> tuple[Address, ...]:
    """The addresses where one may come out: beside its own, that which a gateway or the kernel finds within it."""
    if isinstance(address, IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address in _NAT64:
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    if address.sixtofour is not None:
        return (address, address.sixtofour)
    return (address, *(address.teredo or ()))


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None
