"""Which conversation a request belongs to, as a number: its turns fall to the same arm, and break ties alike."""

from hashlib import blake2b

from router.decision.facts import RequestProfile
from router.tokens.prefix import session_id
from router.wire.controls import Controls
from router.wire.requests import ModelRequest, conversation_name

_SEED_BYTES = 6  # 48 bits: exact in every reader of JSON
_PROMPTS = ("prompt", "input")
_PROMPT_BYTES = 4096


def conversation_seed(request: ModelRequest, profile: RequestProfile, controls: Controls) -> int:
    """The same for every turn of a conversation, in every process.

    The client's name for it counts; otherwise how it began, up to the end of its first question.
    """
    given = conversation_name(request.members)
    named = b"" if given is None else bytes(given)
    name = named or (controls.session_id or session_id(request, profile.prefix) or "").encode() or _prompt(request)
    digest = blake2b(f"{profile.team}\n".encode() + name, digest_size=_SEED_BYTES)
    return int.from_bytes(digest.digest())


def _prompt(request: ModelRequest) -> bytes:
    """The beginning of a prompt that is no conversation: one arm for all of them would be no experiment."""
    return next((bytes(request.members[name])[:_PROMPT_BYTES] for name in _PROMPTS if name in request.members), b"")
