"""What the ledger says of models: lengths within a kind, or fitted over kinds, and vocabularies."""

from itertools import count

import pytest

from router.catalog.catalog import Capability, ModelName, Task
from router.decision.facts import RequestProfile
from router.ledger import Outcome
from router.replay.habits import Comparison, Habits, Kind, Observations
from router.units import CostSource, Usage
from tests.replacing import replace
from tests.replay.builders import PROFILE
from tests.storage.entries import attempt, entry

TERSE, WORDY = ModelName("maker/terse"), ModelName("maker/wordy")
CHAT, CODE = PROFILE, replace(PROFILE, task=Task.CODE)


def seen(
    observations: Observations,
    model: ModelName,
    profile: RequestProfile,
    *lengths: int,
    thinking: int = 0,
    outcome: Outcome = Outcome.OK,
    source: CostSource = CostSource.REPORTED,
) -> None:
    for number, length in zip(count(), lengths, strict=False):
        usage = Usage(input_tokens=1_500, output_tokens=length + thinking, reasoning_tokens=thinking)
        call = attempt(model=model, usage=usage, source=source)
        observations.observe(entry(f"req_{number}", call, outcome=outcome), profile)


def compared(observations: Observations, profile: RequestProfile = CHAT) -> Comparison:
    return Habits(observations).compared(TERSE, WORDY, Kind.of(profile, None), token_ratio=1.25)


def test_of_models_that_nobody_has_seen_only_the_vocabularies_are_known() -> None:
    assert compared(Observations()) == Comparison(1.25, None, common_error=0.5, single_error=0.0)


def test_many_answers_of_both_to_one_kind_are_compared_with_each_other() -> None:
    observations = Observations()
    seen(observations, TERSE, CHAT, *[90, 110] * 100)
    seen(observations, WORDY, CHAT, *[300] * 200, thinking=40)
    seen(observations, WORDY, CODE, *[9_000] * 200)

    found = compared(observations)

    assert (found.text_ratio, found.thinking_tokens) == (3.0, 40.0)
    assert found.common_error == pytest.approx(0.1 / 200**0.5)
    assert found.single_error == pytest.approx(0.1)


def test_models_that_were_sent_different_kinds_are_compared_through_the_kinds_they_share() -> None:
    observations = Observations()
    seen(observations, TERSE, CHAT, *[100] * 30)
    seen(observations, WORDY, CHAT, *[200] * 3)
    seen(observations, WORDY, CODE, *[2_000] * 30)

    assert compared(observations, CODE).text_ratio == pytest.approx(2.0, rel=1e-3)  # their plain means would say 18.3


@pytest.mark.parametrize(
    ("outcome", "source", "limit"),
    [
        (Outcome.CLIENT_GONE, CostSource.REPORTED, None),
        (Outcome.CUT, CostSource.REPORTED, None),
        (Outcome.OK, CostSource.HELD, None),
        (Outcome.OK, CostSource.REPORTED, 300),
    ],
)
def test_an_answer_that_was_cut_off_says_nothing_of_lengths(
    outcome: Outcome, source: CostSource, limit: int | None
) -> None:
    observations = Observations()
    limited = replace(CHAT, max_output_tokens=limit)
    seen(observations, TERSE, limited, *[300] * 300, outcome=outcome, source=source)
    seen(observations, WORDY, limited, *[300] * 300, outcome=outcome, source=source)

    assert compared(observations).text_ratio == 1.25


def test_thinking_that_was_never_seen_for_a_task_is_that_of_other_tasks_with_the_same_effort() -> None:
    observations = Observations()
    seen(observations, TERSE, CODE, *[100] * 30)
    seen(observations, WORDY, CHAT, *[200] * 30, thinking=70)

    assert compared(observations, CODE).thinking_tokens == 70.0
    asked = replace(CODE, needs=frozenset({Capability.REASONING}))
    assert compared(observations, asked).thinking_tokens is None


def test_a_vocabulary_is_what_was_reported_of_what_we_counted() -> None:
    observations = Observations()
    seen(observations, TERSE, CHAT, *[100] * 20)

    assert Habits(observations).token_ratio(TERSE, otherwise=1.2) == (1.5, 0.0)
    assert Habits(observations).token_ratio(WORDY, otherwise=1.2) == (1.2, 0.1)
    assert Habits(observations).token_ratio(WORDY, otherwise=None) == (None, 0.1)


def test_prompts_with_tools_or_images_say_nothing_of_vocabularies() -> None:
    observations = Observations()
    for odd in (replace(CHAT, images=1), replace(CHAT, needs=frozenset({Capability.TOOLS}))):
        seen(observations, TERSE, odd, *[100] * 20)

    assert Habits(observations).token_ratio(TERSE, otherwise=1.2) == (1.2, 0.1)
