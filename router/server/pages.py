"""What the console's pages are made of: plain markup, without scripts and without anything from elsewhere.

Whoever passes text that is not ours escapes it; headings and captions are escaped here.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

EXPLAIN_PATH = "/explain"

HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


def section(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str, wraps: bool = False
) -> str:
    """A table under a heading. Without rows it says `empty`: what would stand there, and why it does not.

    Columns whose heading ends in a space hold figures and are aligned right. `wraps`: long cells take several lines.
    """
    figures = [column.endswith(" ") for column in columns]
    head = "".join(
        f'<th scope="col"{_side(is_figure)}>{escape(column.strip())}</th>'
        for column, is_figure in zip(columns, figures, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{_side(is_figure)}>{cell}</td>" for cell, is_figure in zip(row, figures, strict=True))
        + "</tr>"
        for row in rows
    )
    nothing = f'<tr><td class=empty colspan="{len(columns)}">{escape(empty)}</td></tr>'
    table = "<table class=wraps>" if wraps else "<table>"
    return (
        f"<section><h2>{escape(title)}</h2><div class=table>{table}<thead><tr>{head}</tr></thead>"
        f"<tbody>{body or nothing}</tbody></table></div></section>"
    )


def about(version: str, config_version: str, now: datetime) -> str:
    """What a page is of, and of when."""
    return f"version {version} · configuration {config_version} · {now:%Y-%m-%d %H:%M:%S} UTC"


def link(path: str, text: str) -> str:
    """To another page of the console."""
    return f'<a href="{escape(path)}">{escape(text)}</a>'


def _side(is_figure: bool) -> str:
    return " class=figure" if is_figure else ""


def page_of(*, subtitle: str, sections: Iterable[str], refresh_s: int | None = None) -> str:
    """A whole page. `sections` are markup; `refresh_s`: it loads itself anew."""
    refresh = "" if refresh_s is None else f'<meta http-equiv="refresh" content="{refresh_s}">'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Penstock</title>'
        f'<meta name="viewport" content="width=device-width">{refresh}'
        f"<style>{_STYLE}</style></head><body><header><h1>Penstock</h1><p>{escape(subtitle)}</p>"
        f"<nav>{link('/', 'Overview')} {link(EXPLAIN_PATH, 'Explain')}</nav></header>"
        f"<main>{''.join(sections)}</main></body></html>"
    )


_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #555; }
@media (prefers-color-scheme: dark) { :root { --soft: #bbb; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem; }
h1 { margin: 0; font-size: 1.6rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
header p { margin: 0; color: var(--soft); }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
.wraps td, td.empty { white-space: normal; overflow-wrap: anywhere; } .wraps td:first-child { white-space: nowrap; }
td.empty { color: var(--soft); }
.figure { text-align: right; font-variant-numeric: tabular-nums; }
nav { margin-top: .3rem; } nav a { margin-right: 1rem; }
form { display: grid; gap: .5rem; max-width: 50rem; } textarea { font: 13px/1.4 ui-monospace, monospace; }
label { display: grid; gap: .2rem; color: var(--soft); } button { justify-self: start; }
textarea, input, select, button { font-size: inherit; padding: .3rem .5rem; }
.wrong { border-left: 4px solid #c33; padding: .3rem .8rem; }
meter { width: 6rem; vertical-align: middle; }
"""
