"""`penstock replay`: what yesterday would have cost under another configuration."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from router.assembly.clock import utc_now
from router.assembly.deciding import make_faculties
from router.assembly.stores import existing_store
from router.catalog.book import with_book
from router.cli.configuration import book_of, books_options, complete_team, loaded
from router.cli.output import as_json, counted, table
from router.errors import InvalidRequest
from router.keys import TeamName
from router.ledger import Period
from router.replay.replay import READINGS, replay
from router.server.admin import moment_named

_BARS = 1_000  # progress is told in so many steps at most; a terminal is slow


@click.command(name="replay")
@books_options
@click.option("--since", default="7d", show_default=True, help="24h, 7d or a date such as 2026-11-01.")
@click.option("--until", default="", help="The same; only what was admitted before it. [default: now]")
@click.option(
    "--against",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory of the configuration to decide under; --config names the one whose ledger is read.",
)
@click.option("--team", shell_complete=complete_team, help="Only the requests of this team.")
@click.option("--json", "is_json", is_flag=True, help="For programs; docs/replay.md describes it.")
@click.option("--progress", "is_telling", is_flag=True, help="Tell a program how far it is, on standard error.")
def replay_command(
    config: Path | None,
    since: str,
    until: str,
    against: Path,
    team: str | None,
    *,
    is_sandbox: bool,
    is_json: bool,
    is_telling: bool,
) -> None:
    """Decide past requests again under the configuration in another directory, and say what they would have cost.

    Nothing is sent and nothing is written. What cannot be judged is counted, with the reason.

    Example: penstock replay --since 7d --against config.new --team search
    """
    now = utc_now()
    begin, end = moment_named("since", since, now), moment_named("until", until, now) or now
    if begin is not None and begin >= end:
        raise InvalidRequest(f"--since {since} is not before --until {until or 'now'}; give an earlier one.")
    period = Period(begin, end, TeamName(team) if team is not None else None)
    other, own = loaded(against), loaded(config, is_sandbox=is_sandbox)
    # What providers' lists have said since it began to be read is in the books of those who served.
    other = replace(other, catalog=with_book(other.catalog, book_of(own), {}))
    with closing(existing_store(own.settings)) as store, _progress(store.count(period), is_telling) as progress:
        report = replay(store, period, other, faculties=make_faculties(other), progress=progress)
    data = {
        "since": begin.isoformat() if begin else None,
        "until": end.isoformat(),
        "team": team,
        "against": {"directory": str(against), "version": other.version, "catalog_version": other.catalog.version},
        **report.as_data(),
    }
    click.echo(as_json(data) if is_json else _told(data))


@contextmanager
def _progress(entries: int, is_telling: bool) -> Iterator[Callable[[int], None]]:
    """A line for a program after every page that was read, if it is told to; else a bar while standard error is a
    terminal; nothing otherwise."""
    length = READINGS * entries
    if is_telling:
        done = 0

        def tell(more: int) -> None:
            nonlocal done
            done += more
            click.echo(f"read {done} of {length}", err=True)

        yield tell
        return
    if not sys.stderr.isatty() or not length:
        yield lambda _: None
        return
    with click.progressbar(
        length=length, file=sys.stderr, label="replaying", update_min_steps=max(length // _BARS, 1)
    ) as bar:
        yield bar.update


def _told(data: dict[str, Any]) -> str:
    """The report for people."""
    whose = f" of team {data['team']}" if data["team"] else ""
    since = "the beginning" if data["since"] is None else _to_the_second(data["since"])
    if not data["requests"]:
        return f"The ledger has no requests{whose} since {since}; try an earlier --since, or see `penstock spend`."
    judged, unjudged = data["judged"], data["not_judged"]
    missing = sum(each["requests"] for each in unjudged)
    parts = [
        f"{counted(data['requests'], 'request')}{whose} since {since}, ${data['then_usd']} then; against "
        f"{data['against']['directory']} ({data['against']['version']})\n"
        f"{judged['requests']} judged: ${judged['then_usd']} then, ${judged['now_usd']} now "
        f"(${judged['now_low_usd']} to ${judged['now_high_usd']}; {judged['estimated']['requests']} of them estimated)"
        f", saved ${judged['saved_usd']}{_share(judged)}\n"
        f"predicted quality {_quality(judged['quality_then'])} then, {_quality(judged['quality_now'])} now\n"
        f"{data['decided_the_same']} of {data['decided_again']} decisions are the same to the letter"
    ]
    if data["teams"]:
        parts.append(_money_table(("team",), data["teams"]))
    if data["models"]:
        rows = [
            (each["model"], str(each["calls_then"]), each["then_usd"], str(each["calls_now"]), each["now_usd"])
            for each in data["models"]
        ]
        parts.append(table(("model", "calls then", "then $", "calls now", "now $"), rows))
    parts.append(
        "routes that change:\n" + _money_table(("team", "from", "to"), data["routes"])
        if data["routes"]
        else "no route changes"
    )
    if unjudged:
        reasons = [
            (each["reason"], str(each["requests"]), each["then_usd"], ", ".join(each["about"])) for each in unjudged
        ]
        parts.append(
            f"not judged, {counted(missing, 'request')} (docs/replay.md says why):\n"
            + table(("reason", "requests", "then $", "about"), reasons)
        )
    return "\n\n".join(parts)


def _to_the_second(moment: str) -> str:
    return datetime.fromisoformat(moment).isoformat(timespec="seconds")


def _money_table(names: tuple[str, ...], groups: list[dict[str, Any]]) -> str:
    rows = [
        (
            *(each[name] for name in names),
            str(each["requests"]),
            each["then_usd"],
            each["now_usd"],
            each["saved_usd"],
            _quality(each["quality_then"]),
            _quality(each["quality_now"]),
        )
        for each in groups
    ]
    return table((*names, "requests", "then $", "now $", "saved $", "quality then", "now"), rows)


def _quality(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.3f}"


def _share(judged: dict[str, Any]) -> str:
    then = judged["then_nano_usd"]
    return f" ({judged['saved_nano_usd'] / then:.1%})" if then else ""
