"""Nobody passes without a key that is ours, right, valid, and of a team that exists; but to the public paths."""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from time import monotonic
from urllib.parse import unquote

import anyio
import anyio.to_thread
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from router.errors import CallerError, InvalidRequest, Unauthenticated, Unavailable
from router.keys import (
    WHOLE_TEAM,
    ApiKey,
    Caller,
    KeyScope,
    PresentedKey,
    Secret,
    TeamName,
    digest,
    mint,
    written,
)
from router.server.app import PUBLIC
from router.server.auth import CALLER, KeyFault, KeyRing, RequireKey
from router.server.replies import send_json
from router.storage.errors import StoreUnavailable
from router.storage.sqlite import SqliteStore
from tests.replacing import replace
from tests.server.asgi import call, get, scope_of
from tests.server.conftest import NOW
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

PEPPER = b"p" * 32
SEARCH = TeamName("search")


class MovableNow:
    """A wall clock that moves when it is told to."""

    def __init__(self) -> None:
        self.moment = NOW

    def __call__(self) -> datetime:
        return self.moment


@pytest.fixture
def clock() -> MovableNow:
    return MovableNow()


@pytest.fixture
def ring(store: SqliteStore, clock: MovableNow) -> KeyRing:
    return KeyRing(store, pepper=PEPPER, teams=lambda: {SEARCH}, now=clock, monotonic_s=monotonic)


def added(
    store: SqliteStore,
    *,
    team: TeamName = SEARCH,
    expires_at: datetime | None = None,
    scope: KeyScope = WHOLE_TEAM,
) -> PresentedKey:
    """A key as `penstock keys create` makes it."""
    key = mint(secrets.token_bytes)
    record = ApiKey(
        id=key.id,
        team=team,
        name="a test",
        digest=digest(key, PEPPER),
        created_at=NOW,
        expires_at=expires_at,
        scope=scope,
    )
    store.add(record)
    return key


def bearer(key: PresentedKey) -> str:
    return f"Bearer {written(key)}"


# Who holds a key


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER  {} "])
async def test_a_key_of_the_store_makes_its_team_the_caller(store: SqliteStore, ring: KeyRing, form: str) -> None:
    key = added(store)
    ring.refresh()

    assert ring.caller(form.format(written(key))) == Caller(team=SEARCH, key_id=key.id)


async def test_a_request_without_a_key_is_told_how_to_send_one(ring: KeyRing) -> None:
    with pytest.raises(Unauthenticated, match=r"No API key was sent\. Send `Authorization: Bearer psk_"):
        ring.caller(None)


async def test_anthropics_clients_send_the_key_in_a_header_of_their_own(store: SqliteStore, ring: KeyRing) -> None:
    key = added(store)
    ring.refresh()

    caller = Caller(team=SEARCH, key_id=key.id)
    assert ring.caller(None, written(key)) == caller
    assert ring.caller(None, f" {written(key)} ") == caller
    assert ring.caller(bearer(key), written(key)) == caller


@pytest.mark.parametrize("authorization", ["Bearer {other}", "Basic {key}", "{key}", ""])
async def test_two_keys_that_differ_are_an_error_and_no_choice(
    store: SqliteStore, ring: KeyRing, authorization: str
) -> None:
    key, other = added(store), added(store)
    ring.refresh()

    with pytest.raises(InvalidRequest, match="were both sent, and differ") as refusal:
        ring.caller(authorization.format(key=written(key), other=written(other)), written(key))
    assert refusal.value.code == "invalid_header"


@pytest.mark.parametrize("text", ["", "Bearer", "Bearer ", "Bearer sk-or-v1-0", "Basic {}", "Bearer {}x", "{}"])
async def test_what_is_not_one_of_our_keys_is_told_so(store: SqliteStore, ring: KeyRing, text: str) -> None:
    key = added(store)
    ring.refresh()

    with pytest.raises(Unauthenticated, match="they begin with `psk_`"):
        ring.caller(text.format(written(key)))


async def test_only_who_has_the_right_secret_is_told_that_a_key_is_expired_or_revoked(
    store: SqliteStore, ring: KeyRing, clock: MovableNow
) -> None:
    known, expired, revoked = added(store), added(store, expires_at=NOW + timedelta(days=1)), added(store)
    wrong = replace(known, secret=Secret("0" * 64))
    store.revoke(revoked.id, NOW)
    ring.refresh()
    clock.moment = NOW + timedelta(days=1)

    guesses = [replace(key, secret=Secret("0" * 64)) for key in (expired, revoked)]
    texts = [refusal_of(ring, key) for key in (mint(secrets.token_bytes), wrong, *guesses, expired, revoked)]

    assert set(texts[:4]) == {"The API key is unknown. Ask your team's owner for another."}
    assert texts[4:] == [
        f"The API key {expired.id} has expired. Ask your team's owner for another.",
        f"The API key {revoked.id} is revoked. Ask your team's owner for another.",
    ]
    assert ring.caller(bearer(known)).key_id == known.id


