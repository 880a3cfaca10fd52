"""Long text in slices that are counted safely, and where possible exactly.

tiktoken takes time that grows faster than a long unbroken run (2.5 s for a million characters of `abab`), builds its
list of tokens under the interpreter lock, and panics on a million spaces (tiktoken 0.14, measured 2026-11-23). Slices
of SLICE_CHARS keep every call under 2 ms and a hundred times below the panic, whatever the text.

A cut is safe if both vocabularies' split patterns always end a word there and nothing before it depends on what comes
after: then the slices' tokens are the text's tokens. Read from the patterns (`vocabulary.py`), such places are

* before a blank that follows anything but white space: white space stands only at the start of a word, but for line
  ends after punctuation;
* after a line end, before anything but white space and `/`: line ends stand only at the end of a word, and o200k_base
  lets `/` follow them there;
* before punctuation that follows a letter or a digit: such a word ends with the last letter or digit, but for the
  English contractions, so the apostrophe is left out.

Where the last SEARCH_CHARS of a slice hold no such place (unbroken letters, Han without punctuation, runs of blanks)
the cut is a hard one. It can split one word in two: measured on the hostile texts of the tests, that changes the sum
by at most MAX_ERROR_PER_HARD_CUT tokens. No slice ever counts more tokens than it has UTF-8 bytes, nor does the sum.
"""

import re
from collections.abc import Iterable, Iterator

SLICE_CHARS = 4096  # at most 16 KB of UTF-8; a power of two, so that runs are cut between their long tokens
SEARCH_CHARS = 1024
MAX_ERROR_PER_HARD_CUT = 4

_SAFE_CUT = re.compile(
    r"(?<=\S)(?=[ \t])"
    r"|(?<=[\r\n])(?=[^\s/])"
    r"|(?<=[^\W_])(?=[!-&(-/:-@\[-`{-~\u3001\u3002\uff0c\uff1a\uff1b\uff01\uff1f])"
)


def slices(text: str) -> Iterable[tuple[str, bool]]:
    """The slices of `text` in order, each with whether it ends at a safe cut (the last one always does)."""
    return ((text, True),) if len(text) <= SLICE_CHARS else _cut(text)


def _cut(text: str) -> Iterator[tuple[str, bool]]:
    start = 0
    while len(text) - start > SLICE_CHARS:
        latest = start + SLICE_CHARS
        safe = _SAFE_CUT.search(text, latest - SEARCH_CHARS, latest)
        end = safe.start() if safe else latest
        yield text[start:end], safe is not None
        start = end
    yield text[start:], True
