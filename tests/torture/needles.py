"""Finds a text of high entropy in bytes, however it was written there: `Needles`.

Plain, in any case, backwards, in hex, in base64 of any alignment, percent-encoded, escaped as in JSON or in Python,
with two or four bytes a character, and all of it within gzip and zlib. A part of eight characters is enough.
"""

import base64
import re
import zlib
from collections.abc import Iterator, Mapping
from urllib.parse import unquote_to_bytes

import numpy as np

PART = 8  # characters of which every run counts
_HEX_PART = 12  # of texts that are hex themselves, which eight digits would be found of by chance in megabytes
_ESCAPES = re.compile(rb"\\u00([0-9a-fA-F]{2})|\\x([0-9a-fA-F]{2})")
_PERCENT = re.compile(rb"%[0-9a-fA-F]{2}")
_COMPRESSED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
_MOST_UNPACKED = 64 * 1024 * 1024
_DEPTH = 3


class Needles:
    """Texts by name. `found` says which of them are somewhere in given bytes."""

    def __init__(self, texts: Mapping[str, bytes]) -> None:
        self._parts: dict[bytes, str] = {}  # by a part of it in some form, whose it is
        for name, text in texts.items():
            for part in _parts(text):
                self._parts[part] = name
        # Which three bytes any of them begins with: all but a thousandth of other content is passed over by that.
        self._begins = np.zeros(1 << 24, dtype=bool)
        self._begins[[int.from_bytes(part[:3]) for part in self._parts]] = True
        self._lengths = sorted({len(part) for part in self._parts})

    def found(self, content: bytes) -> set[str]:
        """The names of those that are in the content."""
        return {self._parts[part] for part in self._parts_in(content)}

    def _parts_in(self, content: bytes) -> set[bytes]:
        found: set[bytes] = set()
        for form in _forms(content, _DEPTH):
            for at in self._places(form):
                for length in self._lengths:
                    part = form[at : at + length]
                    if part in self._parts:
                        found.add(part)
        return found

    def _places(self, content: bytes) -> list[int]:
        """Where one of them may begin."""
        octets = np.frombuffer(content, dtype="u1").astype("u4")
        first = (octets[:-2] << 16) | (octets[1:-1] << 8) | octets[2:]
        return list(map(int, np.flatnonzero(self._begins[first])))


def written(text: bytes) -> Mapping[str, bytes]:
    """The text in every form in which it is to be found, by the name of the form: to see that it is."""
    whole = b"a note: " + text + b", and more"
    return {
        "plain": whole,
        "a part of it": whole[: len(b"a note: ") + _least(text)],
        "capitals": whole.upper(),
        "small letters": whole.lower(),
        "backwards": whole[::-1],
        "hex": whole.hex().encode(),
        "base64": base64.b64encode(whole),
        "base64, one byte later": base64.b64encode(b"_" + whole),
        "base64, two bytes later": base64.urlsafe_b64encode(b"__" + whole),
        "percent-encoded": b"".join(b"%%%02X" % each for each in whole),
        "escaped as in JSON": b"".join(b"\\u%04x" % each for each in whole),
        "escaped as in Python": b"".join(b"\\x%02x" % each for each in whole),
        "two bytes a character": whole.decode("latin-1").encode("utf-16-le"),
        "gzip": _gzipped(whole),
        "zlib of base64": b"..." + zlib.compress(base64.b64encode(whole)),
    }


def _least(text: bytes) -> int:
    return _HEX_PART if _is_hex(text) else PART


def _parts(text: bytes) -> Iterator[bytes]:
    size = _least(text)
    for spelt in (text, text.lower(), text.upper()):
        yield from _runs(spelt, size)
        yield from _runs(spelt[::-1], size)
        for shift in range(3):
            # The outermost letters also hold bits of what stands beside it.
            coded = base64.b64encode(b"\0" * shift + spelt)
            yield from _runs(coded[4 if shift else 0 : len(coded) // 4 * 4 - 4], size)
    yield from _runs(text.hex().encode(), 2 * size)
    yield from _runs(text.hex().upper().encode(), 2 * size)


def _runs(text: bytes, size: int) -> Iterator[bytes]:
    for start in range(len(text) - size + 1):
        yield text[start : start + size]


def _is_hex(text: bytes) -> bool:
    return all(each in b"0123456789abcdef" for each in text)


def _forms(content: bytes, depth: int) -> Iterator[bytes]:
    """The content as it is, and as it is read by whoever takes its escapes for such."""
    yield content
    if b"\\u00" in content or b"\\x" in content:
        yield _ESCAPES.sub(lambda escape: bytes([int(escape[1] or escape[2], 16)]), content)
    if _PERCENT.search(content):
        yield unquote_to_bytes(content)
    if b"\0" in content:
        yield content.replace(b"\0", b"")
    if depth:
        for start in _COMPRESSED.finditer(content):
            unpacked = _unpacked(content[start.start() :])
            if unpacked:
                yield from _forms(unpacked, depth - 1)


def _unpacked(content: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(content, _MOST_UNPACKED)
    except zlib.error:
        return b""


def _gzipped(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return packer.compress(content) + packer.flush()
