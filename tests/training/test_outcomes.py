"""Files of prompts with outcomes: two forms, and every way to get them wrong."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from router.errors import BadOutcomes
from router.training.outcomes import read_all, read_outcomes

NAMED = b"""{"prompt": "one", "subject": "law", "score": {"a": 0, "b": 1}, "id": "x"}

{"prompt": "two", "score": {"a": 0.5, "b": null}}
"""
LISTED = b"""{"models": ["a", "b"], "note": "n"}
{"prompt": "one", "subject": "law", "scores": "01"}
{"prompt": "two", "scores": "1-"}
"""


def test_scores_by_name_are_read(tmp_path: Path) -> None:
    file = tmp_path / "ours.jsonl"
    file.write_bytes(NAMED)

    read = read_outcomes(file)

    assert (read.name, read.prompts, read.subjects, read.models) == ("ours", ["one", "two"], ["law", ""], ["a", "b"])
    np.testing.assert_equal(read.scores, [[0.0, 1.0], [0.5, np.nan]])


def test_scores_as_a_string_are_read_gzipped_whatever_the_name(tmp_path: Path) -> None:
    file = tmp_path / "ours.data"
    file.write_bytes(gzip.compress(LISTED))

    np.testing.assert_equal(read_outcomes(file).scores, [[0.0, 1.0], [1.0, np.nan]])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"prompt": "one", "score": {"a": 1}}\n{"prompt": 2}', r"x\.jsonl:2: Expected `str"),
        (b"{", r"x\.jsonl:1: this is not JSON: it is cut off\.$"),
        (
            b'{"prompt": "p", "score": {"a": 1}}\n{"prompt": "p", "score": {"a": NaN}}',
            r"x\.jsonl:2: this is not JSON: NaN is no value in JSON, column 32: write null, or leave the member out\.$",
        ),
        (b'{"prompt": "one", "score": {"a": 2}}', r"x\.jsonl:1: the score of 'a' is 2"),
        (b'{"prompt": "one"}', r'x\.jsonl:1: "score" or "scores" is missing'),
        (b'{"prompt": "one", "scores": "01"}', r"x\.jsonl:1: no line before it names the models"),
        (b'{"score": {"a": 1}}', r'x\.jsonl:1: a line must have "prompt"'),
        (b'{"models": ["a", "b"]}\n{"prompt": "one", "scores": "0"}', r"x\.jsonl:2: .* 1 characters for 2 models"),
        (b'{"models": ["a"]}\n{"prompt": "one", "scores": "7"}', r"x\.jsonl:2: .*only 0, 1 and - are allowed"),
        (b'{"models": ["a", "a"]}', r'x\.jsonl:1: "models" names one twice'),
        (b'{"models": ["a"]}\n{"models": ["b"]}', r'x\.jsonl:2: "models" must stand once'),
        (b'{"models": ["a"]}\n{"prompt": "p", "score": {"b": 1}}', r"x\.jsonl:2: model 'b' is not among"),
        (b"\n", r"x\.jsonl has no prompts"),
        (b"\x1f\x8b\x08broken", r"x\.jsonl:1: "),
        (b"\xff\xfe{\x00", r"x\.jsonl:1: this is not JSON: it is UTF-16: save it as UTF-8\.$"),
        (b'{"prompt": "p", "other": ' + b"[" * 100_000, r"x\.jsonl:1: this is not JSON: it is nested too deeply"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(content: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(content)

    with pytest.raises(BadOutcomes, match=told):
        read_outcomes(file)


def test_a_byte_order_mark_before_the_first_line_is_read_over(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + b'{"prompt": "one", "score": {"a": 1}}\n')

    assert read_outcomes(file).prompts == ["one"]


def test_a_gzip_that_was_cut_off_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl.gz"
    file.write_bytes(gzip.compress(LISTED)[:-12])

    with pytest.raises(BadOutcomes, match="damaged or cut off"):
        read_outcomes(file)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadOutcomes, match="No such file"):
        read_outcomes(tmp_path / "none.jsonl")


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for directory in ("a", "b"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "x.jsonl").write_bytes(NAMED)

    with pytest.raises(BadOutcomes, match="one name"):
        read_all([tmp_path / "a" / "x.jsonl", tmp_path / "b" / "x.jsonl"])
