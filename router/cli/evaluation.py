"""`penstock train`, `penstock evaluate`: what they may be asked. What they do needs more packages: `cli/judging.py`,
`cli/ledger_judging.py`, which are loaded when one of them is run (`cli/late.py`)."""

from dataclasses import dataclass
from pathlib import Path

import click
from click.core import ParameterSource

from router.cli.configuration import books_options, complete_team
from router.cli.late import loaded_late
from router.errors import BadOutcomes

STDOUT = Path("-")  # as the file of --json

_CHEAP = click.option("--cheap", help="The cheap model; several names with commas: the first that a file has.")
_STRONG = click.option("--strong", help="The strong model; the same.")
_ALSO = click.option(
    "--also",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with outcomes of other models or prompts, to learn difficulty from; may be repeated.",
)


@dataclass(frozen=True, slots=True)
class Training:
    """What `train` is asked for."""

    files: tuple[Path, ...]
    out: Path
    cheap: str | None
    strong: str | None
    also: tuple[Path, ...]
    licence: str
    note: str


@dataclass(frozen=True, slots=True)
class Judging:
    """What `evaluate` is asked for of files."""

    files: tuple[Path, ...]
    cheap: str | None
    strong: str | None
    also: tuple[Path, ...]
    split: str
    head_file: Path | None
    price_ratio: float
    strong_usd: float
    json_file: Path | None  # STDOUT: in place of the table
    png: Path | None


@dataclass(frozen=True, slots=True)
class LedgerJudging:
    """What `evaluate --replay` is asked for."""

    config: Path | None
    is_sandbox: bool
    since: str
    until: str
    team: str | None
    cheap: str | None
    strong: str | None
    json_file: Path | None
    png: Path | None


@click.command()
@click.argument("files", metavar="FILES...", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The artefact to write.")
@_CHEAP
@_STRONG
@_ALSO
@click.option("--licence", default="", help="What may be done with the prompts; kept in the artefact.")
@click.option("--note", default="", help="A sentence for the artefact's data card.")
def train(
    files: tuple[Path, ...],
    out: Path,
    cheap: str | None,
    strong: str | None,
    also: tuple[Path, ...],
    licence: str,
    note: str,
) -> None:
    """Train a text head on FILES of prompts with outcomes (JSON lines, gzipped or not; docs/quality.md) and write it.

    With --cheap and --strong the head tells that pair apart; without them it tells how hard a prompt is for a model in
    the middle, and --cheap alone says for whom.

    Example: penstock train ours.jsonl --cheap deepseek/deepseek-v4-flash --strong openai/gpt-5.5 --out ours.bin
    """
    run = loaded_late("router.cli.judging", "train", command="train")
    run(Training(files, out, cheap, strong, also, licence, note))


_OF_FILES = ("also", "split", "head_file", "price_ratio", "strong_usd")
_OF_THE_LEDGER = ("config", "is_sandbox", "since", "until", "team")


@click.command()
@click.argument("files", metavar="[FILES...]", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--replay", "is_replay", is_flag=True, help="Judge on the ledger and the clients' scores, not on FILES.")
@books_options
@click.option("--since", default="7d", show_default=True, help="With --replay: 24h, 7d or a date such as 2026-11-01.")
@click.option("--until", default="", help="With --replay: only what was admitted before it. [default: now]")
@click.option("--team", shell_complete=complete_team, help="With --replay: only the requests of this team.")
@_CHEAP
@_STRONG
@_ALSO
@click.option(
    "--split",
    default="folds",
    show_default=True,
    help="folds, folds:N, labels:N, leave-subjects-out, leave-subjects-out:N, leave-one-subject-out, "
    "leave-one-dataset-out.",
)
@click.option(
    "--head",
    "head_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Judge this artefact as it is, in place of training on the split.",
)
@click.option(
    "--price-ratio", default=10.0, show_default=True, type=click.FloatRange(1.0, 1e6), help="Strong to cheap."
)
@click.option(
    "--strong-usd",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.0, 1e6, min_open=True),
    help="Dollars for a thousand strong calls, for RouterArena's score.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write everything as JSON; - prints it in place of the table.",
)
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), help="Draw the curves.")
@click.pass_context
def evaluate(
    context: click.Context,
    files: tuple[Path, ...],
    config: Path | None,
    since: str,
    until: str,
    team: str | None,
    cheap: str | None,
    strong: str | None,
    also: tuple[Path, ...],
    split: str,
    head_file: Path | None,
    price_ratio: float,
    strong_usd: float,
    json_file: Path | None,
    png: Path | None,
    *,
    is_replay: bool,
    is_sandbox: bool,
) -> None:
    """Judge routing between a cheap and a strong model on FILES of prompts whose outcomes are known.

    Each prompt is judged by a head that was trained without it. The figures are RouteLLM's: APGR is 0.5 for a router
    that draws lots, CPT(50) the share of strong calls, in percent, that recovers half of the gap between the two.

    With --replay the same is estimated from the ledger: from requests whose model was drawn (`explore` in the team's
    policy) and that clients have scored. Figures are as sure as their intervals say, and no surer.

    Example: penstock evaluate ours.jsonl.gz --split leave-subjects-out --png curve.png

    Example: penstock evaluate --replay --since 30d --team search
    """
    _told_apart(context, files, is_replay=is_replay)
    if is_replay:
        run = loaded_late("router.cli.ledger_judging", "evaluate_ledger", command="evaluate")
        run(LedgerJudging(config, is_sandbox, since, until, team, cheap, strong, json_file, png))
    else:
        run = loaded_late("router.cli.judging", "evaluate", command="evaluate")
        run(Judging(files, cheap, strong, also, split, head_file, price_ratio, strong_usd, json_file, png))


def _told_apart(context: click.Context, files: tuple[Path, ...], *, is_replay: bool) -> None:
    """Raises BadOutcomes where it is not clear what is to be judged, or an option has no say in that."""
    if not files and not is_replay:
        raise BadOutcomes("Name FILES of prompts with outcomes, or give --replay to judge on the ledger.")
    if files and is_replay:
        raise BadOutcomes("FILES and --replay are judged apart: leave one out.")
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in (_OF_FILES if is_replay else _OF_THE_LEDGER) and (
            context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        ):
            where = "FILES" if is_replay else "the ledger: add --replay"
            raise BadOutcomes(f"{parameter.opts[0]} is of {where}{', and not of --replay' if is_replay else ''}.")
