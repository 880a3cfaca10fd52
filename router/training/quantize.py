"""Fitted heads with weights of one signed byte, as the artefact keeps them."""

from collections.abc import Mapping

import numpy as np

from router.quality.text_head import Header, HeadScales, written
from router.quality.text_terms import BUCKETS, TERMS_VERSION
from router.training.logistic import Line
from router.training.matrix import MARK_UNIT, WORD_UNIT
from router.training.outcomes import Floats

_LARGEST = 127


def as_artefact(
    lines: Mapping[str, Line],
    mean_logits: Mapping[str, float],
    known: bytes,
    *,
    trained_on: Mapping[str, int],
    licence: str,
    pair: tuple[str, str] = ("", ""),
    strong_weight: float = 1.0,
    note: str = "",
) -> bytes:
    """The bytes of an artefact with these heads. The same for the same heads, on one machine."""
    scales, words, marks = [], [], []
    for name, line in lines.items():
        word_scale, word_table = _table(line.weights[:BUCKETS])
        mark_scale, mark_table = _table(line.weights[BUCKETS:])
        scales.append(
            HeadScales(
                name,
                line.bias,
                word_scale * WORD_UNIT,
                mark_scale * MARK_UNIT,
                float(mean_logits[name]),
                line.slope,
                line.shift,
            )
        )
        words.append(word_table)
        marks.append(mark_table)
    header = Header(
        terms=TERMS_VERSION,
        heads=tuple(scales),
        trained_on=dict(trained_on),
        licence=licence,
        cheap=pair[0],
        strong=pair[1],
        strong_weight=strong_weight,
        note=note,
    )
    return written(header, words, marks, known)


def rounded(line: Line) -> Line:
    """The line as an artefact would carry it: what evaluation judges, since that is what ships."""
    parts = (line.weights[:BUCKETS], line.weights[BUCKETS:])
    return Line(
        np.concatenate([scale * np.frombuffer(table, np.int8) for scale, table in map(_table, parts)]), line.bias
    )


def _table(weights: Floats) -> tuple[float, bytes]:
    largest = float(np.abs(weights).max(initial=0.0))
    scale = largest / _LARGEST if largest else 1.0
    return scale, np.rint(weights / scale).astype(np.int8).tobytes()
