"""What the YAML reader takes, what it refuses, and where it says a thing stands."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config.yaml_source import MAX_DEPTH, MAX_FILE_BYTES, Position, parse


def problems(content: bytes) -> list[str]:
    return [str(problem) for problem in parse("f.yaml", content).problems]


def test_every_key_and_value_has_its_line_and_column() -> None:
    document = parse("f.yaml", b"a:\n  - {b: 1}\n  - c: x\n")

    assert document.data == {"a": [{"b": 1}, {"c": "x"}]}
    assert document.keys[("a", 0, "b")] == Position(2, 6)
    assert document.values[("a", 0, "b")] == Position(2, 9)
    assert document.values[("a", 1, "c")] == Position(3, 8)


def test_a_value_that_was_not_written_stands_at_its_key() -> None:
    document = parse("f.yaml", b"a:\n\n\nb: 1\n")

    assert document.data == {"a": None, "b": 1}
    assert document.values[("a",)] == Position(1, 1)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2026-04-24", "2026-04-24"),
        ("1_000", "1_000"),
        ("true", True),
        ("null", None),
        ("~", None),
        ("0x10", 16),
        ("0o10", 8),
        ("010", 10),
        ("-7", -7),
        ("'7'", "7"),
        ("1e3", Decimal(1000)),
        (".5", Decimal("0.5")),
    ],
)
def test_scalars_are_read_by_the_yaml_1_2_core_schema(written: str, read: object) -> None:
    assert parse("f.yaml", f"a: {written}".encode()).data == {"a": read}


def test_a_price_arrives_as_the_decimal_that_was_written() -> None:
    data = parse("f.yaml", b"usd: 0.10").data

    assert isinstance(data, dict)
    assert str(data["usd"]) == "0.10"


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=9, allow_nan=False, allow_infinity=False))
def test_no_digit_of_a_number_is_lost(number: Decimal) -> None:
    assert parse("f.yaml", f"a: {number:f}".encode()).data == {"a": number}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: 1\nb: 2\na: 3\n", "f.yaml:3:1: the key 'a' is already set in line 1; remove one of the two"),
        (b"a:\n\t- 1\n", "f.yaml:2:1: a tab may not indent YAML; use spaces"),
        (b"a: b: c\n", "f.yaml:1:5: this is not YAML: mapping values are not allowed here"),
        (b"a: &x 1\n", "f.yaml:1:4: the anchor &x is not supported; write the value out where it is used"),
        (b"a: 1\nb: *x\n", "f.yaml:2:4: the alias *x is not supported; write the value out"),
        (b"a: !!str 1\n", "f.yaml:1:4: the tag tag:yaml.org,2002:str is not supported; write the plain value"),
        (b"a: 1\n---\nb: 2\n", "f.yaml:2:1: expected one document, got a second after `---`"),
        (b"? [a]\n: 1\n", "f.yaml:1:3: expected a word as key, got a list, a mapping or an alias"),
        (b"a: .inf\n", "f.yaml:1:4: expected a finite number, got .inf"),
        (b"a: 1" + b"0" * 30, "f.yaml:1:4: expected a number of at most 24 characters"),
        (b"", "f.yaml:1:1: the file is empty"),
        (b"# nothing but this\n", "f.yaml:1:1: the file is empty"),
        ("a: 1\nb: \xff\n".encode("latin-1"), "f.yaml:2:4: expected UTF-8, got the byte 0xff; save the file as UTF-8"),
        ("a: \x80".encode(), "f.yaml:1:4: the control character '\\x80' may not stand in YAML"),
        (b"a: 1\nb: '\x07'\n", "f.yaml:2:5: the control character '\\x07' may not stand in YAML"),
    ],
)
def test_a_fault_is_named_with_its_place(content: bytes, expected: str) -> None:
    assert problems(content) == [expected]


def test_a_duplicate_key_keeps_the_first_value_and_does_not_stop_the_reading() -> None:
    document = parse("f.yaml", b"a: 1\na: {b: &x 2}\nc: 3\n")

    assert document.data == {"a": 1, "c": 3}
    assert [problem.line for problem in document.problems] == [2, 2]


def test_a_bomb_of_aliases_is_refused_without_being_built() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    document = parse("f.yaml", "\n".join(lines).encode())

    assert document.problems
    assert len(document.values) < 200


def test_nesting_without_end_is_refused_where_it_gets_too_deep() -> None:
    [problem] = problems(b"[" * 5_000)

    assert problem == f"f.yaml:1:{MAX_DEPTH + 2}: expected at most {MAX_DEPTH} levels of nesting"


def test_a_file_beyond_all_measure_is_refused_unread() -> None:
    assert problems(b"#" * MAX_FILE_BYTES + b"\n") == [
        f"f.yaml:1:1: expected at most {MAX_FILE_BYTES} bytes, got {MAX_FILE_BYTES + 1}"
    ]


def test_a_byte_order_mark_is_no_fault() -> None:
    assert parse("f.yaml", b"\xef\xbb\xbfa: 1\n").data == {"a": 1}


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise(content: bytes) -> None:
    document = parse("f.yaml", content)

    assert all(problem.line >= 1 and problem.column >= 1 for problem in document.problems)


@given(st.text(alphabet="abc:{}[]-,&*!?|>'\"%@#~ \n\t0.1", max_size=120))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    document = parse("f.yaml", text.encode())

    assert all(problem.line >= 1 and problem.column >= 1 for problem in document.problems)
