"""What is on its way to be kept: how much of it, what is lost, and that no request notices."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import anyio

from router.config.snapshot import PromptKeeping, Team
from router.gateway.prompts import Kept, Prompts, Seals
from router.keys import TeamName
from router.storage.errors import StoreUnavailable
from router.storage.sealed import Prompt, SealedPrompt
from router.wire.requests import ChatReader
from tests.gateway.test_reconcile import TEAM
from tests.replacing import replace

NOW = datetime(2026, 11, 30, tzinfo=UTC)
BODY = b'{"model":"auto","messages":[{"role":"user","content":"Tell me about tea."}]}'
REQUEST = ChatReader().read(BODY)
KEEPS = replace(TEAM, prompts=PromptKeeping(kept_days=7))


class Unsealed:
    """Seals nothing, so that a test can look inside."""

    def sealed(self, prompt: Prompt, /) -> SealedPrompt:
        self.last = prompt
        return SealedPrompt(prompt.request_id, prompt.team, prompt.at, prompt.until, "a", prompt.answer)


class Shelf:
    """A store that may be away."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.is_away = is_away
        self.kept: list[SealedPrompt] = []
        self.pruned_at: list[datetime] = []

    def keep_prompts(self, prompts: Sequence[SealedPrompt]) -> None:
        if self.is_away:
            raise StoreUnavailable("The disk is full.")
        self.kept += prompts

    def prompt(self, request_id: str) -> SealedPrompt | None:
        raise NotImplementedError

    def drop_expired_prompts(self, at: datetime) -> int:
        self.pruned_at.append(at)
        return 0

    def drop_prompts(self, team: TeamName, before: datetime) -> int:
        raise NotImplementedError


class Counts:
    def __init__(self) -> None:
        self.kept = 0
        self.lost: list[str] = []

    def count(self, number: int) -> None:
        self.kept += number

    def lose(self, reason: str, number: int) -> None:
        self.lost += [reason] * number


def prompts(shelf: Shelf, counts: Counts, seal: Seals | None, *, most_bytes: int = 1000) -> Prompts:
    return Prompts(shelf, seal, most_bytes=most_bytes, now=lambda: NOW, kept=counts.count, lost=counts.lose)


def asked(of: Prompts, team: Team = KEEPS, request_id: str = "req_1") -> Kept:
    kept = of.of(team, REQUEST, request_id)
    assert kept is not None
    return kept


def test_what_was_asked_and_answered_is_kept_for_as_long_as_the_team_says() -> None:
    shelf, counts, seal = Shelf(), Counts(), Unsealed()
    to_keep = prompts(shelf, counts, seal)
    kept = asked(to_keep)
    kept.note(b"data: one\n\n")
    kept.note(b"data: two\n\n")

    to_keep.start()
    to_keep.put(kept, NOW)
    to_keep.stop(10.0)

    assert (counts.kept, counts.lost) == (1, [])
    assert seal.last == Prompt(
        request_id="req_1",
        team=KEEPS.name,
        at=NOW,
        until=NOW + timedelta(days=7),
        api="chat/completions",
        request=BODY,
        answer=b"data: one\n\ndata: two\n\n",
        is_request_cut=False,
        is_answer_cut=False,
    )


def test_a_long_request_and_a_long_answer_are_cut_and_no_more_is_held() -> None:
    shelf, seal = Shelf(), Unsealed()
    to_keep = prompts(shelf, Counts(), seal, most_bytes=25)
    kept = asked(to_keep)
    for _ in range(1000):
        kept.note(b"0123456789")

    to_keep.start()
    to_keep.put(kept, NOW)
    to_keep.stop(10.0)

    assert (seal.last.request, seal.last.is_request_cut) == (BODY[:25], True)
    assert (seal.last.answer, seal.last.is_answer_cut) == (b"0123456789" * 2 + b"01234", True)


def test_only_what_a_client_was_given_is_noted_of_what_it_was_offered() -> None:
    kept = asked(prompts(Shelf(), Counts(), None))
    take = kept.noting(lambda events: events != b"later")

    assert [take(b"now"), take(b"later"), take(b"now")] == [True, False, True]
    assert kept.answer == b"nownow"


def test_a_team_that_does_not_opt_in_has_nothing_noted() -> None:
    assert prompts(Shelf(), Counts(), Unsealed()).of(TEAM, REQUEST, "req_1") is None


def test_of_a_sample_the_share_is_kept_and_which_are_in_it_is_no_matter_of_the_prompt() -> None:
    to_keep = prompts(Shelf(), Counts(), Unsealed())
    team = replace(KEEPS, prompts=PromptKeeping(kept_days=7, sample_share=0.25))

    in_it = [to_keep.of(team, REQUEST, f"req_{number}") is not None for number in range(4000)]

    assert 900 < sum(in_it) < 1100
    assert in_it == [to_keep.of(team, REQUEST, f"req_{number}") is not None for number in range(4000)]


def test_without_a_key_it_is_lost_and_counted() -> None:
    shelf, counts = Shelf(), Counts()
    to_keep = prompts(shelf, counts, None)

    to_keep.put(asked(to_keep), NOW)

    assert (shelf.kept, counts.lost) == ([], ["no_key"])


def test_where_the_store_is_away_it_is_lost_and_counted_and_later_ones_are_kept() -> None:
    shelf, counts = Shelf(is_away=True), Counts()
    to_keep = prompts(shelf, counts, Unsealed())
    to_keep.put(asked(to_keep), NOW)
    to_keep.start()
    to_keep.stop(10.0)
    shelf.is_away = False
    again = prompts(shelf, counts, Unsealed())
    again.put(asked(again), NOW)
    again.start()
    again.stop(10.0)

    assert (counts.kept, counts.lost) == (1, ["unwritable"])


def test_no_more_than_64_mib_wait_and_the_rest_is_lost_at_once() -> None:
    shelf, counts = Shelf(), Counts()
    to_keep = prompts(shelf, counts, Unsealed(), most_bytes=8 * 1024 * 1024)
    for number in range(10):
        kept = asked(to_keep, request_id=f"req_{number}")
        kept.note(bytes(8 * 1024 * 1024 - 1024))
        to_keep.put(kept, NOW)

    to_keep.start()
    to_keep.stop(10.0)

    assert (counts.kept, counts.lost) == (8, ["queue_full"] * 2)


def test_what_is_old_is_deleted_at_the_start_and_again_and_again() -> None:
    shelf = Shelf()

    async def run() -> None:
        with anyio.move_on_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(prompts(shelf, Counts(), None).run)
                while not shelf.pruned_at:
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()

    anyio.run(run)

    assert shelf.pruned_at == [NOW]
