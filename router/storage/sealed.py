"""What is kept of a request whose team opts in, open (`Prompt`) and as stores have it (`SealedPrompt`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from router.errors import PenstockError
from router.keys import TeamName


class CannotOpen(PenstockError):
    """What is kept is there, and its key is not, or it was changed."""

    code = "cannot_open"


class Prompt(msgspec.Struct, frozen=True, gc=False):
    """A request and its answer, as they crossed the wire; each may have been cut at the end."""

    request_id: str
    team: TeamName
    at: datetime  # when the request was decided
    until: datetime  # when it is deleted
    api: str  # by which it was asked, such as chat/completions
    request: bytes
    answer: bytes  # a body, or the events of a stream; nothing if there was none
    is_request_cut: bool
    is_answer_cut: bool


@dataclass(frozen=True, slots=True)
class SealedPrompt:
    """A row. Who and when can be read by whoever reads the store, the rest by whoever has the key."""

    request_id: str
    team: TeamName
    at: datetime
    until: datetime
    key_id: str
    content: bytes  # nonce, ciphertext, tag


class PromptStore(Protocol):
    """Where sealed prompts are kept. Implementations block: call them from a thread."""

    def keep_prompts(self, prompts: Sequence[SealedPrompt]) -> None:
        """Keep them, all or none; one that is there already stays as it is."""

    def prompt(self, request_id: str) -> SealedPrompt | None:
        """What is kept of the request."""

    def drop_expired_prompts(self, at: datetime) -> int:
        """Delete what should not be there any more at that moment; how many."""

    def drop_prompts(self, team: TeamName, before: datetime) -> int:
        """Delete what is of requests of the team before that moment; how many."""
