"""How often somebody may be wrong: `Throttle`. Each has a supply of attempts of his own, which fills up with time."""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

_MOST_KNOWN = 10_000  # of those who were wrong lately; beyond it whoever was wrong longest ago is forgotten


class Throttle:
    def __init__(self, *, monotonic_s: Callable[[], float], attempts: int = 10, every_s: float = 6.0) -> None:
        """So many `attempts` at once, and another one each `every_s`."""
        self._monotonic_s = monotonic_s
        self._attempts = attempts
        self._every_s = every_s
        self._used: OrderedDict[str, tuple[float, float]] = OrderedDict()  # attempts that count against him, and when

    def wait_s(self, who: str) -> float:
        """How long he has to wait until he may try; 0: not at all."""
        return max(0.0, (self._counted(who) - (self._attempts - 1)) * self._every_s)

    def was_wrong(self, who: str) -> None:
        self._used[who] = (self._counted(who) + 1, self._monotonic_s())
        self._used.move_to_end(who)
        if len(self._used) > _MOST_KNOWN:
            self._used.popitem(last=False)

    def was_right(self, who: str) -> None:
        self._used.pop(who, None)

    def _counted(self, who: str) -> float:
        used, at_s = self._used.get(who, (0.0, 0.0))
        return max(0.0, used - (self._monotonic_s() - at_s) / self._every_s)


def network_of(address: str) -> str:
    """What counts as one: an address, or of IPv6 the network that one household or machine has to itself."""
    try:
        its = ip_address(address)
    except ValueError:
        return address
    if isinstance(its, IPv6Address):
        return str(its.ipv4_mapped) if its.ipv4_mapped else its.exploded[:19]
    return str(its)