def refusal_of(ring: KeyRing, key: PresentedKey) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        ring.caller(bearer(key))
    return refusal.value.message


async def test_a_key_is_valid_until_it_expires(store: SqliteStore, ring: KeyRing, clock: MovableNow) -> None:
    key = added(store, expires_at=NOW + timedelta(days=1))
    ring.refresh()
    clock.moment = NOW + timedelta(days=1) - timedelta(microseconds=1)

    assert ring.caller(bearer(key)).team == SEARCH


async def test_a_key_of_a_team_that_is_gone_is_told_which(store: SqliteStore, ring: KeyRing) -> None:
    key = added(store, team=TeamName("disbanded"))
    ring.refresh()

    with pytest.raises(Unauthenticated, match="belongs to team 'disbanded', which is not configured any more"):
        ring.caller(bearer(key))


async def test_a_lent_key_is_valid_and_stored_nowhere(store: SqliteStore, ring: KeyRing) -> None:
    key = ring.lend(SEARCH, secrets.token_bytes)
    ring.refresh()

    assert ring.caller(bearer(key)) == Caller(team=SEARCH, key_id=key.id)
    assert store.all() == []
    with pytest.raises(Unauthenticated):
        ring.caller(bearer(replace(key, secret=Secret("0" * 64))))


async def test_a_key_works_under_no_other_pepper(store: SqliteStore, clock: MovableNow) -> None:
    key = added(store)
    other = KeyRing(store, pepper=b"q" * 32, teams=lambda: {SEARCH}, now=clock, monotonic_s=monotonic)
    other.refresh()

    with pytest.raises(Unauthenticated):
        other.caller(bearer(key))


async def test_a_running_ring_takes_up_new_and_revoked_keys_and_survives_a_store_that_is_away(
    tmp_path: Path, clock: MovableNow
) -> None:
    store = SometimesAway(tmp_path / "penstock.sqlite")
    ring = KeyRing(store, pepper=PEPPER, teams=lambda: {SEARCH}, now=clock, monotonic_s=monotonic)
    first = added(store)
    ring.refresh()
    store.is_away = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ring.keep_fresh)
        await soon(lambda: store.refusals > 0)
        assert ring.caller(bearer(first)).team == SEARCH
        store.is_away = False
        second = added(store)
        store.revoke(first.id, NOW)
        await soon(lambda: is_known(ring, second))
        assert not is_known(ring, first)
        tasks.cancel_scope.cancel()


class SometimesAway(SqliteStore):
    """A real store that cannot be read while it is away."""

    is_away = False
    refusals = 0

    def keys_version(self) -> tuple[int, ...]:
        if self.is_away:
            self.refusals += 1
            raise StoreUnavailable("disk I/O error")
        return super().keys_version()


async def soon(is_so: Callable[[], bool]) -> None:
    await anyio.to_thread.run_sync(partial(eventually, is_so, within_s=20.0))


def is_known(ring: KeyRing, key: PresentedKey) -> bool:
    try:
        ring.caller(bearer(key))
    except Unauthenticated:
        return False
    return True


async def test_no_question_of_a_client_is_one_to_the_store(tmp_path: Path, clock: MovableNow) -> None:
    store = CountedReads(tmp_path / "penstock.sqlite")
    ring = KeyRing(store, pepper=PEPPER, teams=lambda: {SEARCH}, now=clock, monotonic_s=monotonic)
    good = added(store)
    ring.refresh()
    before = store.reads

    for key in (good, mint(secrets.token_bytes), replace(good, secret=Secret("0" * 64))):
        is_known(ring, key)
    for junk in ("", "Bearer psk_", "Bearer " + "x" * 10_000):
        with pytest.raises(Unauthenticated):
            ring.caller(junk)

    assert (before, store.reads) == (2, 2)  # the version, and all keys


class CountedReads(SqliteStore):
    """A real store that counts what is asked about keys."""

    reads = 0

    def keys_version(self) -> tuple[int, ...]:
        self.reads += 1
        return super().keys_version()

    def all(self) -> list[ApiKey]:
        self.reads += 1
        return super().all()


async def test_keys_that_have_not_changed_are_not_read_again_before_a_minute_has_passed(
    tmp_path: Path, clock: MovableNow
) -> None:
    store, seconds = CountedReads(tmp_path / "penstock.sqlite"), [0.0]
    ring = KeyRing(store, pepper=PEPPER, teams=lambda: {SEARCH}, now=clock, monotonic_s=lambda: seconds[0])
    ring.refresh()

    for seconds[0] in (0.4, 59.9, 60.0):
        ring.look()
        assert ring.age_s == 0

    assert store.reads == 2 + 1 + 1 + 2


