"""How many tokens a slice of text was, for slices that come again: in every turn of a conversation, all but the last.

The text itself is not kept, only a digest of it. A team has its own entries: how long a count takes must not tell one
team what another has sent.
"""

from collections import OrderedDict
from hashlib import blake2b
from threading import Lock

# At most some 2 MB: 190 bytes an entry, that stands for up to 4 KB of text. Two prompts of a million tokens fit in.
MOST_SLICES = 8_192
# Shorter slices are counted in the time that digest and look-up take (measured 2026-11-30: 6 us each for 1,000
# characters of prose).
LEAST_CHARS = 2_048
# With more at a time blake2b lets go of the interpreter's lock, for 4 us: no other thread wakes up in them, and who is
# given the lock and comes too late for it begins to wait anew. The event loop then had no turn in a whole count (20 ms
# for a million letters, on two idle cores; 1.3 ms so).
_HELD_BYTES = 2_047


class SliceMemo:
    """Remembers the slices seen last. Safe to share between threads."""

    def __init__(self, *, most_slices: int = MOST_SLICES) -> None:
        self._most_slices = most_slices
        self._tokens: OrderedDict[tuple[str, bytes], int] = OrderedDict()  # the one seen last stands last
        self._lock = Lock()

    def find(self, key: tuple[str, bytes]) -> int | None:
        """The tokens of the slice with that key; None if it was not seen lately."""
        with self._lock:
            tokens = self._tokens.get(key)
            if tokens is not None:
                self._tokens.move_to_end(key)
            return tokens

    def keep(self, key: tuple[str, bytes], tokens: int) -> None:
        """Remember the slice, and forget the one that was not seen for longest."""
        with self._lock:
            self._tokens[key] = tokens
            if len(self._tokens) > self._most_slices:
                self._tokens.popitem(last=False)


def slice_key(scope: str, text: bytes) -> tuple[str, bytes]:
    """The key of a slice of the team's. 128 bits: nobody finds two texts with one digest."""
    digest = blake2b(digest_size=16)
    for start in range(0, len(text), _HELD_BYTES):
        digest.update(text[start : start + _HELD_BYTES])
    return scope, digest.digest()
