"""jinja2's environment for the console's templates: `environment`.

A file of its own, which is loaded when the first page is asked for (`assembly/console.py`): jinja2 takes 28 ms of a
start (3.1.6, November 2026), and most servers are never looked at by a person.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from router.console import rendering
from router.units import usd_text


def environment() -> Environment:
    """Reads nothing yet but the marks of static files."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).resolve().parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        usd=rendering.dollars,
        exact=usd_text,
        count=rendering.count,
        short=rendering.short_count,
        percent=rendering.percent,
        seconds=rendering.seconds,
        age=rendering.age,
        clock=rendering.clock,
        moment=rendering.moment_text,
        rate=rendering.rate,
        segment=rendering.segment,
        plain=rendering.plain,
        words=rendering.words,
    )
    environment.globals.update(static=rendering.static_path(), query=rendering.query)
    return environment
