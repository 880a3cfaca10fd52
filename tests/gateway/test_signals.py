"""The text head's word on a request: told where there is a choice, kept without the text."""

from functools import partial

import anyio

from router.config.text_heads import shipped_head
from router.decision.recorded import profile_json, read_profile
from router.gateway.profile import profile_of
from router.keys import TeamName
from router.quality.signals import NO_SIGNALS
from router.tokens.count import TokenCounter
from router.tokens.vocabulary import load_encoding
from router.wire.controls import NO_CONTROLS
from router.wire.requests import ChatReader

QUESTION = "Let G be a finite group of odd order. Is it solvable?"
BODY = b'{"model": "auto", "messages": [{"role": "user", "content": "%s"}]}' % QUESTION.encode()
HEAD = shipped_head()


def test_signals_are_those_of_the_question_and_survive_in_the_ledger() -> None:
    request = ChatReader().read(BODY)
    count = anyio.run(partial(TokenCounter(load_encoding("o200k_base")).count, request, scope="search"))

    profile = profile_of(request, count, NO_CONTROLS, team=TeamName("search"), head=HEAD)

    assert profile.signals == HEAD.signals(QUESTION)
    kept = profile_json(profile)
    assert read_profile(kept) == profile
    assert b"odd order" not in kept


def test_without_a_head_there_are_none_and_old_profiles_are_still_read() -> None:
    request = ChatReader().read(BODY)
    count = anyio.run(partial(TokenCounter(load_encoding("o200k_base")).count, request, scope="search"))
    profile = profile_of(request, count, NO_CONTROLS, team=TeamName("search"))

    assert profile.signals == NO_SIGNALS
    kept = profile_json(profile)
    assert read_profile(kept.replace(b',"signals":{}', b"")) == profile
    assert b',"signals":{}' in kept
