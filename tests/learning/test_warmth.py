"""The memory of prompt caches: who has read what, for how long, how far that can be relied on, and what follows."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import Deployment, DeploymentId, ModelName
from router.decision.facts import Conditions, RequestProfile
from router.learning.warmth import Warmth
from router.ledger import LedgerEntry, Outcome
from tests.decision.builders import catalog
from tests.learning.moments import ALL, CLAUDE, FLASH, GEMINI, GPT, NOON, READ_S, answered, at, prompt
from tests.replacing import replace

FIRST = prompt(500, 2_000)  # 2,000 tokens are 15 steps of OpenAI's 128, and 80 tokens that are read anew
SECOND = prompt(500, 2_000, 2_200, 2_500)  # goes on from it, by an answer and a question
READ = 15 * 128


def after(*entries: LedgerEntry) -> Warmth:
    warmth = Warmth(ALL)
    for each in entries:
        warmth.observe(each)
    return warmth


def test_nothing_is_warm_before_anything_was_asked() -> None:
    assert Warmth(ALL).warm_tokens(SECOND, at(0)) == {}


def test_the_next_turn_finds_the_prompt_before_it_where_that_was_answered() -> None:
    assert after(answered(FIRST, GPT)).warm_tokens(SECOND, at(60)) == {GPT.id: READ}


def test_an_entry_teaches_the_same_whether_its_profile_is_read_again_or_at_hand() -> None:
    at_hand = Warmth(ALL)
    at_hand.learn(answered(FIRST, GPT), FIRST)

    assert at_hand.foreseen(SECOND, at(60), [GPT]) == after(answered(FIRST, GPT)).foreseen(SECOND, at(60), [GPT])


def test_tokens_are_the_models_own() -> None:
    marked = replace(FIRST, cache_breakpoints=(2_000,))

    assert after(answered(marked, CLAUDE)).warm_tokens(replace(SECOND, cache_breakpoints=(2_500,)), at(60)) == {
        CLAUDE.id: 2_500
    }


def test_another_conversation_finds_what_it_has_in_common() -> None:
    one, other = prompt(1_500, 2_000), prompt(1_500, 2_001)

    assert after(answered(one, GPT)).warm_tokens(other, at(60)) == {GPT.id: 11 * 128}


def test_a_beginning_shorter_than_the_providers_minimum_is_not_warm() -> None:
    known = after(answered(prompt(1_023), GPT), answered(prompt(1_024), GPT, after_s=1))

    assert known.warm_tokens(prompt(1_023, 1_100), at(60)) == {}
    assert known.warm_tokens(prompt(1_024, 1_100), at(60)) == {GPT.id: 1_024}


@pytest.mark.parametrize(("by", "lifetime_s"), [(GPT, 300), (GEMINI, 180), (FLASH, 3_600)])
def test_what_was_read_is_forgotten_when_the_providers_lifetime_ends(by: Deployment, lifetime_s: int) -> None:
    known = after(answered(FIRST, by))

    assert known.warm_tokens(SECOND, at(READ_S + lifetime_s - 1)).keys() == {by.id}
    assert known.warm_tokens(SECOND, at(READ_S + lifetime_s)) == {}


def test_every_use_begins_the_lifetime_anew() -> None:
    known = after(answered(FIRST, GPT), answered(SECOND, GPT, after_s=200, cached=READ))

    assert known.warm_tokens(FIRST, at(450)) == {GPT.id: READ}


def test_an_entry_that_comes_late_does_not_make_a_memory_older() -> None:
    known = after(answered(FIRST, GPT, after_s=200), answered(FIRST, GPT))

    assert known.warm_tokens(SECOND, at(450)) == {GPT.id: READ}


def test_a_request_that_came_before_the_answer_knows_nothing_of_it() -> None:
    assert after(answered(FIRST, GPT, after_s=10)).warm_tokens(SECOND, at(10)) == {}


def test_deepseek_also_remembers_what_it_has_answered() -> None:
    assert after(answered(FIRST, FLASH)).warm_tokens(SECOND, at(60)) == {FLASH.id: 2_200 // 64 * 64}


def test_claude_caches_only_what_a_request_marks_and_reads_only_for_one_that_does() -> None:
    unmarked, marked = (
        after(answered(FIRST, CLAUDE)),
        after(answered(replace(FIRST, cache_breakpoints=(2_000,)), CLAUDE)),
    )
    asking = replace(SECOND, cache_breakpoints=(2_500,))

    assert unmarked.warm_tokens(asking, at(60)) == {}
    assert marked.warm_tokens(SECOND, at(60)) == {}
    assert marked.warm_tokens(asking, at(60)) == {CLAUDE.id: 2_500}


def test_claude_keeps_marks_for_an_hour_if_the_request_asks_for_that() -> None:
    marked = replace(FIRST, cache_breakpoints=(2_000,))
    asking = replace(SECOND, cache_breakpoints=(2_000,))
    hour = after(answered(replace(marked, asks_one_hour_cache=True), CLAUDE))

    assert hour.warm_tokens(replace(asking, asks_one_hour_cache=True), at(3_500)) == {CLAUDE.id: 2_500}
    assert after(answered(marked, CLAUDE)).warm_tokens(asking, at(3_500)) == {}


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED, Outcome.LOST])
def test_a_request_that_nobody_answered_warms_nothing(outcome: Outcome) -> None:
    assert after(replace(answered(FIRST, GPT), outcome=outcome)).warm_tokens(SECOND, at(60)) == {}


def test_a_request_whose_client_hung_up_has_been_read_all_the_same() -> None:
    gone = replace(answered(FIRST, GPT), outcome=Outcome.CLIENT_GONE)

    assert after(gone).warm_tokens(SECOND, at(60)) == {GPT.id: READ}


def test_a_deployment_that_reads_less_than_it_should_is_believed_less() -> None:
    known = after(answered(FIRST, GPT), answered(SECOND, GPT, after_s=60, cached=0))
    third = prompt(500, 2_000, 2_200, 2_500, 2_700)

    assert known.warm_tokens(third, at(120)) == {GPT.id: 19 * 128 * 2 // 3}
    known.observe(answered(third, GPT, after_s=120, cached=19 * 128))
    assert known.shares()[GPT.id] == pytest.approx(0.75)


def test_a_cache_that_outlives_what_is_published_is_learned_of() -> None:
    known = after(answered(FIRST, GPT))
    assert known.warm_tokens(SECOND, at(400)) == {}

    known.observe(answered(SECOND, GPT, after_s=400, cached=READ))

    assert known.warm_tokens(SECOND, at(400 + READ_S + 400)) == {GPT.id: 19 * 128 // 3}


def test_a_shared_beginning_that_is_fresh_does_not_hide_that_the_rest_had_outlived_its_time() -> None:
    long, short = prompt(1_500, 3_000), prompt(1_500)
    known = after(answered(long, GPT), answered(short, GPT, after_s=250, cached=11 * 128))
    read = 3_000 // 128 * 128

    known.observe(answered(prompt(1_500, 3_000, 3_300), GPT, after_s=400, cached=read))
    known.observe(answered(short, GPT, after_s=690, cached=11 * 128))

    rest = 25 * 128 - 11 * 128
    assert known.warm_tokens(prompt(1_500, 3_000, 3_300, 3_400), at(800)) == {GPT.id: 11 * 128 + rest // 3}


def test_a_name_that_stands_for_another_model_is_cold_and_unknown() -> None:
    known = after(answered(FIRST, GPT), answered(SECOND, GPT, after_s=60, cached=0), answered(FIRST, FLASH))

    known.forget(GPT.model.name, now=NOON + timedelta(seconds=100))

    assert known.warm_tokens(SECOND, at(110)).keys() == {FLASH.id}
    known.observe(answered(SECOND, GPT, after_s=120))
    assert known.warm_tokens(SECOND, at(130))[GPT.id] == 19 * 128


def test_the_least_recently_used_marks_go_first() -> None:
    warmth = Warmth(ALL, most_marks=8)
    for number, fork in enumerate((1, 2, 1, 3)):
        warmth.observe(answered(prompt(1_000, 2_000, fork=fork), GPT, after_s=number))

    warm = [bool(warmth.warm_tokens(prompt(1_000, 2_000, fork=fork), at(60))) for fork in (1, 2, 3)]
    assert warm == [True, False, True]


def test_an_entry_of_a_model_that_left_the_catalog_is_passed_over() -> None:
    gone = replace(GPT, model=replace(GPT.model, name=ModelName("openai/gone")))

    assert after(answered(FIRST, gone)).warm_tokens(SECOND, at(60)) == {}


def test_no_text_is_needed_entries_hold_digests_and_numbers() -> None:
    kept = msgspec.json.decode(answered(FIRST, GPT).profile_json)

    assert kept["prefix"] == [[500, 500], [2_000, 2_000]]


# What is to come.


def test_of_single_questions_no_further_turn_is_expected() -> None:
    known = after(*(answered(prompt(2_000, fork=number), GPT, after_s=number) for number in range(30)))

    assert known.foreseen(FIRST, at(60), [GPT]).further_turns == 0


def conversation(turns: int, *, fork: int = 0) -> list[LedgerEntry]:
    ends = list(accumulate([2_000, *[200, 300] * (turns - 1)]))
    return [
        answered(prompt(*ends[: 2 * turn + 1], fork=fork), GPT, after_s=10 * turn, cached=0) for turn in range(turns)
    ]


def test_conversations_are_expected_to_go_on_as_they_did_before() -> None:
    known = after(*(each for fork in range(20) for each in conversation(6, fork=fork)))

    foreseen = known.foreseen(FIRST, at(60), [GPT, CLAUDE])

    assert foreseen.further_turns == 5
    assert foreseen.growth_tokens == pytest.approx(503, abs=20)
    assert foreseen.later_tokens.keys() == {GPT.id, CLAUDE.id}
    assert foreseen.later_tokens[CLAUDE.id] == 0  # nothing is marked


def test_no_choice_is_bound_to_a_future_without_end() -> None:
    assert after(*conversation(200)).foreseen(FIRST, at(60), [GPT]).further_turns == 10


def test_another_team_or_kind_of_task_has_habits_of_its_own() -> None:
    known = after(*(each for fork in range(20) for each in conversation(6, fork=fork)))

    assert known.foreseen(replace(FIRST, team="research"), at(60), [GPT]).further_turns == 1  # before anything is known


# Laws.

profiles = st.builds(
    lambda steps, fork: prompt(*accumulate(steps), fork=fork),
    st.lists(st.integers(1, 3_000), min_size=1, max_size=6),
    st.integers(0, 1),
)
moments = st.builds(
    lambda profile, by, after_s, share: answered(
        profile, by, after_s=after_s, cached=int(share * profile.input_tokens * by.model.token_ratio)
    ),
    profiles,
    st.sampled_from([GPT, CLAUDE, GEMINI, FLASH]),
    st.integers(0, 2_000),
    st.floats(0, 1),
)


@given(st.lists(moments, max_size=12), profiles, st.integers(0, 2_000))
def test_no_more_is_ever_expected_in_a_cache_than_the_prompt_has(
    entries: list[LedgerEntry], profile: RequestProfile, now_s: int
) -> None:
    foreseen = after(*entries).foreseen(profile, at(now_s), list(ALL))

    for tokens in (foreseen.warm_tokens, foreseen.later_tokens):
        assert all(0 <= count <= profile.input_tokens * RATIOS[each] for each, count in tokens.items())


RATIOS: dict[DeploymentId, float] = {each.id: each.model.token_ratio for each in ALL}


@given(st.lists(moments, max_size=12), profiles, st.integers(0, 2_000))
def test_two_memories_that_were_told_the_same_say_the_same(
    entries: list[LedgerEntry], profile: RequestProfile, now_s: int
) -> None:
    one, other = after(*entries), after(*entries)
    one.warm_tokens(profile, at(now_s))  # asking changes nothing

    assert one.foreseen(profile, at(now_s), list(ALL)) == other.foreseen(profile, at(now_s), list(ALL))


def test_conditions_keep_what_else_they_hold() -> None:
    before = replace(at(60), unavailable={GPT.id: "down"}, seed=7)

    foreseen = after(answered(FIRST, GPT)).foreseen(SECOND, before, [GPT])

    assert replace(foreseen, warm_tokens={}, later_tokens={}, further_turns=0) == before
    assert isinstance(foreseen, Conditions)


def test_one_teams_odd_traffic_says_nothing_of_another_teams_cache() -> None:
    odd = replace(prompt(1_500, 1_600, fork=9), team="evil")
    warmth = after(answered(FIRST, GPT), answered(SECOND, GPT, after_s=5, cached=READ))

    for number in range(30):
        warmth.observe(answered(odd, GPT, after_s=10 + 3 * number, cached=0))

    assert warmth.warm_tokens(SECOND, at(110)) == {GPT.id: 19 * 128}
    assert warmth.shares()[GPT.id] < 0.3
    assert warmth.warm_tokens(replace(SECOND, team="new"), at(110))[GPT.id] < 0.3 * READ  # leans on what all have seen


class _Silent:
    """Knows nothing, and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    async def seen(self, digests: Sequence[int]) -> Sequence[tuple[int, tuple[DeploymentId, float, str]]]:
        return ()

    def put(self, digests: Sequence[int], deployment: DeploymentId, *, at_s: float, ended: str, keep_s: float) -> None:
        self.told.append((digests, deployment))


@pytest.mark.anyio
async def test_asking_what_is_warm_as_a_dry_run_does_leaves_nothing_to_remember() -> None:
    shared = _Silent()
    warmth = Warmth(ALL, shared=shared)

    for _ in range(5):
        await warmth.outlook(FIRST, at(0), list(ALL))

    assert shared.told == []
    assert await warmth.outlook(SECOND, at(1), list(ALL)) == await Warmth(ALL).outlook(SECOND, at(1), list(ALL))


def test_what_was_seen_outlives_another_catalog_also_of_a_model_that_is_away_for_a_while() -> None:
    warmth = after(answered(FIRST, GPT))

    warmth.recatalogued(catalog(FLASH))
    away = warmth.warm_tokens(SECOND, at(60))
    later = warmth.foreseen(SECOND, at(60), [GPT])
    warmth.recatalogued(catalog(*ALL))

    assert away == {}
    assert later.later_tokens.keys() <= {GPT.id}
    assert warmth.warm_tokens(SECOND, at(60)) == {GPT.id: READ}
