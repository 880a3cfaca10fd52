"""API keys: junk is refused unseen, a secret is compared but never shown."""

import base64
import copy
import hashlib
import hmac
import logging
import pickle
import string
import traceback
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.keys import (
    ApiKey,
    KeyId,
    KeyScope,
    Match,
    PresentedKey,
    Redaction,
    Secret,
    TeamName,
    digest,
    matches,
    mint,
    parse,
    written,
)
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
    assert matches(presented(), known(), PEPPER, CREATED) is Match.CURRENT
    assert matches(presented("c0ffee12" * 8), known(), PEPPER, CREATED) is Match.NONE
    assert matches(presented(), known(), b"another pepper", CREATED) is Match.NONE
    assert matches(presented(), replace(known(), digest=b""), PEPPER, CREATED) is Match.NONE


OTHER_SECRET = "c0ffee12" * 8


def test_both_secrets_of_a_rotated_key_are_good_until_the_overlap_ends() -> None:
    until = CREATED + timedelta(hours=24)
    rotated = known().rotated(digest(presented(OTHER_SECRET), PEPPER), until=until)

    before, then = until - timedelta(microseconds=1), until

    assert matches(presented(OTHER_SECRET), rotated, PEPPER, before) is Match.CURRENT
    assert matches(presented(), rotated, PEPPER, before) is Match.FORMER
    assert matches(presented(), rotated, PEPPER, then) is Match.NONE
    assert matches(presented(OTHER_SECRET), rotated, PEPPER, then) is Match.CURRENT


@given(
    rotations=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=5),
    at_h=st.integers(0, 300),
)
def test_of_all_secrets_a_key_ever_had_the_last_is_good_and_the_one_before_while_it_overlaps(
    rotations: list[tuple[int, int]], at_h: int
) -> None:
    key, secrets, moment, until = known(), [SECRET], CREATED, None
    for wait_h, overlap_h in rotations:
        moment += timedelta(hours=wait_h)
        until = moment + timedelta(hours=overlap_h)
        secrets.append(f"{len(secrets):064x}")
        key = key.rotated(digest(presented(secrets[-1]), PEPPER), until=until)
    now = moment + timedelta(hours=at_h)

    good = {secret for secret in secrets if matches(presented(secret), key, PEPPER, now) is not Match.NONE}

    assert good == {secrets[-1], *([secrets[-2]] if until is not None and now < until else [])}
    assert (key.id, key.team, key.scope) == (KEY_ID, known().team, known().scope)


_moments = st.datetimes(timezones=st.just(UTC))


@given(revoked_at=_moments, expires_at=st.none() | _moments, now=_moments)
def test_a_revoked_key_is_never_valid_again_whatever_a_clock_says(
    revoked_at: datetime, expires_at: datetime | None, now: datetime
) -> None:
    assert not replace(known(), revoked_at=revoked_at, expires_at=expires_at).is_valid_at(now)


def test_a_key_whose_scope_cannot_be_read_is_valid_for_nothing() -> None:
    assert not replace(known(), scope=None).is_valid_at(CREATED)


@pytest.mark.parametrize(
    ("networks", "address", "is_in"),
    [
        ((), None, True),
        ((), "192.0.2.1", True),
        (("192.0.2.0/24",), "192.0.2.255", True),
        (("192.0.2.0/24",), "192.0.3.0", False),
        (("192.0.2.0/24",), None, False),
        (("192.0.2.0/24",), "2001:db8::1", False),
        (("192.0.2.0/24", "2001:db8::/32"), "2001:db8::1", True),
        (("192.0.2.7/32",), "192.0.2.7", True),
    ],
)
def test_a_key_with_networks_is_good_within_them_only(
    networks: tuple[str, ...], address: str | None, *, is_in: bool
) -> None:
    scope = KeyScope(networks=tuple(map(ip_network, networks)))

    assert scope.reaches(None if address is None else ip_address(address)) is is_in


@pytest.mark.parametrize(
    ("aliases", "name", "may"),
    [
        (None, "anything", True),
        ({"auto"}, "auto", True),
        ({"auto"}, "fast", False),
        ({"auto"}, "autos", False),
        ({"openai/gpt-5.4"}, "openai/gpt-5.4@high", True),
        ({"openai/gpt-5.4@low"}, "openai/gpt-5.4@high", False),
        (set(), "auto", False),
        (set(), "@", False),
    ],
)
def test_a_key_with_aliases_may_write_these_and_with_an_effort_behind_them(
    aliases: set[str] | None, name: str, *, may: bool
) -> None:
    scope = KeyScope(aliases=None if aliases is None else frozenset(aliases))

    assert scope.may_name(name, is_alias=False) is may


def test_an_alias_with_an_at_sign_is_not_the_alias_before_it_with_an_effort() -> None:
    scope = KeyScope(aliases=frozenset({"fast"}))

    assert not scope.may_name("fast@high", is_alias=True)
    assert KeyScope(aliases=frozenset({"fast@high"})).may_name("fast@high", is_alias=True)


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
        (None, 1, False),  # of somebody whose clock is ahead: a revocation waits for nobody's
        (None, 0, False),
        (None, -1, False),
        (1, -1, False),
        (-1, 1, False),
        (1, 1, False),
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


PROVIDERS_KEY = "sk-or-v1-Qz7WmX2hJpT9vKd4RsYb"


@pytest.mark.parametrize(
    "quoted",
    [
        f"Incorrect API key provided: {PROVIDERS_KEY}.",
        f"Bearer {PROVIDERS_KEY}",
        f"…{PROVIDERS_KEY[5:14]}…",
        f"{PROVIDERS_KEY[:9]}***{PROVIDERS_KEY[-8:]}",
        base64.b64encode(f"user:{PROVIDERS_KEY}".encode()).decode(),
        base64.b64encode(f"u:{PROVIDERS_KEY}!".encode()).decode(),
        base64.b64encode(f"{PROVIDERS_KEY}".encode()).decode(),
        PROVIDERS_KEY.encode().hex(),
        PROVIDERS_KEY[::-1],
    ],
)
def test_a_secret_is_taken_out_of_what_others_say_however_they_spell_it(quoted: str) -> None:
    hidden = Redaction([Secret(PROVIDERS_KEY)])(f"It says: {quoted} and more")

    assert hidden.startswith("It says: ")
    assert hidden.endswith(" and more")
    assert "***" in hidden
    forms = (PROVIDERS_KEY, PROVIDERS_KEY[::-1], PROVIDERS_KEY.encode().hex())
    assert not any(form[at : at + 8] in hidden for form in forms for at in range(len(form) - 7))


def test_what_has_no_part_of_a_secret_is_said_as_it_is() -> None:
    text = "maximum context length is 8192 tokens; sk-or-v"

    assert Redaction([Secret(PROVIDERS_KEY), Secret("x"), Secret("")])(text) == text
    assert Redaction([])(text) == text
