"""What somebody may do on the admin port: `Role`. A higher one may do all that a lower one may."""

from enum import IntEnum


class Role(IntEnum):
    """From least to most; compared by order."""

    ANYONE = 0  # no credentials at all: probes, the page that asks for them
    VIEWER = 1  # reads: metrics, spend, pages
    OPERATOR = 2  # has something done that costs the machine or changes how it serves: reload, replay, explain
    OWNER = 3  # spends money, or hands out rights

    @property
    def word(self) -> str:
        """As configurations and pages write it."""
        return self.name.lower()


def role_named(word: str) -> Role:
    """The role that a token of the configuration has. `word` is one of `viewer`, `operator`, `owner`."""
    return Role[word.upper()]
