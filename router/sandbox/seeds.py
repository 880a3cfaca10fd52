"""Random sources that repeat: the same parts give the same numbers, in every process and under every hash seed."""

import hashlib
import random


def repeatable(*parts: str | int | bytes) -> random.Random:
    """A random source that depends on `parts` alone."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return random.Random(int.from_bytes(digest.digest(), "big"))  # noqa: S311  repeatable on purpose, guards nothing
