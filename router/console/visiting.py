"""Who looks: `Visitor`. Whoever lets them in (`server/admin_port.py`) leaves it in the request's scope."""

from dataclasses import dataclass

from starlette.types import Scope

from router.roles import Role

VISITOR = "penstock.visitor"  # where it stands in the ASGI scope


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever sent a request to the admin port, and how far he may go."""

    name: str  # of his token; `local` where the port asks for none
    role: Role
    origin: str = ""  # the address he asks from
    session: str | None = None  # the id of the session of a browser; None: each request says who he is

    @property
    def bound_to(self) -> str:
        """What the forms that he is given are good for: his session, or his name."""
        return self.name if self.session is None else f"session {self.session}"

    def may(self, role: Role) -> bool:
        return self.role >= role

    @property
    def may_operate(self) -> bool:
        return self.may(Role.OPERATOR)


NOBODY = Visitor("", Role.ANYONE)


def visitor_of(scope: Scope) -> Visitor:
    found: Visitor = scope.get(VISITOR, NOBODY)
    return found
