"""Two answers agree where both come to the same short thing, however they say it."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.quality.agreement import ShortForm, agree, short_form
from router.quality.schemas import CannotVerify, Patience


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("42", "The answer is 42."),
        ("42", "6 times 7 is 42, and so\n\n#### 42"),
        ("So we get \\boxed{\\frac{1}{2}} as wanted.", "\\boxed{ \\frac{1}{2} }"),
        ("$1,200.00", "Answer: **1200 dollars**"),
        ("1200 dollars per day", "1,200 dollars"),
        ("-3.50", "−3.5"),
        ("x = 5", "5"),
        ("50%", "50 %"),
        ("(C)", "C"),
        ("c", "The correct answer is: (C)"),
        ("C. Paris", "**Answer: C) Paris, the capital**"),
        ("Paris", "paris."),
        ("Die Antwort lautet: Paris", "“Paris”"),
        ("Let me think.\nIt has to be in France.\n\nParis", "Paris"),
        ('{"city": "Lisbon", "coast": true}', '{ "coast" : true, "city": "Lisbon"}'),
        ("Yes", "yes"),
        ("東京", "東京。"),
        (".5", "0.50"),
        ("x = 2 + 3 = 5", "5"),
        ("1,200 + 300 = 1,500", "1500"),
        ("x + 1", "x+1"),
        ("½", "1/2"),
        ("7–8", "7-8"),
        ("(3, 5)", "3, 5"),
        ("E. coli", "E. Coli."),
    ],
)
def test_answers_that_come_to_the_same_agree(first: str, second: str) -> None:
    assert agree(first, second)
    assert agree(second, first)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("42", "43"),
        ("3 days", "3 weeks"),
        ("A", "B"),
        ("C. Paris", "B. Paris"),
        ("Apollo 11", "Saturn 11"),
        ("Yes", "No"),
        ("1.5", "15"),
        ('{"city": "Lisbon"}', '{"city": "Porto"}'),
        ("#### 7", "The answer is 8"),
        ("1/2", "1/3"),
        ("3/4", "3"),
        ("3, 5", "3, 7"),
        ("1,5", "15"),
        (".5", "5"),
        ("10:30", "10:45"),
        ("2026-01-02", "2026-03-04"),
        ("192.168.1.1", "192.168.2.7"),
        ("3.11.2", "3.11.9"),
        ("2^10", "2^5"),
        ("10²", "102"),
        ("2*3", "23"),
        ("3x + 1", "3x + 2"),
        ("5 + 3i", "5 - 3i"),
        ("x >= 5", "x = 5"),
        ("x >= 5", "x <= 5"),
        ("x != 5", "5"),
        ("x = 1, y = 2", "x = 3, y = 2"),
        ("x = 1 or x = 2", "x = 3 or x = 2"),
        ("√2", "2"),
        ("¬p", "p"),
        ("[1, 2)", "(1, 2]"),
        ("5 or 6", "5"),
        ("5 million", "5"),
        ("3 apples and 4 pears", "3 apples and 9 pears"),
        ("12345678901234567890123456789012", "12345678901234567890123456789019"),
        ("A. Lincoln", "A. Turing"),
        ("(A) and (C)", "(A)"),
        ("C#", "C"),
        ("The first answer is 3. No: the answer is 4", "3"),
    ],
)
def test_answers_that_come_to_something_else_do_not(first: str, second: str) -> None:
    assert not agree(first, second)
    assert not agree(second, first)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "A city lives of its harbour, and when the fog comes over it nobody sees what it lives of. " * 5,
        "First.\n" + "And a last line that goes on for far too long to be anything like a short answer to it all. " * 2,
        "x" * 100_000,
        "...",
    ],
)
def test_what_comes_to_nothing_short_cannot_be_compared(text: str) -> None:
    with pytest.raises(CannotVerify):
        agree(text, "42")
    with pytest.raises(CannotVerify):
        agree("42", text)


@given(st.text())
def test_whatever_has_a_short_form_agrees_with_itself(text: str) -> None:
    form = short_form(text, Patience())

    assert form is None or agree(text, text)


@given(st.integers(-(10**12), 10**12), st.sampled_from(["{}", "The answer is {}.", "#### {}", "\\boxed{{{}}}", "$ {}"]))
def test_a_number_is_the_same_however_it_is_written(number: int, frame: str) -> None:
    assert short_form(frame.format(f"{number:,}"), Patience()) == ShortForm(str(number))


@pytest.mark.parametrize("part", ["\\boxed{", "answer ", "answer: ", "#### ", "{", "9,", "=", "*", "' ", "\n", "[1,"])
def test_hostile_text_takes_no_longer_than_it_is_charged(part: str) -> None:
    text = part * (60_000 // len(part))
    begun_s = time.process_time()
    with contextlib.suppress(CannotVerify):
        agree(text, text)

    assert time.process_time() - begun_s < 0.02
