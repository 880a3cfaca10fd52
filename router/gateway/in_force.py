"""The configuration in force, with everything that serves it: `InForce` is its one owner.

Another one takes its place whole, by one assignment between two steps of the event loop. Whoever carries a request
takes `current` once, when the request has been read, and carries it to its end with that.
"""

from collections.abc import Sequence
from weakref import WeakSet

from router.gateway.dispatch import Gateway


class InForce:
    """The gateway of the configuration in force, and those before it that requests still hold."""

    def __init__(self, gateway: Gateway) -> None:
        self.current = gateway
        self._before: WeakSet[Gateway] = WeakSet()  # each lives as long as a request that began under it

    def put(self, gateway: Gateway) -> None:
        """Requests that come from now on are carried by this one."""
        self._before.add(self.current)
        self.current = gateway

    @property
    def in_flight(self) -> int:
        """Requests under way, under whichever configuration they began."""
        return self.current.in_flight + sum(each.in_flight for each in self._before)

    def in_use(self) -> Sequence[Gateway]:
        """The current one, and those that requests under way began under."""
        return (self.current, *self._before)
