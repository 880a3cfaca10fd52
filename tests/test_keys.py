"""API keys: junk is refused unseen, a secret is compared but never shown."""

import copy
import hashlib
import hmac
import logging
import pickle
import string
import traceback
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.keys import ApiKey, KeyId, PresentedKey, Secret, TeamName, digest, matches, mint, parse, written
from tests.replacing import replace

KEY_ID = KeyId("0123456789abcdef")
SECRET = "c0ffee11" * 8
WRITTEN = f"psk_{KEY_ID}_{SECRET}_5d2cc110"
PEPPER = b"a pepper of 32 bytes, or so long"
CREATED = datetime(2026, 11, 23, tzinfo=UTC)


def presented(secret: str = SECRET) -> PresentedKey:
    return PresentedKey(id=KEY_ID, secret=Secret(secret))


def known(secret: str = SECRET) -> ApiKey:
    return ApiKey(
        id=KEY_ID,
        team=TeamName("search"),
        name="laptop",
        digest=digest(presented(secret), PEPPER),
        created_at=CREATED,
    )


def parsed(text: str) -> tuple[str, str] | None:
    key = parse(text)
    return None if key is None else (key.id, key.secret.reveal())


def test_a_key_is_read_as_it_is_written() -> None:
    assert written(presented()) == WRITTEN
    assert parsed(WRITTEN) == (KEY_ID, SECRET)


def test_a_key_is_minted_from_40_random_bytes() -> None:
    asked: list[int] = []

    def random_bytes(count: int) -> bytes:
        asked.append(count)
        return bytes(range(count))

    key = mint(random_bytes)

    assert asked == [8, 32]
    assert (key.id, key.secret.reveal()) == ("0001020304050607", bytes(range(32)).hex())


@given(st.binary(min_size=40, max_size=40))
def test_every_minted_key_can_be_read_again(random: bytes) -> None:
    key = mint(lambda count: random[:count])

    assert parsed(written(key)) == (key.id, key.secret.reveal())


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "psk_",
        "sk-or-v1-0123456789abcdef",
        WRITTEN[:-1],
        WRITTEN + "0",
        WRITTEN + "\n",
        " " + WRITTEN,
        WRITTEN.upper(),
        WRITTEN.replace("psk", "PSK"),
        WRITTEN.replace("_", "-"),
        WRITTEN.replace("0", "٠"),  # an Arabic zero is a digit, but not one of ours
        WRITTEN[:-8] + "00000000",
        "psk_" + "_" * 90,
        "\0" * len(WRITTEN),
        WRITTEN * 10_000,
    ],
)
def test_junk_is_refused(junk: str) -> None:
    assert parse(junk) is None


@given(st.text())
def test_no_text_that_is_not_a_key_is_read_as_one(text: str) -> None:
    assert parse(text) is None


@given(st.integers(0, len(WRITTEN) - 1), st.sampled_from(string.hexdigits + "g_-"))
def test_one_wrong_character_is_always_noticed(position: int, character: str) -> None:
    mistyped = WRITTEN[:position] + character + WRITTEN[position + 1 :]

    assert (parse(mistyped) is None) is (mistyped != WRITTEN)


@given(st.integers(4, len(WRITTEN) - 2))
def test_two_characters_that_changed_places_are_always_noticed(position: int) -> None:
    swapped = WRITTEN[:position] + WRITTEN[position + 1] + WRITTEN[position] + WRITTEN[position + 2 :]

    assert (parse(swapped) is None) is (swapped != WRITTEN)


def test_a_digest_is_the_hmac_of_the_secret_under_the_pepper() -> None:
    assert digest(presented(), PEPPER) == hmac.new(PEPPER, SECRET.encode(), hashlib.sha256).digest()


def test_a_key_matches_only_with_its_own_secret_and_pepper() -> None:
    assert matches(presented(), known(), PEPPER)
    assert not matches(presented("c0ffee12" * 8), known(), PEPPER)
    assert not matches(presented(), known(), b"another pepper")
    assert not matches(presented(), replace(known(), digest=b""), PEPPER)


def test_digests_are_compared_in_constant_time() -> None:
    """Timing on a shared machine proves nothing, so this reads which comparison is compiled in."""
    assert "compare_digest" in matches.__code__.co_names


@pytest.mark.parametrize(
    ("expires_s", "revoked_s", "valid"),
    [
        (None, None, True),
        (1, None, True),
        (0, None, False),
        (-1, None, False),
        (None, 1, True),
        (None, 0, False),
        (None, -1, False),
        (1, -1, False),
        (-1, 1, False),
        (1, 1, True),
    ],
)
def test_a_key_is_valid_until_it_expires_or_is_revoked(
    expires_s: int | None, revoked_s: int | None, *, valid: bool
) -> None:
    now = CREATED + timedelta(days=1)

    def moment(offset_s: int | None) -> datetime | None:
        return None if offset_s is None else now + timedelta(seconds=offset_s)

    key = replace(known(), expires_at=moment(expires_s), revoked_at=moment(revoked_s))

    assert key.is_valid_at(now) is valid


class TestASecret:
    def test_is_read_by_revealing_it(self) -> None:
        assert Secret("hush").reveal() == "hush"

    def test_is_stars_wherever_it_is_shown(self) -> None:
        secret = Secret("hush")

        shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", "%s" % secret, "{}".format(secret)]  # noqa: UP031, UP032  every way there is

        assert set(shown) == {"Secret('***')"}

    def test_is_stars_within_what_holds_it(self) -> None:
        assert repr(presented()) == "PresentedKey(id='0123456789abcdef', secret=Secret('***'))"
        assert SECRET not in f"{[presented()]} {presented()}"

    def test_is_not_formatted_to_a_width(self) -> None:
        with pytest.raises(TypeError, match="unsupported format string"):
            format(Secret("hush"), ">20")

    def test_is_stars_in_a_log(self, caplog: pytest.LogCaptureFixture) -> None:
        logging.getLogger("a test").warning("key %s of %r", Secret("hush"), presented())

        assert "hush" not in caplog.text
        assert SECRET not in caplog.text

    def test_is_not_in_a_traceback(self) -> None:
        try:
            raise ValueError(Secret("hush"))
        except ValueError as error:
            told = "".join(traceback.TracebackException.from_exception(error, capture_locals=False).format())

        assert "hush" not in told.replace('ValueError(Secret("hush"))', "")

    def test_has_no_dictionary_to_look_into(self) -> None:
        assert not hasattr(Secret("hush"), "__dict__")

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_is_not_pickled(self, protocol: int) -> None:
        """It was once, in plain text."""
        with pytest.raises(TypeError, match=r"secret|pickle") as refusal:
            pickle.dumps(Secret("hush"), protocol)

        assert "hush" not in str(refusal.value)

    def test_is_not_copied(self) -> None:
        with pytest.raises(TypeError, match="secret"):
            copy.deepcopy(presented())
