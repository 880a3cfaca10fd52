"""The terms of prompts as a sparse matrix: a row for each prompt, a column for each bucket and each level of a mark.

A row's product with a head's weights is its log-odds without the bias, just as `quality/text_head.py` reckons them.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from scipy.sparse import csr_matrix

from router.quality.text_terms import BUCKETS, LEVELS, MARKS, terms_of

COLUMNS = BUCKETS + MARKS * LEVELS

# What makes one penalty fit words and marks: a word of a prompt of a hundred terms counts as much as a mark.
WORD_UNIT = 4.0
MARK_UNIT = 0.5


def matrix_of(prompts: Sequence[str]) -> csr_matrix:
    """The matrix. A bucket hit by a word and by a pair counts twice, as in the sums of the head."""
    rows = [terms_of(prompt) for prompt in prompts]
    sizes = np.array([len(row.words) + len(row.pairs) for row in rows])
    lengths = sizes + MARKS
    # In order of size, so that sums do not depend on the order in which a set gives its members.
    columns = np.fromiter(
        chain.from_iterable(
            chain(sorted(row.words), sorted(row.pairs), (BUCKETS + place for place in row.marks)) for row in rows
        ),
        dtype=np.int32,
        count=int(lengths.sum()),
    )
    values = np.full(len(columns), MARK_UNIT)
    ends = np.concatenate(([0], np.cumsum(lengths)))
    for begin, size in zip(ends, sizes, strict=False):
        values[begin : begin + size] = WORD_UNIT / np.sqrt(max(size, 1))
    matrix = csr_matrix((values, columns, ends), shape=(len(rows), COLUMNS))
    matrix.sum_duplicates()
    return matrix


def known_words(prompts: Sequence[str], *, least: int) -> bytes:
    """One bit for each bucket, the lowest first: whether a word fell there in `least` prompts or more."""
    counts = np.zeros(BUCKETS, dtype=np.int64)
    for prompt in prompts:
        counts[list(terms_of(prompt).words)] += 1
    return np.packbits(counts >= least, bitorder="little").tobytes()
