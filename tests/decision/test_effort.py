"""How hard to think: the client's word, the policy's wish and its cap become one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import Capability, Deployment, Effort
from router.decision.effort import above_most, effort_to_set, weaker
from router.decision.facts import NO_EXPERIENCE, RequestProfile
from tests.decision.builders import CHAT, always, at, model, per_mtok
from tests.replacing import replace

NONE, MINIMAL, LOW, MEDIUM, HIGH, XHIGH, MAX = Effort
THINKING = frozenset({Capability.REASONING})
WORDY = replace(CHAT, needs=THINKING)  # thinking is asked for, without saying how hard
efforts = st.none() | st.sampled_from(Effort)


def thinker(*known: Effort, default: Effort | None = None) -> Deployment:
    what = replace(model("m", capabilities=THINKING), efforts=frozenset(known), default_effort=default)
    return at("cloud", what, always(per_mtok("1", "1")))


def asking(effort: Effort | None) -> RequestProfile:
    return replace(CHAT, effort=effort, needs=THINKING if effort not in (None, NONE) else frozenset())


@pytest.mark.parametrize(
    ("profile", "wish", "most", "effort"),
    [
        pytest.param(CHAT, None, None, None, id="nobody says anything"),
        pytest.param(CHAT, LOW, None, LOW, id="the wish where the client says nothing"),
        pytest.param(asking(HIGH), LOW, None, None, id="the client's word against a wish"),
        pytest.param(asking(NONE), LOW, None, None, id="the client's no against a wish"),
        pytest.param(asking(HIGH), None, MEDIUM, MEDIUM, id="the cap against the client's word"),
        pytest.param(asking(MEDIUM), None, MEDIUM, None, id="exactly the cap"),
        pytest.param(asking(LOW), HIGH, MEDIUM, None, id="below the cap"),
        pytest.param(CHAT, HIGH, MEDIUM, MEDIUM, id="the cap against the wish"),
        pytest.param(WORDY, None, LOW, LOW, id="thinking asked for is medium, above the cap"),
        pytest.param(WORDY, None, MEDIUM, None, id="thinking asked for is medium, within the cap"),
        pytest.param(WORDY, HIGH, None, HIGH, id="the wish says how hard"),
        pytest.param(WORDY, NONE, None, None, id="a wish not to think does not stop who asks for it"),
        pytest.param(CHAT, None, LOW, None, id="a cap alone leaves a model alone whose default is not known"),
    ],
)
def test_what_is_set(profile: RequestProfile, wish: Effort | None, most: Effort | None, effort: Effort | None) -> None:
    assert effort_to_set(profile, thinker(), wish=wish, most=most) is effort


@pytest.mark.parametrize(
    ("default", "most", "effort"), [(HIGH, LOW, LOW), (HIGH, HIGH, None), (NONE, LOW, None), (MEDIUM, NONE, NONE)]
)
def test_a_cap_holds_against_the_models_own_default(default: Effort, most: Effort, effort: Effort | None) -> None:
    assert effort_to_set(CHAT, thinker(default=default), wish=None, most=most) is effort


@pytest.mark.parametrize(("most", "effort"), [(XHIGH, XHIGH), (HIGH, HIGH), (MEDIUM, NONE), (LOW, NONE), (NONE, NONE)])
def test_of_the_efforts_a_model_knows_the_strongest_that_is_not_above_is_set(most: Effort, effort: Effort) -> None:
    """Providers round up what they do not know, and a cap must not be rounded up."""
    assert effort_to_set(asking(MAX), thinker(NONE, HIGH, XHIGH), wish=None, most=most) is effort


@pytest.mark.parametrize(
    ("asked", "most", "effort"),
    [
        (MEDIUM, MEDIUM, LOW),  # left alone, it may be rounded up to high
        (MEDIUM, HIGH, LOW),
        (HIGH, HIGH, None),
        (LOW, HIGH, None),
        (MINIMAL, HIGH, LOW),  # nothing is listed below
        (NONE, HIGH, None),
        (MEDIUM, None, None),  # no cap: the client's word is the provider's to read
    ],
)
def test_under_a_cap_an_effort_the_model_does_not_list_becomes_the_next_below(
    asked: Effort, most: Effort | None, effort: Effort | None
) -> None:
    assert effort_to_set(asking(asked), thinker(LOW, HIGH), wish=LOW, most=most) is effort


def test_a_model_that_cannot_think_is_not_told_how_hard() -> None:
    mute = at("cloud", model("m"), always(per_mtok("1", "1")))
    lacking = replace(thinker(), lacks=THINKING)

    assert effort_to_set(CHAT, mute, wish=HIGH, most=LOW) is None
    assert effort_to_set(CHAT, lacking, wish=HIGH, most=LOW) is None


def test_a_model_that_cannot_think_so_little_is_told_apart() -> None:
    mandatory = thinker(LOW, HIGH)

    assert above_most(mandatory, NONE) is LOW
    assert above_most(mandatory, LOW) is None
    assert above_most(mandatory, None) is None
    assert above_most(thinker(), NONE) is None


@given(asked=efforts, needs=st.booleans(), wish=efforts, most=efforts, known=st.frozensets(st.sampled_from(Effort)))
def test_nothing_above_the_cap_is_ever_set_and_nothing_above_the_cap_ever_left(
    asked: Effort | None, needs: bool, wish: Effort | None, most: Effort | None, known: frozenset[Effort]
) -> None:
    deployment = thinker(*known)
    profile = replace(CHAT, effort=asked, needs=THINKING if needs else frozenset())

    effort = effort_to_set(profile, deployment, wish=wish, most=most)

    if most is not None and above_most(deployment, most) is None:
        assert weaker(effort, most) is effort or effort is None
        if effort is None and asked is not None:
            assert weaker(asked, most) is asked


def test_the_prior_expects_no_thinking_where_none_will_be_done() -> None:
    told_off = NO_EXPERIENCE.output(thinker(), WORDY, NONE)
    left_alone = NO_EXPERIENCE.output(thinker(), WORDY, None)
    told_to = NO_EXPERIENCE.output(thinker(), CHAT, LOW)

    assert told_off.reasoning_tokens == 0
    assert left_alone.reasoning_tokens > 0
    assert told_to.reasoning_tokens > 0