async def test_keys_that_could_not_be_read_for_a_day_let_nobody_in(store: SqliteStore, clock: MovableNow) -> None:
    seconds = [0.0]
    ring = KeyRing(store, pepper=PEPPER, teams=lambda: {SEARCH}, now=clock, monotonic_s=lambda: seconds[0])
    key = added(store)
    ring.refresh()

    seconds[0] = 24 * 3600.0
    assert is_known(ring, key)
    seconds[0] += 0.001
    with pytest.raises(Unavailable, match="could not be checked for a day"):
        ring.caller(bearer(key))
    ring.look()
    assert is_known(ring, key)


async def test_both_secrets_of_a_rotated_key_are_let_in_while_they_overlap_and_the_former_is_counted(
    store: SqliteStore, clock: MovableNow, caplog: pytest.LogCaptureFixture
) -> None:
    outdated: list[TeamName] = []
    ring = KeyRing(
        store,
        pepper=PEPPER,
        teams=lambda: {SEARCH},
        now=clock,
        monotonic_s=monotonic,
        outdated=outdated.append,
    )
    former = added(store)
    current = PresentedKey(former.id, mint(secrets.token_bytes).secret)
    [known] = store.all()
    store.rotate(known, known.rotated(digest(current, PEPPER), until=NOW + timedelta(hours=1)))
    ring.refresh()

    assert ring.caller(bearer(current)).key_id == former.id
    assert outdated == []
    assert [ring.caller(bearer(former)).key_id for _ in range(3)] == [former.id] * 3
    assert outdated == [SEARCH] * 3
    assert [record.message for record in caplog.records] == [
        f"key {former.id} of team search is still used with its former secret, which ends at 2026-11-23T10:30+00:00"
    ]
    clock.moment += timedelta(hours=1)
    assert not is_known(ring, former)
    assert is_known(ring, current)


async def test_why_somebody_is_not_let_in_is_counted(store: SqliteStore, clock: MovableNow) -> None:
    faults: list[KeyFault] = []
    ring = KeyRing(store, pepper=PEPPER, teams=lambda: {SEARCH}, now=clock, monotonic_s=monotonic, failed=faults.append)
    expired, revoked, gone = added(store, expires_at=NOW), added(store), added(store, team=TeamName("gone"))
    elsewhere = added(store, scope=KeyScope(networks=(ip_network("192.0.2.0/24"),)))
    store.revoke(revoked.id, NOW)
    ring.refresh()
    header = ("authorization", "Bearer psk_")
    sent: list[tuple[Sequence[tuple[str, str]], KeyFault]] = [
        ((), KeyFault.MISSING),
        ((header,), KeyFault.MALFORMED),
        ((header, header), KeyFault.MALFORMED),
        ((header, ("x-api-key", "other")), KeyFault.MALFORMED),
        *(
            ((("authorization", bearer(key)),), fault)
            for key, fault in (
                (mint(secrets.token_bytes), KeyFault.UNKNOWN),
                (replace(revoked, secret=Secret("0" * 64)), KeyFault.UNKNOWN),
                (revoked, KeyFault.REVOKED),
                (expired, KeyFault.EXPIRED),
                (elsewhere, KeyFault.NETWORK),
                (gone, KeyFault.TEAM_GONE),
            )
        ),
    ]

    for headers, _ in sent:
        with pytest.raises(CallerError):
            ring.caller_of(scope_of("/v1/models", headers=headers))

    assert faults == [fault for _, fault in sent]


@pytest.mark.parametrize(
    ("peer", "told", "status"),
    [
        ("192.0.2.1", "", 200),
        ("192.0.3.1", "192.0.2.1", 403),  # nobody is trusted to say so
        ("10.0.0.1", "192.0.2.1", 200),
        ("10.0.0.1", "192.0.2.1, 192.0.3.1", 403),
        ("10.0.0.1", "nonsense", 403),
    ],
)
async def test_a_key_with_networks_opens_the_door_from_there_alone(
    store: SqliteStore, clock: MovableNow, peer: str, told: str, status: int
) -> None:
    ring = KeyRing(
        store,
        pepper=PEPPER,
        teams=lambda: {SEARCH},
        now=clock,
        monotonic_s=monotonic,
        trusted_proxies=lambda: (ip_network("10.0.0.0/8"),),
    )
    key = added(store, scope=KeyScope(networks=(ip_network("192.0.2.0/24"),)))
    ring.refresh()
    scope = scope_of("/v1/models", headers=[("authorization", bearer(key)), ("x-forwarded-for", told)])
    scope["client"] = (peer, 50_000)

    answer = await call(guarded(ring, []), scope)

    assert answer.status == status
    if status == 403:
        assert answer.error["code"] == "address_not_allowed"


