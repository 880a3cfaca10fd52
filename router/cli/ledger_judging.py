"""What `penstock evaluate --replay` does. Needs penstock[train]; loaded when it is run."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import click

from router.assembly.clock import utc_now
from router.assembly.deciding import make_quality
from router.assembly.stores import existing_store
from router.cli.configuration import known_team, loaded
from router.cli.evaluation import LedgerJudging
from router.cli.judging import may_be_written, tell, writing
from router.cli.output import counted, table
from router.errors import InvalidRequest, printable
from router.evaluation.draws import Unused, read_draws
from router.evaluation.ledger_reporting import (
    CURVE_HEADINGS,
    HEADINGS,
    LEVEL_HEADINGS,
    as_data,
    curve_rows,
    is_scored_unequally,
    level_rows,
    rows_of,
)
from router.evaluation.off_policy import LedgerJudgement, judge_draws
from router.evaluation.plotting import plot
from router.ledger import Period
from router.server.admin import moment_named

_WHY = {
    Unused.NOT_DRAWN: "whose model was not drawn",
    Unused.OTHER_ANSWERED: "that another model answered than was drawn",
    Unused.ALTERNATIVE_UNKNOWN: "drawn against a model that is not kept",
    Unused.IN_DOUBT: "whose cost is in doubt",
    Unused.UNREADABLE: "kept by another version",
    Unused.OTHER_PAIR: "drawn between other models",
}


def evaluate_ledger(asked: LedgerJudging) -> None:
    """Judges, prints, and writes what is asked for. Raises PenstockError."""
    may_be_written(asked.json_file, asked.png)
    now = utc_now()
    begin, end = moment_named("since", asked.since, now), moment_named("until", asked.until, now) or now
    if begin is not None and begin >= end:
        raise InvalidRequest(
            f"--since {asked.since} is not before --until {asked.until or 'now'}; give an earlier one."
        )
    snapshot = loaded(asked.config, is_sandbox=asked.is_sandbox)
    team = None if asked.team is None else known_team(snapshot, asked.team)
    period = Period(begin, end, team)
    with closing(existing_store(snapshot.settings)) as store, _progress(lambda: store.count(period)) as progress:
        found = read_draws(store, store, period, progress=progress)
    judgement = judge_draws(
        found, cheap=asked.cheap, strong=asked.strong, catalog=snapshot.catalog, quality=make_quality(snapshot)
    )
    data = {
        "since": None if begin is None else begin.isoformat(),
        "until": end.isoformat(),
        "team": asked.team,
        **as_data(judgement),
    }
    whose = f"team {asked.team}" if asked.team else "all teams"
    since = "the beginning" if begin is None else begin.isoformat(timespec="seconds")
    tell(_told(judgement, f"{whose}, since {since}"), data, asked.json_file)
    if asked.png is not None:
        with writing(asked.png):
            title = f"{judgement.cheap} → {judgement.strong}"
            routers = [each.router for each in judgement.lines]
            plot(routers, asked.png, title=printable(title), has_gap=judgement.has_gap)


@contextmanager
def _progress(count: Callable[[], int]) -> Iterator[Callable[[int], None]]:
    """A bar while standard error is a terminal; nothing otherwise."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=count(), file=sys.stderr, label="reading") as bar:
        yield bar.update


def _told(judgement: LedgerJudgement, whose: str) -> str:
    """The judgement for people: what is known, what is not, and what follows."""
    known = judgement.known
    used = judgement.cheap_level.scored + judgement.strong_level.scored
    lines = [
        f"{whose}: {judgement.cheap} → {judgement.strong}",
        f"{counted(known.requests, 'answered request')}, {known.scored} scored; {used} of these drawn between the two, "
        f"in {counted(judgement.conversations, 'conversation')}: of each the outcome of one model is known, and that "
        "of the other estimated",
        f"both outcomes known of {known.escalated} (a check failed, and a better model answered): these alone are "
        "hard for the first, so they are not judged by",
    ]
    if judgement.unused:
        told = ", ".join(f"{count} {_WHY[each]}" for each, count in judgement.unused.most_common())
        lines.append(f"scored, and not judged: {told}")
    if known.shadows:
        lines.append(f"{known.shadows} shadow copies, which nobody has scored")
    if is_scored_unequally(judgement):
        lines.append(
            "CAUTION: answers of one model were scored more often than those of the other. If who scores depends on "
            "the answer, nothing below is right; score a random part of all answers."
        )
    parts = [printable_lines(lines), table(LEVEL_HEADINGS, level_rows(judgement))]
    low, high = judgement.gap_95
    gap = f"strong − cheap: {judgement.gap:+.4f} [{low:+.4f} to {high:+.4f}]"
    if not judgement.has_gap:
        parts.append(
            f"{gap}: from these scores it cannot be told that the strong model is better, so no share of a gap can be "
            "given; have more answers scored, or send all to the cheap one."
        )
        return "\n\n".join(parts)
    first = judgement.lines[0]
    parts += [
        gap,
        table(HEADINGS, rows_of(judgement)),
        f"{first.router.name}:\n" + table(CURVE_HEADINGS, curve_rows(first)),
    ]
    return "\n\n".join(parts)


def printable_lines(lines: list[str]) -> str:
    """Each on a line of its own."""
    return "\n".join(map(printable, lines))
