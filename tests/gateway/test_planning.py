"""What a request asks beyond its policy, which conversation it belongs to, and whose money its copy is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import Capability, Effort, Task
from router.decision.data_rules import NO_DATA_RULES, DataRules
from router.decision.facts import NO_TIGHTENING
from router.errors import InvalidRequest
from router.gateway.conversation import conversation_seed
from router.gateway.profile import profile_of, tightening_of
from router.gateway.shadow import falls_into
from router.keys import TeamName
from router.quality.features import LONG_CONTEXT_TOKENS
from router.quotas import shadow_tag, shadowed_policy
from router.tokens.count import TokenCounter
from router.tokens.vocabulary import load_encoding
from router.wire.controls import NO_CONTROLS, Controls
from router.wire.requests import ChatReader, ModelRequest
from tests.replacing import replace

READER = ChatReader()
COUNTER = TokenCounter(load_encoding("o200k_base"))
QUESTION = {"role": "user", "content": "What is a penstock?"}
ANSWER = {"role": "assistant", "content": "A gate."}
SYSTEM = {"role": "system", "content": "You are brief."}


def read(*messages: object, **members: object) -> ModelRequest:
    body = {"model": "auto", "messages": list(messages) or [QUESTION], **members}
    return READER.read(json.dumps(body).encode())


def seed(request: ModelRequest, *, team: str = "search", controls: Controls = NO_CONTROLS) -> int:
    count = COUNTER.count_now(request, scope=team)
    return conversation_seed(request, profile_of(request, count, controls, team=TeamName(team)), controls)


def test_every_turn_of_a_conversation_has_one_seed() -> None:
    first = read(SYSTEM, QUESTION)
    later = read(SYSTEM, QUESTION, ANSWER, {"role": "user", "content": "And a sluice?"})

    assert seed(first) == seed(later)


def test_conversations_that_begin_otherwise_have_other_seeds() -> None:
    others = (
        read({"role": "user", "content": "What is a sluice?"}),
        read(SYSTEM, QUESTION),
        read(QUESTION, session_id="a"),
        read(QUESTION, session_id="b"),
        read(QUESTION, prompt_cache_key="c"),
    )

    assert len({seed(each) for each in (read(QUESTION), *others)}) == 1 + len(others)
    assert seed(read(QUESTION)) != seed(read(QUESTION), team="research")


def test_the_clients_name_for_a_conversation_counts_more_than_how_it_began() -> None:
    by_header = Controls(session_id="a")

    assert seed(read(QUESTION, session_id="a")) == seed(read(SYSTEM, session_id="a"))
    assert seed(read(QUESTION), controls=by_header) == seed(read(SYSTEM), controls=by_header)
    assert seed(read(QUESTION, session_id=None)) == seed(read(QUESTION))


@given(st.text(max_size=50))
def test_a_seed_is_a_number_that_every_reader_of_json_keeps(text: str) -> None:
    assert 0 <= seed(read({"role": "user", "content": text})) < 2**53


def test_a_request_that_asks_nothing_more_tightens_nothing() -> None:
    assert tightening_of(NO_CONTROLS, read().data_preferences) is NO_TIGHTENING


def test_what_a_request_says_about_its_data_tightens_the_policy() -> None:
    wishes = {"zdr": True, "data_collection": "deny", "only": ["Azure", "deepinfra/fp8"], "ignore": ["Novita"]}

    assert tightening_of(NO_CONTROLS, read(provider=wishes).data_preferences).data == DataRules(
        zdr=True, deny_collection=True, only=frozenset({"azure", "deepinfra/fp8"}), ignore=frozenset({"novita"})
    )


@pytest.mark.parametrize(
    "lax",
    [
        {},
        {"sort": "price"},
        {"zdr": False, "data_collection": "allow", "only": [], "ignore": []},
        {"zdr": None, "data_collection": None, "only": None, "ignore": None},
    ],
)
def test_a_request_cannot_take_away_what_the_policy_demands(lax: dict[str, object]) -> None:
    assert tightening_of(NO_CONTROLS, read(provider=lax).data_preferences).data == NO_DATA_RULES


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"zdr": "yes"}, "provider.zdr"),
        ({"data_collection": "never"}, "provider.data_collection"),
        ({"only": "azure"}, "provider.only"),
        ({"ignore": [1]}, "provider.ignore[0]"),
    ],
)
def test_a_wish_for_the_data_that_is_not_understood_is_refused(wish: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(provider=wish)

    assert (caught.value.param, caught.value.code) == (param, "invalid_type")


def test_the_headers_tighten_latency_and_effort() -> None:
    asked = replace(NO_CONTROLS, max_latency_ms=500, max_effort="low")

    tightening = tightening_of(asked, read().data_preferences)

    assert (tightening.max_latency_ms, tightening.max_effort) == (500, Effort.LOW)


@pytest.mark.parametrize(
    ("members", "effort", "asks"),
    [
        ({}, None, False),
        ({"reasoning": {"enabled": False}}, Effort.NONE, False),
        ({"reasoning": {"enabled": False, "effort": "high"}}, Effort.NONE, False),
        ({"reasoning": {"enabled": True}}, None, True),
        ({"reasoning": {"effort": "high"}}, Effort.HIGH, True),
        ({"reasoning_effort": "minimal"}, Effort.MINIMAL, True),
        ({"reasoning": {"max_tokens": 100}}, None, True),
    ],
)
def test_how_hard_a_client_asks_to_think(members: dict[str, object], effort: Effort | None, asks: bool) -> None:
    request = read(**members)
    profile = profile_of(request, COUNTER.count_now(request), NO_CONTROLS, team=TeamName("search"))

    assert profile.effort is effort
    assert ("reasoning" in profile.needs) is asks


def test_the_longest_of_several_prompts_says_whether_there_is_very_much_input() -> None:
    request = read(QUESTION)
    counted = COUNTER.count_now(request)

    def task(**figures: int) -> Task:
        count = replace(counted, **figures)
        return profile_of(request, count, NO_CONTROLS, team=TeamName("search")).task

    assert task(input_tokens=LONG_CONTEXT_TOKENS - 1) is Task.CHAT
    assert task(input_tokens=LONG_CONTEXT_TOKENS) is Task.LONG_CONTEXT
    assert task(input_tokens=3 * LONG_CONTEXT_TOKENS, prompts=4, longest_tokens=LONG_CONTEXT_TOKENS - 1) is Task.CHAT


PICTURE = {"type": "image_url", "image_url": {"url": "https://example.org/1.png"}}


def test_pictures_a_model_made_and_a_client_sends_back_are_bounded() -> None:
    answer = {"role": "assistant", "content": "Here.", "images": [PICTURE] * 3}
    request = read(messages=[answer, {"role": "user", "content": "and?"}])
    profile = profile_of(request, COUNTER.count_now(request), NO_CONTROLS, team=TeamName("search"))

    assert (profile.images, profile.has_unbounded_parts) == (3, False)
    assert Capability.IMAGE_INPUT not in profile.needs  # who cannot see them still reads the text


@pytest.mark.parametrize(
    "answer", [{"audio": {"id": "audio_1"}}, {"images": [{"type": "file", "file": {"file_id": "1"}}]}], ids=str
)
def test_what_a_model_made_of_unknown_length_may_fill_the_window(answer: dict[str, object]) -> None:
    request = read(messages=[{"role": "assistant", **answer}, {"role": "user", "content": "and?"}])

    assert profile_of(request, COUNTER.count_now(request), NO_CONTROLS, team=TeamName("search")).has_unbounded_parts


def test_a_part_that_calls_itself_a_picture_and_shows_none_may_fill_the_window() -> None:
    """So a part of another API comes here that a chat does not know, and a provider may find a picture in it."""
    request = read(messages=[{"role": "user", "content": [{"type": "image_url", "text": "{}"}]}])

    assert profile_of(request, COUNTER.count_now(request), NO_CONTROLS, team=TeamName("search")).has_unbounded_parts


@pytest.mark.parametrize(("functions", "needs"), [([{"name": "f"}], True), ([], False), (None, False)])
def test_functions_as_openai_had_them_before_tools_need_tools(functions: object, needs: bool) -> None:
    request = read(functions=functions)
    profile = profile_of(request, COUNTER.count_now(request), NO_CONTROLS, team=TeamName("search"))

    assert (Capability.TOOLS in profile.needs) is needs


def test_a_share_of_the_request_ids_falls_to_the_shadow() -> None:
    ids = [f"req_{number:024x}" for number in range(20_000)]

    assert 900 < sum(falls_into(0.05, each) for each in ids) < 1_100
    assert all(falls_into(1.0, each) for each in ids)
    assert {each for each in ids if falls_into(0.05, each)} < {each for each in ids if falls_into(0.1, each)}


def test_a_shadows_tag_names_its_policy_and_no_other_tag_does() -> None:
    assert shadowed_policy(shadow_tag("balanced")) == "balanced"
    assert shadowed_policy("shadow/balanced") is None