# Who is let past


async def reached(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that tells who reached it."""
    caller: Caller | None = scope.get(CALLER)
    await send_json(send, {"team": caller.team if caller else None})


def guarded(ring: KeyRing, refused: list[str]) -> RequireKey:
    return RequireKey(reached, keys=ring, public=PUBLIC, refused=refused.append)


async def test_a_good_key_opens_every_path_and_names_the_caller(ring: KeyRing) -> None:
    refused: list[str] = []
    key = ring.lend(SEARCH, secrets.token_bytes)

    answer = await get(guarded(ring, refused), "/v1/models", headers=[("authorization", bearer(key))])

    assert (answer.status, answer.json, refused) == (200, {"team": "search"}, [])


@pytest.mark.parametrize("path", sorted(PUBLIC))
async def test_public_paths_need_no_key(ring: KeyRing, path: str) -> None:
    assert (await get(guarded(ring, []), path)).json == {"team": None}


_near_public = st.builds(
    lambda path, before, after, cased: before + (path.upper() if cased else path) + after,
    st.sampled_from(sorted(PUBLIC)),
    st.sampled_from(["", "/", "//", "/v1", "/.", "/x/..", "%2e", " ", "\0"]),
    st.sampled_from(["", "/", "//", "/.", "/..", "%2f", "%2e", "?", "#", ";", " ", "\n", "\0"]),
    st.booleans(),
)


@given(path=st.one_of(_near_public, _near_public.map(unquote), st.text().map(lambda text: "/" + text), st.text()))
@example(path="//livez")
@example(path="/livez/")
@example(path="/LIVEZ")
@example(path="/livez%2e")
@example(path="/v1/../livez")
@example(path="")
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_every_other_path_needs_a_key_also_one_that_looks_public(path: str, method: str) -> None:
    refused: list[str] = []
    ring = KeyRing(NoKeys(), pepper=PEPPER, teams=tuple, now=lambda: NOW, monotonic_s=monotonic)

    answer = await call(guarded(ring, refused), scope_of(path, method=method))

    if path in PUBLIC:
        assert answer.status == 200
    else:
        assert answer.status == 401
        assert answer.error["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert refused == ["invalid_api_key"]


class NoKeys:
    """A store without keys."""

    def add(self, key: ApiKey) -> None:
        raise NotImplementedError

    def all(self) -> list[ApiKey]:
        return []

    def keys_version(self) -> tuple[int, ...]:
        return ()

    def revoke(self, key_id: str, at: datetime) -> bool:
        return False

    def expire(self, key_id: str, at: datetime) -> bool:
        return False

    def rotate(self, key: ApiKey, rotated: ApiKey) -> bool:
        return False


async def test_a_key_that_is_sent_twice_is_refused_even_if_it_is_good(ring: KeyRing) -> None:
    refused: list[str] = []
    header = ("authorization", bearer(ring.lend(SEARCH, secrets.token_bytes)))

    answer = await get(guarded(ring, refused), "/v1/models", headers=[header, header])

    assert (answer.status, answer.error["code"], refused) == (400, "invalid_header", ["invalid_header"])


@pytest.mark.parametrize(("is_right", "answered", "faults"), [(True, 200, []), (False, 401, ["unknown"])])
async def test_a_request_that_was_asked_about_before_it_was_taken_up_is_judged_once(
    store: SqliteStore, clock: MovableNow, is_right: bool, answered: int, faults: list[str]
) -> None:
    told: list[str] = []
    ring = KeyRing(
        store, pepper=b"p" * 32, teams=lambda: {SEARCH}, now=clock, monotonic_s=lambda: 0.0, failed=told.append
    )
    key = ring.lend(SEARCH, secrets.token_bytes) if is_right else mint(secrets.token_bytes)
    app = guarded(ring, [])

    async def asked_about(scope: Scope, receive: Receive, send: Send) -> None:
        assert (ring.admit(scope) == SEARCH) == is_right
        await app(scope, receive, send)

    answer = await get(asked_about, "/v1/models", headers=[("authorization", bearer(key))])

    assert (answer.status, told) == (answered, faults)


async def test_the_lifespan_passes_without_a_key(ring: KeyRing) -> None:
    passed: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(scope["type"])

    await call(RequireKey(app, keys=ring, public=PUBLIC, refused=passed.append), {"type": "lifespan"})

    assert passed == ["lifespan"]
