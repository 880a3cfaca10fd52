"""What became of every key of the input, each told exactly once.

Nothing here, nor anything that is told here, repeats a value of the input but names and numbers: any other may be a
secret.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from router.errors import printable

Path = tuple[str | int, ...]  # keys and list indices from the top of the config, included files merged into it

_LONGEST_NAME = 80  # characters of a foreign name that are repeated


class Verdict(StrEnum):
    CONVERTED = "converted"
    APPROXIMATED = "approximated"
    NO_EQUAL = "no equal"


@dataclass(frozen=True, slots=True)
class Finding:
    path: Path
    verdict: Verdict
    what: str  # what it became; how that differs; what to do instead

    @property
    def key(self) -> str:
        return spelled(self.path)


class Findings:
    """Collects them. A finding speaks for all that stands below its path, but for what has one of its own."""

    def __init__(self) -> None:
        self._by_path: dict[Path, Finding] = {}

    def converted(self, path: Path, what: str) -> None:
        self.add(path, Verdict.CONVERTED, what)

    def approximated(self, path: Path, what: str) -> None:
        self.add(path, Verdict.APPROXIMATED, what)

    def no_equal(self, path: Path, what: str) -> None:
        self.add(path, Verdict.NO_EQUAL, what)

    def add(self, path: Path, verdict: Verdict, what: str) -> None:
        """Raises ValueError if something was found of the same key before."""
        if path in self._by_path:
            raise ValueError(f"{spelled(path)} has a finding: {self._by_path[path].what}")
        self._by_path[path] = Finding(path, verdict, what)

    def all_of(self, config: object) -> tuple[Finding, ...]:
        """The findings in the order of the config; a key of which nobody said anything is told as unknown."""
        found: dict[Path, Finding] = {}
        for path, value in leaves(config):
            speaks = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in self._by_path), None)
            if speaks is None:
                is_empty = value is None or value in ([], {})
                what = "nothing is in it" if is_empty else "unknown here; nothing was made of it"
                found[path] = Finding(path, Verdict.NO_EQUAL, what)
            else:
                found.setdefault(speaks, self._by_path[speaks])
        return tuple(found.values())


def leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """All values that hold no others, with their paths; empty lists and mappings are among them."""
    children: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    if not children:
        yield path, value
    for key, child in children:
        yield from leaves(child, (*path, key))


def spelled(path: Path) -> str:
    """`model_list[3].litellm_params.model`"""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{name(key)}" for key in path)
    return text.removeprefix(".")


def name(text: str) -> str:
    """A foreign name as it may stand in a line of text."""
    safe = printable(text)
    return safe if len(safe) <= _LONGEST_NAME else f"{safe[:_LONGEST_NAME]}…"
