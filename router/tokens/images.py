"""Tokens of a picture, from its size and the detail asked for.

The rule is OpenAI's for gpt-4o and gpt-4.1 (platform.openai.com/docs/guides/images-vision, read 2026-11): `low` is 85
tokens whatever the size; `high` shrinks the picture into 2048 x 2048, then its short side to 768, and takes 85 tokens
and 170 for every tile of 512 x 512 begun. Other families count otherwise; like text, pictures are counted in this one
unit, and each model's ratio does the rest.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64
from dataclasses import dataclass

LOW_DETAIL_TOKENS = 85
TILE_TOKENS = 170
TILE_PIXELS = 512
LONG_SIDE_PIXELS = 2048
SHORT_SIDE_PIXELS = 768

# A picture we cannot measure (a remote address, an unknown format) is taken for 1024 x 1024, OpenAI's own example:
# 85 + 4 * 170. We never fetch a client's address.
UNKNOWN_SIZE_TOKENS = 765

# JPEG keeps its size behind metadata of up to 64 KB a segment; 96 KB of file reach it in all but odd files.
_HEAD_BASE64_CHARS = 128 * 1024


@dataclass(frozen=True, slots=True)
class ImageTokens:
    tokens: int
    is_exact: bool  # the size was known, or does not matter


def image_tokens(url: str, detail: str | None) -> ImageTokens:
    """Tokens of the picture at `url`. `auto` and no detail at all count as `high`, the dearer of the two."""
    if detail == "low":
        return ImageTokens(LOW_DETAIL_TOKENS, is_exact=True)
    size = _size_of_data_url(url)
    if size is None:
        return ImageTokens(UNKNOWN_SIZE_TOKENS, is_exact=False)
    return ImageTokens(high_detail_tokens(*size), is_exact=True)


def high_detail_tokens(width: int, height: int) -> int:
    """Tokens of a picture of `width` x `height` pixels at high detail. Small pictures are not enlarged."""
    width, height = max(width, 1), max(height, 1)
    longest = max(width, height)
    if longest > LONG_SIDE_PIXELS:
        width = max(width * LONG_SIDE_PIXELS // longest, 1)
        height = max(height * LONG_SIDE_PIXELS // longest, 1)
    shortest = min(width, height)
    if shortest > SHORT_SIDE_PIXELS:
        width, height = width * SHORT_SIDE_PIXELS // shortest, height * SHORT_SIDE_PIXELS // shortest
    tiles = -(-width // TILE_PIXELS) * -(-height // TILE_PIXELS)
    return LOW_DETAIL_TOKENS + TILE_TOKENS * tiles


def _size_of_data_url(url: str) -> tuple[int, int] | None:
    if url[:5].lower() != "data:":
        return None
    comma = url.find(",", 0, 256)
    if comma < 0 or not url[:comma].endswith(";base64"):
        return None
    try:
        head = a2b_base64(url[comma + 1 : comma + 1 + _HEAD_BASE64_CHARS])
    except (Base64Error, ValueError):  # ValueError: characters that are not ASCII
        return None
    return size_of(head)


def size_of(head: bytes) -> tuple[int, int] | None:
    """Width and height in pixels of the PNG, GIF, WebP or JPEG file that starts with `head`; None if they do not show.

    Offsets: PNG specification 11.2.2 (IHDR), GIF89a 18, WebP container RFC 9649 2.5 to 2.7, ITU-T T.81 B.2.2.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    if head.startswith((b"GIF87a", b"GIF89a")) and len(head) >= 10:
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP" and len(head) >= 30:
        return _webp_size(head)
    if head.startswith(b"\xff\xd8"):
        return _jpeg_size(head)
    return None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    match head[12:16]:
        case b"VP8X":  # canvas size less one, 24 bits each
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
        case b"VP8L":  # size less one, 14 bits each, after the signature byte
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":  # 14 bits each, after the frame tag and the start code; the upper two bits are a scale
            return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
        case _:
            return None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """The size in the frame header, the first SOF segment; the segments before it are stepped over."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        # SOF0 to SOF15, among which DHT (C4), JPG (C8) and DAC (CC) are no frame headers.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7])
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return None
