"""Answers under a client's own key, in each kind of store: claimed by one, kept, given up, forgotten."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from router.keys import TeamName
from router.storage.store import Claim, Claimed, Store
from tests.replacing import replace
from tests.storage.entries import AT

LATER, MUCH_LATER = AT + timedelta(minutes=20), AT + timedelta(hours=24)
CLAIM = Claim(TeamName("search"), b"\0key", b"\xffasked", "req_1")


def claimed(store: Store, claim: Claim = CLAIM, *, after: timedelta = timedelta(0)) -> Claimed | None:
    return store.claim_answer(claim, at=AT + after, until=LATER + after)


def test_a_key_is_claimed_once_and_then_told_with_its_answer(any_store: Store) -> None:
    second = replace(CLAIM, request_id="req_2")

    assert claimed(any_store) is None
    assert claimed(any_store, second) == Claimed(CLAIM.fingerprint, "req_1", None)
    any_store.keep_answer(CLAIM, b"\0\xff", until=MUCH_LATER)

    assert claimed(any_store, second) == Claimed(CLAIM.fingerprint, "req_1", b"\0\xff")


def test_the_same_key_of_another_team_is_another_key(any_store: Store) -> None:
    claimed(any_store)

    assert claimed(any_store, replace(CLAIM, team=TeamName("research"))) is None


def test_a_claim_that_is_given_up_frees_the_key_but_not_anothers_nor_one_with_an_answer(any_store: Store) -> None:
    claimed(any_store)
    any_store.give_up_claim(replace(CLAIM, request_id="req_2"))
    assert claimed(any_store) is not None

    any_store.give_up_claim(CLAIM)
    assert claimed(any_store) is None

    any_store.keep_answer(CLAIM, b"answer", until=MUCH_LATER)
    any_store.give_up_claim(CLAIM)
    any_store.give_up_claims()
    assert claimed(any_store) is not None


def test_claims_and_answers_expire(any_store: Store) -> None:
    claimed(any_store)
    assert claimed(any_store, after=timedelta(minutes=20)) is None

    any_store.keep_answer(CLAIM, b"answer", until=MUCH_LATER)
    assert claimed(any_store, after=timedelta(hours=23)) is not None
    any_store.drop_expired_answers(MUCH_LATER)
    assert claimed(any_store, after=timedelta(hours=1)) is None


def test_all_claims_can_be_given_up_by_who_has_the_store_alone(any_store: Store) -> None:
    claimed(any_store)

    any_store.give_up_claims()

    assert claimed(any_store) is None


def test_of_many_that_claim_a_key_at_once_one_gets_it(any_store: Store) -> None:
    def claim(number: int) -> Claimed | None:
        return claimed(any_store, replace(CLAIM, request_id=f"req_{number}"))

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(claim, range(24)))

    assert found.count(None) == 1


def test_an_answer_kept_after_the_claim_has_passed_to_another_changes_nothing(any_store: Store) -> None:
    claimed(any_store)
    second = replace(CLAIM, request_id="req_2")
    assert claimed(any_store, second, after=timedelta(minutes=21)) is None

    any_store.keep_answer(CLAIM, b"late", until=MUCH_LATER)

    found = claimed(any_store, after=timedelta(minutes=22))
    assert found == Claimed(CLAIM.fingerprint, "req_2", None)
