"""Token counts that learn: every family is counted to two hundredths after 200 requests, and what could mislead."""

from math import sqrt
from statistics import median

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.catalog.catalog import Capability, ModelName, Task
from router.learning.ratios import Ratios, _kind
from router.quality.language import Language
from tests.decision.builders import CHAT
from tests.learning.families import Family, errors, families
from tests.replacing import replace

FLASH, PRO = ModelName("flash"), ModelName("pro")
ENGLISH = replace(CHAT, language=Language.EN)
NEEDS = (Capability.TOOLS, Capability.JSON_SCHEMA)
Row = list[float]
Matrix = list[Row]


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_after_200_requests_the_median_error_is_below_two_hundredths(family: Family) -> None:
    before, after = median(errors(family, lessons=0, seed=7)), median(errors(family, lessons=200, seed=7))

    assert after < 0.02
    assert after < before or before == 0


def taught(*reported_of_1000: int) -> Ratios:
    ratios = Ratios({FLASH: 1.0})
    for reported in reported_of_1000:
        ratios.observe(FLASH, ENGLISH, reported=reported)
    return ratios


def learned(ratios: Ratios, **changes: object) -> float:
    ratio = ratios.ratio(FLASH, replace(ENGLISH, **changes))  # fields of a profile
    assert ratio is not None
    return ratio


def test_of_a_model_that_was_never_asked_nothing_is_known() -> None:
    assert taught(1_100).ratio(PRO, ENGLISH) is None


def test_a_single_absurd_report_moves_little() -> None:
    usual = taught(*[1_100] * 50)
    before = learned(usual)

    usual.observe(FLASH, ENGLISH, reported=50_000)

    assert learned(usual) == pytest.approx(before, abs=0.02)


def test_a_vocabulary_that_changes_is_followed() -> None:
    changed = taught(*[1_100] * 200, *[1_300] * 100)

    assert learned(changed) == pytest.approx(1.3, abs=0.02)


def test_what_tools_add_is_learned_apart_from_the_text() -> None:
    ratios = Ratios({FLASH: 1.0})
    for number in range(100):
        counted = 200 + 37 * number % 3_000
        request = replace(ENGLISH, input_tokens=counted, input_bytes=5 * counted)
        ratios.observe(FLASH, request, reported=round(1.1 * counted))
        with_tools = replace(request, needs=frozenset({Capability.TOOLS}))
        ratios.observe(FLASH, with_tools, reported=round(1.1 * counted) + 549)

    tools = frozenset({Capability.TOOLS})
    assert 500 * learned(ratios, input_tokens=500, input_bytes=2_500) == pytest.approx(550, rel=0.02)
    assert 500 * learned(ratios, input_tokens=500, input_bytes=2_500, needs=tools) == pytest.approx(1_099, rel=0.02)


def test_a_language_that_was_never_seen_learns_a_little_from_the_others() -> None:
    assert 1.01 < learned(taught(*[1_200] * 100), language=Language.TH) < 1.2


def test_plain_text_is_never_expected_to_make_more_tokens_than_it_has_bytes() -> None:
    assert learned(taught(*[3_900] * 100), input_bytes=3_000) == 3.0


def test_files_teach_nothing() -> None:
    ratios = Ratios({})
    ratios.observe(FLASH, replace(CHAT, has_unbounded_parts=True), reported=90_000)

    assert ratios.ratio(FLASH, CHAT) is None


def test_a_forgotten_model_begins_anew_and_the_others_go_on() -> None:
    ratios = taught(1_100)
    ratios.observe(PRO, ENGLISH, reported=1_200)

    ratios.forget(FLASH)

    assert ratios.ratio(FLASH, ENGLISH) is None
    assert ratios.ratio(PRO, ENGLISH) is not None


@settings(deadline=None)  # the machine may be busy
@given(
    st.lists(
        st.tuples(
            st.integers(1, 10**6),
            st.integers(0, 10**7),
            st.sampled_from(Language),
            st.sampled_from(Task),
            st.sampled_from([frozenset[Capability](), frozenset({Capability.TOOLS})]),
            st.integers(0, 3),
        ),
        max_size=40,
    )
)
def test_whatever_is_reported_a_ratio_is_a_sane_number_and_survives_json(
    reports: list[tuple[int, int, Language, Task, frozenset[Capability], int]],
) -> None:
    ratios, again = Ratios({}), Ratios({})
    for counted, reported, language, task, needs, images in reports:
        profile = replace(
            CHAT,
            input_tokens=counted,
            language=language,
            task=task,
            needs=needs,
            images=images,
            input_bytes=4 * counted,
        )
        ratios.observe(FLASH, profile, reported=reported)
    for piece in ratios.as_data():
        again.take(msgspec.json.decode(msgspec.json.encode(piece)))

    ratio = ratios.ratio(FLASH, ENGLISH)

    assert ratio is None or 0.1 <= ratio < 10**7
    assert again.ratio(FLASH, ENGLISH) == ratio


# The update of the covariance is written out for speed; it must stay the one of the textbook, to the last digit.


def textbook(covariance: Matrix, overhead: Row, features: Row, *, uncertain: float, noise: float, off: float) -> None:
    """A Kalman filter's step for the parts beside the slope: `uncertain` is the variance of all slopes together."""
    towards = [sum(each * feature for each, feature in zip(row, features, strict=True)) for row in covariance]
    uncertain += max(0.0, sum(each * feature for each, feature in zip(towards, features, strict=True)))
    far = 3.0 * sqrt(uncertain + noise)
    off = min(max(off, -far), far)
    for row in range(4):
        share = towards[row] / (uncertain + noise)
        overhead[row] += share * off
        for column in range(4):
            covariance[row][column] -= share * towards[column]
        if features[row]:
            covariance[row][row] = max(covariance[row][row], 0.0) + 0.1


@given(
    st.lists(
        st.tuples(
            st.sampled_from([frozenset[Capability](), frozenset(NEEDS[:1]), frozenset(NEEDS[1:]), frozenset(NEEDS)]),
            st.integers(0, 3),
            st.integers(1, 5_000),
            st.integers(1, 9_000),
        ),
        max_size=12,
    )
)
def test_what_is_in_a_prompt_beside_text_is_learned_as_the_textbook_says(
    lessons: list[tuple[frozenset[Capability], int, int, int]],
) -> None:
    ratios = taught(1_000)

    for needs, images, counted, reported in lessons:
        [_, [slope, languages, kinds, overhead, covariance, noise]] = msgspec.json.decode(
            msgspec.json.encode(next(ratios.as_data()))
        )
        request = replace(ENGLISH, needs=needs, images=images, input_tokens=counted)
        each = 1 / counted
        features = [each, each * (NEEDS[0] in needs), each * (NEEDS[1] in needs), each * images]
        of_kind = [(value, variance) for name, value, variance in kinds if name == _kind(request)] or [(0.0, 0.04**2)]
        (_, language, of_language) = languages[0]
        expected = slope[0] + language + of_kind[0][0]
        expected += sum(part * feature for part, feature in zip(overhead, features, strict=True))
        textbook(
            covariance,
            overhead,
            features,
            uncertain=slope[1] + of_language + of_kind[0][1],
            noise=noise,
            off=reported / counted - expected,
        )

        ratios.observe(FLASH, request, reported=reported)

        [_, [_, _, _, learned_overhead, learned_covariance, _]] = next(ratios.as_data())
        assert learned_covariance == covariance
        assert learned_overhead == pytest.approx(overhead)
