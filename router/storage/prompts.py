"""What is kept of requests of teams that opt in, and how it is sealed: `Prompt`, `Seal`, `SealedPrompt`.

Only this module knows `cryptography`, which is the extra `penstock[prompts]`; it is imported where keys are configured.

A prompt is sealed with AES-256-GCM under a key of its own, which is made of the configured one with HMAC-SHA-256 over
the names of its team and request (a key derivation as in NIST SP 800-108, one block). The nonce is 96 random bits. So a
nonce would have to come twice for one request, which is sealed once, and not within the 2^32 messages that random
nonces allow a key (NIST SP 800-38D, 8.3). Team, request and key stand in what is authenticated, and both times in what
is sealed: a row that was moved to another team, request or time does not open.
"""

import hmac
from collections.abc import Callable, Sequence

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from router.keys import Secret
from router.storage.sealed import CannotOpen, Prompt, SealedPrompt

NONCE_BYTES = 12
_PURPOSE = b"penstock prompts 1"


class Seal:
    """Seals with the first of the keys, and opens what any of them has sealed."""

    def __init__(self, keys: Sequence[tuple[str, Secret]], *, random_bytes: Callable[[int], bytes]) -> None:
        """`keys` are ids and 64 hex digits each, newest first."""
        self._keys = {name: bytes.fromhex(secret.reveal()) for name, secret in keys}
        self._newest = keys[0][0]
        self._random_bytes = random_bytes
        self._encode = msgspec.msgpack.Encoder().encode

    def sealed(self, prompt: Prompt) -> SealedPrompt:
        named = _named(self._newest, prompt.team, prompt.request_id)
        nonce = self._random_bytes(NONCE_BYTES)
        own = _own_key(self._keys[self._newest], named)
        content = AESGCM(own).encrypt(nonce, self._encode(prompt), named)
        return SealedPrompt(prompt.request_id, prompt.team, prompt.at, prompt.until, self._newest, nonce + content)

    def opened(self, sealed: SealedPrompt) -> Prompt:
        """Raises CannotOpen."""
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise CannotOpen(
                f"What is kept of {sealed.request_id} was sealed with the key {sealed.key_id!r}, and there are "
                f"{', '.join(self._keys)}. Put it back under `prompts.keys` of penstock.yaml, below those."
            )
        named = _named(sealed.key_id, sealed.team, sealed.request_id)
        nonce, content = sealed.content[:NONCE_BYTES], sealed.content[NONCE_BYTES:]
        try:
            plain = AESGCM(_own_key(key, named)).decrypt(nonce, content, named)
        except InvalidTag:
            raise CannotOpen(
                f"What is kept of {sealed.request_id} does not open with the key {sealed.key_id!r}: it was changed, or "
                "another key has that id now."
            ) from None
        prompt = msgspec.msgpack.decode(plain, type=Prompt)
        if (prompt.at, prompt.until) != (sealed.at, sealed.until):
            raise CannotOpen(
                f"The times of what is kept of {sealed.request_id} were changed in the store: it was kept at "
                f"{prompt.at}, until {prompt.until}."
            )
        return prompt


def _named(*names: str) -> bytes:
    """With their lengths, so that no two rows have the same in a row."""
    coded = [name.encode() for name in names]
    return _PURPOSE + b"".join(len(each).to_bytes(4) + each for each in coded)


def _own_key(key: bytes, named: bytes) -> bytes:
    return hmac.digest(key, named, "sha256")
