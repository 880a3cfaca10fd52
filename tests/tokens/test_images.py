"""Pictures cost what OpenAI's tile rule says, and their size is read from the file's head."""

import base64

import pytest

from router.tokens.images import UNKNOWN_SIZE_TOKENS, ImageTokens, high_detail_tokens, image_tokens, size_of


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [
        (1024, 1024, 765),  # OpenAI's example: 768 x 768, 4 tiles, 85 + 4 * 170
        (2048, 4096, 1105),  # OpenAI's example: 1024 x 2048, then 768 x 1536, 6 tiles, 85 + 6 * 170
        (1, 1, 255),
        (512, 512, 255),
        (513, 512, 425),
        (768, 768, 765),
        (2048, 2048, 765),
        (2049, 10, 765),  # 2048 x 9: 4 tiles in a row
        (100_000, 1, 765),
        (2048, 768, 1445),  # the most there is: 4 x 2 tiles
        (0, 0, 255),
        (2**32 - 1, 2**32 - 1, 765),
    ],
)
def test_high_detail_counts_the_tiles_begun(width: int, height: int, tokens: int) -> None:
    assert high_detail_tokens(width, height) == tokens
    assert high_detail_tokens(height, width) == tokens


PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (640).to_bytes(4) + (480).to_bytes(4) + b"\x08\x02\x00\x00\x00"
GIF = b"GIF89a" + (640).to_bytes(2, "little") + (480).to_bytes(2, "little") + b"\x00" * 8
VP8X = b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00" + b"\x00" * 4 + (639).to_bytes(3, "little") + b"\xdf\x01\x00"
VP8L = b"RIFF\x00\x00\x00\x00WEBPVP8L\x00\x00\x00\x00\x2f" + (639 | 479 << 14).to_bytes(4, "little") + b"\x00" * 8
VP8 = b"RIFF\x00\x00\x00\x00WEBPVP8 \x00\x00\x00\x00\x00\x00\x00\x9d\x01\x2a" + b"\x80\x02\xe0\x01" + b"\x00" * 8
_SOF = b"\xff\xc2\x00\x11\x08" + (480).to_bytes(2) + (640).to_bytes(2) + b"\x03" + b"\x00" * 9
_EXIF = b"\xff\xe1" + (60_000).to_bytes(2) + b"\xff\xc0" * 29_999
_HUFFMAN = b"\xff\xc4\x00\x04\x00\x00"
JPEG = b"\xff\xd8" + _EXIF + _HUFFMAN + b"\xff" + _SOF


@pytest.mark.parametrize("head", [PNG, GIF, VP8X, VP8L, VP8, JPEG], ids=["png", "gif", "vp8x", "vp8l", "vp8", "jpeg"])
def test_the_size_is_read_from_the_head_of_the_file(head: bytes) -> None:
    url = f"data:image/any;base64,{base64.b64encode(head).decode()}"

    assert size_of(head) == (640, 480)
    assert image_tokens(url, "high") == ImageTokens(85 + 170 * 2, is_exact=True)
    assert image_tokens(url, "auto") == image_tokens(url, None) == image_tokens(url, "high")


@pytest.mark.parametrize("head", [PNG, GIF, VP8X, VP8L, VP8, JPEG], ids=["png", "gif", "vp8x", "vp8l", "vp8", "jpeg"])
def test_a_head_cut_off_anywhere_has_its_size_or_none(head: bytes) -> None:
    for length in range(0, len(head), max(1, len(head) // 500)):
        assert size_of(head[:length]) in (None, (640, 480))


def test_low_detail_costs_the_same_for_any_picture() -> None:
    assert image_tokens("https://example.com/cat.jpg", "low") == ImageTokens(85, is_exact=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/cat.jpg",
        "data:image/png,plain",
        "data:image/png;base64",
        "data:image/png;base64,A",
        "data:image/png;base64,ÄÖÜ",
        "data:image/bmp;base64,Qk0=",
        "data:image/webp;base64," + base64.b64encode(b"RIFF\x00\x00\x00\x00WEBPJUNK" + b"\x00" * 20).decode(),
        "",
    ],
)
def test_a_picture_that_cannot_be_measured_counts_as_1024_by_1024_and_is_not_exact(url: str) -> None:
    assert image_tokens(url, "high") == ImageTokens(UNKNOWN_SIZE_TOKENS, is_exact=False)
    assert high_detail_tokens(1024, 1024) == UNKNOWN_SIZE_TOKENS
