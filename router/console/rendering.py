"""Pages as text: `Renderer`, the templates and how figures are written in them.

Dollars are exact until they are written: `usd` shortens for the eye, and templates put the exact figure beside it.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from router.catalog.catalog import Catalog
from router.units import usd

STATIC = Path(__file__).resolve().parent / "static"
_COLOURS = (0, 1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16)  # of console.css; 7 is for what has none


class Templates(Protocol):
    """jinja2's environment, as it is used."""

    def get_template(self, name: str) -> "Template": ...


class Template(Protocol):
    def render(self, shown: Mapping[str, Any], /) -> str: ...


class Renderer:
    """Templates, read and compiled when they are first asked for: who never looks pays nothing."""

    def __init__(self, templates: Callable[[], Templates]) -> None:
        self._make = templates
        self._templates: Templates | None = None

    def page(self, template: str, shown: Mapping[str, Any]) -> str:
        if self._templates is None:
            self._templates = self._make()
        return self._templates.get_template(template).render(shown)


def static_path() -> Callable[[str], str]:
    """A function that names a static file with a mark of its content, so that browsers may keep it."""
    marks = {
        path.relative_to(STATIC).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        for path in sorted(STATIC.rglob("*"))
        if path.is_file()
    }
    return lambda name: f"/static/{name}?{marks[name]}"


def dollars(nano_usd: float) -> str:
    """`$1,234.56`, `$0.0421`, `$0.000147`: three figures at least, and cents from a dollar on."""
    amount = usd(round(nano_usd))
    sign, size = ("\N{MINUS SIGN}" if amount < 0 else ""), abs(amount)
    if size == 0:
        return "$0.00"
    if size >= 1:
        return f"{sign}${size:,.2f}"
    places = max(2, 2 - size.adjusted())  # of three figures
    text = f"{size:.{min(places, 9)}f}"
    head, _, tail = text.partition(".")
    return f"{sign}${head}.{tail[:2]}{tail[2:].rstrip('0')}"


def count(number: float) -> str:
    return f"{number:,.0f}"


def short_count(number: float) -> str:
    """`950`, `12.3k`, `4.56M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= size:
            scaled = number / (1e3 if letter == "k" else size)
            return f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f}{letter}"
    return f"{number:,.0f}"


def percent(share: float | None, places: int = 0) -> str:
    if share is None:
        return "–"
    return f"{share * 100:.{places}f} %".replace("-", "\N{MINUS SIGN}")


def seconds(value: float | None) -> str:
    """`0.7 ms`, `340 ms`, `2.4 s`, `3 min`."""
    if value is None:
        return "–"
    if value < 0.01:
        return f"{value * 1000:.1f} ms"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 90 else age(value)


def age(value: float) -> str:
    """`12 s`, `5 min`, `3 h`, `4 d`."""
    for size, unit in ((172_800, "d"), (5_400, "h"), (90, "min")):
        if value >= size:
            return f"{value / {'d': 86_400, 'h': 3_600, 'min': 60}[unit]:.0f} {unit}"
    return f"{value:.0f} s"


def clock(moment: datetime) -> str:
    """The time of day in UTC."""
    return f"{moment.astimezone(UTC):%H:%M:%S}"


def moment_text(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def rate(per_token: Decimal) -> str:
    """USD per million tokens."""
    text = f"{per_token.scaleb(6).normalize():f}"
    head, _, tail = text.partition(".")
    return f"{head}.{tail.ljust(2, '0')}"


def plain(figure: Decimal) -> str:
    return f"{figure.normalize():f}"


def words(names: Iterable[object]) -> str:
    return ", ".join(str(each) for each in names)


def segment(text: str) -> str:
    """Text as one segment of a path."""
    return quote(text, safe="")


def query(**fields: object) -> str:
    """`?a=1&b=2` of those that are not empty; an empty text if all are."""
    kept = {name: str(value) for name, value in fields.items() if value not in (None, "")}
    return f"?{urlencode(kept)}" if kept else ""


def colours(catalog: Catalog) -> Mapping[str, int]:
    """The number of each model's colour, the same on every page. With more models than colours some share one."""
    return {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(catalog.deployments)}
