"""What is kept of teams that opt in: readable with the key alone, and gone when it should be."""

import secrets
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.keys import Secret, TeamName
from router.storage.prompts import NONCE_BYTES, Seal
from router.storage.sealed import CannotOpen, Prompt, SealedPrompt
from router.storage.store import Store
from tests.replacing import replace
from tests.storage.entries import AT

OLD, NEW = ("old", Secret("0a" * 32)), ("new", Secret("0b" * 32))
SEAL = Seal([NEW, OLD], random_bytes=secrets.token_bytes)
PROMPT = Prompt(
    request_id="req_1",
    team=TeamName("search"),
    at=AT,
    until=AT + timedelta(days=30),
    api="chat/completions",
    request=b'{"messages": "a secret plan"}',
    answer=b"data: a secret answer\n\n",
    is_request_cut=False,
    is_answer_cut=True,
)


def of(request_id: str, team: str = "search", *, days: int = 0) -> SealedPrompt:
    at = AT + timedelta(days=days)
    return SEAL.sealed(
        replace(PROMPT, request_id=request_id, team=TeamName(team), at=at, until=at + timedelta(days=30))
    )


@given(st.binary(max_size=300), st.binary(max_size=300), st.text(max_size=20))
def test_what_was_sealed_opens_as_it_was_and_shows_nothing_meanwhile(asked: bytes, told: bytes, name: str) -> None:
    prompt = replace(PROMPT, request=asked, answer=told + b"a needle in it", team=TeamName(name))

    sealed = SEAL.sealed(prompt)

    assert SEAL.opened(sealed) == prompt
    assert b"needle" not in sealed.content
    assert sealed.key_id == "new"


def test_no_nonce_comes_twice_and_the_same_is_never_sealed_alike() -> None:
    sealed = [SEAL.sealed(PROMPT).content for _ in range(2000)]

    assert len({content[:NONCE_BYTES] for content in sealed}) == len(sealed)
    assert len({content[NONCE_BYTES:] for content in sealed}) == len(sealed)


def test_requests_do_not_share_a_key_even_under_the_same_nonce() -> None:
    """So that a nonce which comes twice in 2^48 requests tells nothing."""
    fixed = Seal([NEW], random_bytes=bytes)
    one, other = (fixed.sealed(replace(PROMPT, request_id=name)).content for name in ("req_1", "req_2"))
    size = len(PROMPT.request)
    streams = [bytes(a ^ b for a, b in zip(each[20:], PROMPT.request, strict=False)) for each in (one, other)]

    assert one[:NONCE_BYTES] == other[:NONCE_BYTES]
    assert streams[0][:size] != streams[1][:size]


def test_a_key_that_was_replaced_still_opens_what_it_sealed() -> None:
    sealed = Seal([OLD], random_bytes=secrets.token_bytes).sealed(PROMPT)

    assert SEAL.opened(sealed) == PROMPT
    with pytest.raises(CannotOpen, match="sealed with the key 'old'"):
        Seal([NEW], random_bytes=secrets.token_bytes).opened(sealed)


@pytest.mark.parametrize(
    "changes",
    [
        {"team": TeamName("research")},
        {"request_id": "req_2"},
        {"key_id": "old"},
        {"content": b"\0" * 60},
        {"at": AT - timedelta(days=1)},
        {"until": PROMPT.until + timedelta(days=3650)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_row_that_was_moved_or_changed_does_not_open(changes: dict[str, object]) -> None:
    with pytest.raises(CannotOpen):
        SEAL.opened(replace(SEAL.sealed(PROMPT), **changes))


def test_any_changed_bit_is_noticed() -> None:
    sealed = SEAL.sealed(PROMPT)

    for at in range(len(sealed.content)):
        changed = bytearray(sealed.content)
        changed[at] ^= 1
        with pytest.raises(CannotOpen):
            SEAL.opened(replace(sealed, content=bytes(changed)))


def test_a_store_keeps_them_as_they_are_and_the_first_of_a_request(any_store: Store) -> None:
    sealed = of("req_1")
    any_store.keep_prompts([sealed, of("req_2")])
    any_store.keep_prompts([of("req_1")])

    assert any_store.prompt("req_1") == sealed
    assert any_store.prompt("req_3") is None
    assert any_store.prompt("req_\0") is None


def test_what_has_expired_is_deleted_and_what_has_not_is_left(any_store: Store) -> None:
    any_store.keep_prompts([of("req_1"), of("req_2", days=1)])

    assert any_store.drop_expired_prompts(AT + timedelta(days=30) - timedelta(seconds=1)) == 0
    assert any_store.drop_expired_prompts(AT + timedelta(days=30)) == 1
    assert any_store.prompt("req_1") is None
    assert any_store.prompt("req_2") is not None


def test_a_teams_are_deleted_at_once_and_nobody_elses(any_store: Store) -> None:
    any_store.keep_prompts([of("req_1"), of("req_2", days=5), of("req_3", "research")])

    assert any_store.drop_prompts(TeamName("search"), AT + timedelta(days=1)) == 1
    assert any_store.drop_prompts(TeamName("search"), AT + timedelta(days=9)) == 1
    assert any_store.prompt("req_3") is not None
