"""What `penstock train` and `penstock evaluate FILES` do. Needs penstock[train]; loaded when one of them is run."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isnan
from pathlib import Path

import click

from router.cli.evaluation import STDOUT, Judging, Training
from router.cli.output import as_json, counted, table
from router.errors import BadOutcomes, PenstockError, printable
from router.evaluation.judging import Judgement, judge, judge_head
from router.evaluation.plotting import plot
from router.evaluation.reporting import HEADINGS, Prices, as_data, curve_rows, rows_of
from router.evaluation.splits import split_named
from router.quality.text_head import TextHead, read_artefact
from router.training.making import make_head
from router.training.outcomes import read_all
from router.training.pairs import paired


def train(asked: Training) -> None:
    """Trains a head and writes it. Raises BadOutcomes."""
    if asked.strong is not None and asked.cheap is None:
        raise BadOutcomes("With --strong give --cheap too: the pair that is to be told apart.")
    may_be_written(asked.out)
    pairs = paired(read_all(asked.files), cheap=asked.cheap, strong=asked.strong)
    content = make_head(
        pairs,
        is_pair=asked.strong is not None,
        also=paired(read_all(asked.also)) if asked.also else None,
        licence=asked.licence,
        note=asked.note,
    )
    head = read_artefact(content, name=str(asked.out))
    try:
        asked.out.write_bytes(content)
    except OSError as error:
        raise BadOutcomes(f"{asked.out} cannot be written: {error.strerror or error}") from error
    names = ", ".join(each.name for each in head.header.heads)
    click.echo(f"{asked.out}: {names}; version {head.version}, {len(content)} bytes, {counted(len(pairs), 'prompt')}")


def evaluate(asked: Judging) -> None:
    """Judges, prints, and writes what is asked for. Raises BadOutcomes, BrokenArtefact."""
    chosen = split_named(asked.split)
    may_be_written(asked.json_file, asked.png)
    if isnan(asked.price_ratio) or isnan(asked.strong_usd):  # every range of click's lets it pass
        raise BadOutcomes("--price-ratio and --strong-usd want a number, got nan.")
    pairs = paired(read_all(asked.files), cheap=asked.cheap, strong=asked.strong)
    if asked.head_file is not None:
        judgement = judge_head(pairs, _head(asked.head_file))
    else:
        lent = paired(read_all(asked.also)) if asked.also else None
        judgement = judge(pairs, chosen, also=lent, progress=_progress)
    prices = Prices(asked.price_ratio, asked.strong_usd)
    tell(_told(judgement, prices), as_data(judgement, prices), asked.json_file)
    if asked.png is not None:
        title = f"{printable(', '.join(judgement.names))}: {judgement.split}"
        with writing(asked.png):
            plot(judgement.lines, asked.png, title=title)


def tell(text: str, data: Mapping[str, object], json_file: Path | None) -> None:
    """Prints the text and writes the data to the file, or prints the data alone if the file is `-`."""
    if json_file == STDOUT:
        click.echo(as_json(data))
        return
    click.echo(text)
    if json_file is not None:
        with writing(json_file):
            json_file.write_text(as_json(data))


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """Raises BadOutcomes where the file cannot be written."""
    try:
        yield
    except OSError as error:
        raise BadOutcomes(f"{error.filename or file} cannot be written: {error.strerror}") from error


def may_be_written(*files: Path | None) -> None:
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
    pairs = [printable(f"{name}: {cheap} → {strong}") for name, (cheap, strong) in judgement.names.items()]
    first = judgement.lines[0]
    curve = first.curve
    if curve.strong_quality <= curve.cheap_quality:
        return (
            f"{'; '.join(pairs)}: the strong model is no better here ({curve.strong_quality:.4f} against "
            f"{curve.cheap_quality:.4f} on {counted(judgement.prompts, 'prompt')}), so there is no gap to recover: "
            "send all to the cheap one."
        )
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
    if len(judgement.by_file) > 1:
        rows = [(printable(name), f"{apgr:.3f}") for name, apgr in judgement.by_file.items()]
        parts.append(f"{first.name}, within each file:\n" + table(("file", "APGR"), rows))
    if judgement.calibration is not None:
        cheap, strong = judgement.calibration
        parts.append(f"expected calibration error: cheap {cheap:.3f}, strong {strong:.3f}")
    return "\n\n".join(parts)
