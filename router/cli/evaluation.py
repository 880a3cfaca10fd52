"""`penstock train`, `penstock evaluate`. Loaded only when one of them is asked for: see `router/cli/late.py`."""

import sys
from math import isnan
from pathlib import Path

import click

from router.cli.output import as_json, counted, table
from router.errors import BadOutcomes, PenstockError
from router.evaluation.judging import Judgement, judge, judge_head
from router.evaluation.plotting import plot
from router.evaluation.reporting import HEADINGS, Prices, as_data, curve_rows, rows_of
from router.evaluation.splits import split_named
from router.quality.text_head import TextHead, read_artefact
from router.training.making import make_head
from router.training.outcomes import read_all
from router.training.pairs import paired

_FILES = click.argument(
    "files", metavar="FILES...", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False)
)
_CHEAP = click.option("--cheap", help="The cheap model; several names with commas: the first that a file has.")
_STRONG = click.option("--strong", help="The strong model; the same.")
_ALSO = click.option(
    "--also",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with outcomes of other models or prompts, to learn difficulty from; may be repeated.",
)


@click.command()
@_FILES
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
    if strong is not None and cheap is None:
        raise BadOutcomes("With --strong give --cheap too: the pair that is to be told apart.")
    _may_be_written(out)
    pairs = paired(read_all(files), cheap=cheap, strong=strong)
    content = make_head(
        pairs,
        is_pair=strong is not None,
        also=paired(read_all(also)) if also else None,
        licence=licence,
        note=note,
    )
    head = read_artefact(content, name=str(out))
    try:
        out.write_bytes(content)
    except OSError as error:
        raise BadOutcomes(f"{out} cannot be written: {error.strerror or error}") from error
    names = ", ".join(each.name for each in head.header.heads)
    click.echo(f"{out}: {names}; version {head.version}, {len(content)} bytes, {counted(len(pairs), 'prompt')}")


@click.command()
@_FILES
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
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write everything as JSON.")
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), help="Draw the curves.")
def evaluate(
    files: tuple[Path, ...],
    cheap: str | None,
    strong: str | None,
    also: tuple[Path, ...],
    split: str,
    head_file: Path | None,
    price_ratio: float,
    strong_usd: float,
    json_file: Path | None,
    png: Path | None,
) -> None:
    """Judge routing between a cheap and a strong model on FILES of prompts whose outcomes are known.

    Each prompt is judged by a head that was trained without it. The figures are RouteLLM's: APGR is 0.5 for a router
    that draws lots, CPT(50) the share of strong calls, in percent, that recovers half of the gap between the two.

    Example: penstock evaluate ours.jsonl.gz --split leave-subjects-out --png curve.png
    """
    chosen = split_named(split)
    _may_be_written(json_file, png)
    if isnan(price_ratio) or isnan(strong_usd):  # every range of click's lets it pass
        raise BadOutcomes("--price-ratio and --strong-usd want a number, got nan.")
    pairs = paired(read_all(files), cheap=cheap, strong=strong)
    if head_file is not None:
        judgement = judge_head(pairs, _head(head_file))
    else:
        lent = paired(read_all(also)) if also else None
        judgement = judge(pairs, chosen, also=lent, progress=_progress)
    prices = Prices(price_ratio, strong_usd)
    click.echo(_told(judgement, prices))
    try:
        if json_file is not None:
            json_file.write_text(as_json(as_data(judgement, prices)))
        if png is not None:
            plot(judgement, png, title=f"{', '.join(judgement.names)}: {judgement.split}")
    except OSError as error:
        raise BadOutcomes(f"{error.filename or json_file or png} cannot be written: {error.strerror}") from error


def _may_be_written(*files: Path | None) -> None:
    """Raises BadOutcomes where a file's directory is missing: told before minutes are spent, and not after."""
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise BadOutcomes(f"{file} cannot be written: there is no directory {file.parent}.")


def _head(path: Path) -> TextHead:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PenstockError(f"{path} cannot be read: {error.strerror or error}") from error
    return TextHead(read_artefact(content, name=str(path)))


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        click.echo(what, err=True)


def _told(judgement: Judgement, prices: Prices) -> str:
    pairs = [f"{name}: {cheap} → {strong}" for name, (cheap, strong) in judgement.names.items()]
    first = judgement.lines[0]
    curve = first.curve
    parts = [
        "\n".join(
            (
                *pairs,
                f"{counted(judgement.prompts, 'prompt')}, split {judgement.split}; always cheap "
                f"{curve.cheap_quality:.4f}, always strong {curve.strong_quality:.4f}, price ratio {prices.ratio:g}",
            )
        ),
        table(HEADINGS, rows_of(judgement, prices)),
        f"{first.name}:\n" + table(("strong %", "quality", "% of strong", "cost"), curve_rows(first, prices)),
    ]
    if curve.strong_quality <= curve.cheap_quality:
        parts.append("The strong model is no better here, so there is no gap to recover: send all to the cheap one.")
    if len(judgement.by_file) > 1:
        rows = [(name, f"{apgr:.3f}") for name, apgr in judgement.by_file.items()]
        parts.append(f"{first.name}, within each file:\n" + table(("file", "APGR"), rows))
    if judgement.calibration is not None:
        cheap, strong = judgement.calibration
        parts.append(f"expected calibration error: cheap {cheap:.3f}, strong {strong:.3f}")
    return "\n\n".join(parts)
