"""The admin port's door: tokens, roles, where requests come from, and a table that says who may use each route."""

import base64
from collections.abc import Sequence
from pathlib import Path

import pytest

from router.audit import Act
from router.keys import Secret
from router.roles import Role
from router.server.admin_port import AdminPort, AdminRoute, UnguardedRoute, local_target
from router.storage.errors import StoreUnavailable
from tests.replacing import replace
from tests.server.asgi import Answer, call, get, scope_of
from tests.server.doors import OPERATOR, OWNER, VIEWER, House, bearer, reached

pytestmark = pytest.mark.anyio

ROUTES = (
    AdminRoute("GET", "/livez", Role.ANYONE, reached),
    AdminRoute("GET", "/metrics", Role.VIEWER, reached),
    AdminRoute("POST", "/admin/reload", Role.OPERATOR, reached, Act.RELOAD_ASKED, takes_cookies=False),
    AdminRoute("POST", "/admin/keys", Role.OWNER, reached, Act.KEY_CREATED),
    AdminRoute("GET", "/teams/*", Role.VIEWER, reached),
    AdminRoute("POST", "/explain", Role.OPERATOR, reached, changes_nothing=True),
)
TEXT = "the token of admin"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def port(house: House) -> AdminPort:
    return house.port(ROUTES)


async def post(port: AdminPort, path: str, *headers: tuple[str, str]) -> Answer:
    return await call(port, scope_of(path, method="POST", headers=headers))


# Tokens


@pytest.mark.parametrize("header", [f"Bearer {TEXT}", f"bearer {TEXT}", f"Bearer  {TEXT} "])
async def test_the_right_token_opens_the_admin_port(port: AdminPort, header: str) -> None:
    answer = await get(port, "/metrics", headers=[("authorization", header)])

    assert answer.json == {"reached": "/metrics", "by": "admin", "role": "owner"}


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer wrong")],
        [("authorization", f"Bearer {TEXT[:-1]}")],
        [("authorization", f"Bearer {TEXT}2")],
        [("authorization", f"Bearer {TEXT.upper()}")],
        [("authorization", "Bearer tokén")],
        [("authorization", f"Basic {TEXT}")],
        [("authorization", "Basic é")],
        [("authorization", TEXT)],
        [("cookie", "penstock-session=x.y; __Host-penstock=é")],
    ],
)
@pytest.mark.parametrize("path", ["/", "/metrics", "/admin/spend", "/no/such/path", "/livez/"])
async def test_without_the_right_token_nothing_is_told(
    port: AdminPort, headers: Sequence[tuple[str, str]], path: str
) -> None:
    answer = await get(port, path, headers=headers)

    assert answer.status == 401
    assert answer.error["message"] == (
        "The admin port needs a token: send `Authorization: Bearer TOKEN`, or sign in at /sign-in."
    )
    assert answer.headers["www-authenticate"] == 'Bearer realm="penstock admin"'
    assert TEXT.encode() not in answer.body


async def test_a_script_may_send_the_token_as_the_password_of_any_name(port: AdminPort) -> None:
    right = [("authorization", "Basic " + base64.b64encode(f"anyone:{TEXT}".encode()).decode())]
    wrong = [("authorization", "Basic " + base64.b64encode(f"{TEXT}:anyone".encode()).decode())]

    assert (await get(port, "/metrics", headers=right)).status == 200
    assert (await get(port, "/metrics", headers=wrong)).status == 401


async def test_a_token_that_is_sent_twice_is_refused_even_if_it_is_right(port: AdminPort) -> None:
    answer = await get(port, "/metrics", headers=[bearer(OWNER), bearer(OWNER)])

    assert (answer.status, answer.error["code"]) == (400, "invalid_header")


async def test_a_wrong_token_is_not_made_right_by_a_session_beside_it(house: House, port: AdminPort) -> None:
    headers = [("authorization", "Bearer wrong"), house.cookie(OWNER)]

    assert (await get(port, "/metrics", headers=headers)).status == 401


async def test_a_token_whose_file_is_empty_opens_nothing(house: House) -> None:
    house.tokens = (OWNER, replace(VIEWER, secret=None))

    assert (await get(house.port(ROUTES), "/metrics", headers=[("authorization", "Bearer ")])).status == 401


async def test_a_probe_needs_no_token(port: AdminPort) -> None:
    assert (await get(port, "/livez")).status == 200
    assert (await get(port, "/livez", headers=[("authorization", "Bearer wrong")])).status == 200


async def test_who_guesses_is_kept_waiting_and_who_has_a_token_is_not(house: House, port: AdminPort) -> None:
    wrong = [("authorization", "Bearer wrong")]

    statuses = [(await get(port, "/metrics", headers=wrong)).status for _ in range(12)]
    refused = await get(port, "/metrics", headers=wrong)

    assert statuses == [401] * 10 + [429] * 2
    assert refused.headers["retry-after"] == "6"
    assert (await get(port, "/metrics", headers=[bearer(VIEWER)])).status == 200
    house.later(seconds=7)
    assert (await get(port, "/metrics", headers=wrong)).status == 401
    await house.trail.drain()
    assert house.acts == [("", "sign_in_failed")]  # of a scraper with an old token one row is enough


# Roles


@pytest.mark.parametrize(
    ("token", "method", "path", "status"),
    [
        (VIEWER, "GET", "/metrics", 200),
        (VIEWER, "POST", "/admin/reload", 403),
        (VIEWER, "POST", "/explain", 403),
        (OPERATOR, "POST", "/admin/reload", 200),
        (OPERATOR, "POST", "/admin/keys", 403),
        (OWNER, "POST", "/admin/keys", 200),
        (VIEWER, "GET", "/teams/search", 200),
        (VIEWER, "GET", "/teams/", 404),
        (VIEWER, "GET", "/teams", 404),
    ],
)
async def test_each_may_do_what_his_role_may(house: House, token: object, method: str, path: str, status: int) -> None:
    assert token in house.tokens

    answer = await call(
        house.port(ROUTES),
        scope_of(path, method=method, headers=[bearer(token)]),  # type: ignore[arg-type]  # parameter
    )

    assert answer.status == status
    if status == 403:
        assert answer.error["code"] == "role_too_low"
        assert "needs the role" in str(answer.error["message"])


@pytest.mark.parametrize("method", ["GET", "PUT", "post", "OPTIONS"])
async def test_another_method_is_refused_with_the_one_that_is_allowed(port: AdminPort, method: str) -> None:
    answer = await call(port, scope_of("/admin/reload", method=method, headers=[bearer(OWNER)]))

    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.error["message"] == f"/admin/reload takes POST, not {method}."


@pytest.mark.parametrize(
    ("route", "why"),
    [
        (AdminRoute("GET", "/x", None, reached), "does not say which role"),  # type: ignore[arg-type]  # the mistake
        (AdminRoute("POST", "/x", Role.OWNER, reached), "does not say what of it is in the audit log"),
        (AdminRoute("GET", "/x", Role.OWNER, reached, Act.KEY_CREATED), "a link could ask for it"),
        (ROUTES[0], "stands in the table twice"),
    ],
)
def test_nothing_starts_with_a_route_that_says_too_little(house: House, route: AdminRoute, why: str) -> None:
    with pytest.raises(UnguardedRoute, match=why):
        house.port((*ROUTES, route))


# The audit log


async def test_what_changes_something_is_written_down_before_it_is_done(house: House, port: AdminPort) -> None:
    await post(port, "/admin/reload", bearer(OPERATOR))
    await post(port, "/explain", bearer(OPERATOR))
    await post(port, "/admin/keys", bearer(OPERATOR))  # refused
    await get(port, "/metrics", headers=[bearer(VIEWER)])

    assert house.acts == [("anna", "reload_asked")]
    assert house.log.rows[0].entry.origin == "127.0.0.1"


async def test_what_cannot_be_written_down_is_not_done(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("It is away.")

    monkeypatch.setattr(house.log, "append_audit", away)

    answer = await post(house.port(ROUTES), "/admin/reload", bearer(OPERATOR))

    assert (answer.status, answer.error["code"]) == (503, "store_unavailable")


# Browsers


@pytest.mark.parametrize(
    "headers",
    [
        [("origin", "http://evil.example"), ("host", "127.0.0.1:8001")],
        [("origin", "null"), ("host", "127.0.0.1:8001")],
        [("origin", "http://["), ("host", "127.0.0.1:8001")],
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],
    ],
)
async def test_what_a_page_of_somebody_else_sends_is_refused_whoever_is_signed_in(
    house: House, port: AdminPort, headers: list[tuple[str, str]]
) -> None:
    for credentials in (bearer(OWNER), house.cookie(OWNER)):
        answer = await post(port, "/explain", credentials, *headers)

        assert (answer.status, answer.error["code"]) == (403, "foreign_request")


async def test_a_session_is_for_pages_and_orders_of_programs_want_the_token(house: House, port: AdminPort) -> None:
    ours = [("origin", "http://127.0.0.1:8001"), ("host", "127.0.0.1:8001")]

    assert (await post(port, "/explain", house.cookie(OPERATOR), *ours)).status == 200
    assert (await post(port, "/admin/reload", house.cookie(OPERATOR), *ours)).status == 403
    assert (await get(port, "/metrics", headers=[house.cookie(VIEWER)])).status == 200


HTML = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8")


async def test_a_browser_is_sent_to_where_it_can_sign_in_and_back(port: AdminPort) -> None:
    answer = await call(port, scope_of("/teams/a b", headers=[HTML], query="x=1&y=2"))

    assert answer.status == 303
    assert answer.headers["location"] == "/sign-in?to=%2Fteams%2Fa%2520b%3Fx%3D1%26y%3D2"
    assert (await get(port, "/", headers=[HTML])).headers["location"] == "/sign-in"


async def test_a_part_of_a_page_is_told_where_to_sign_in(port: AdminPort) -> None:
    answer = await get(port, "/teams/x", headers=[HTML, ("hx-request", "true")])

    assert (answer.status, answer.headers["hx-redirect"]) == (401, "/sign-in")


async def test_a_link_from_elsewhere_is_followed_once_more_from_here_as_strict_cookies_do_not_come_with_it(
    port: AdminPort,
) -> None:
    answer = await call(port, scope_of('//evil.example/"><script>', headers=[HTML, ("sec-fetch-site", "cross-site")]))

    assert answer.status == 200
    assert b'content="0;url=/evil.example/%22%3E%3Cscript%3E"' in answer.body
    assert answer.headers["content-security-policy"] == "default-src 'none'"


async def test_a_person_is_shown_a_page_and_a_program_json(port: AdminPort) -> None:
    by_person = await get(port, "/nothing", headers=[bearer(VIEWER), HTML])
    by_program = await get(port, "/nothing", headers=[bearer(VIEWER)])
    below_admin = await get(port, "/admin/nothing", headers=[bearer(VIEWER), HTML])

    assert "x-page" in by_person.headers
    assert "x-page" not in by_program.headers
    assert "x-page" not in below_admin.headers
    assert {each.status for each in (by_person, by_program, below_admin)} == {404}


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("/", "", "/"),
        ("//evil.example", "", "/evil.example"),
        ("/\\evil.example", "", "/evil.example"),
        ("/a\r\nb", "x=\r\n", "/a%0D%0Ab?x=%0D%0A"),
        ("javascript:alert(1)", "", "/javascript:alert(1)"),
    ],
)
def test_a_target_is_a_path_of_this_port(path: str, query: str, target: str) -> None:
    assert local_target(path, query) == target


# Without tokens


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8001",
        "127.0.0.1:8001",
        "127.8.0.9",
        "[::1]:8001",
        "penstock.localhost:8001",
        "LOCALHOST",
    ],
)
async def test_without_a_token_whoever_calls_the_machine_by_its_own_name_is_let_in(house: House, host: str) -> None:
    answer = await get(house.port(ROUTES, is_open=True), "/metrics", headers=[("host", host)])

    assert answer.json == {"reached": "/metrics", "by": "local", "role": "owner"}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8001",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.7",
        "a@127.0.0.1",
        "[",
        "",
    ],
)
async def test_without_a_token_another_name_is_refused_as_it_may_have_been_rebound(house: House, host: str) -> None:
    answer = await get(house.port(ROUTES, is_open=True), "/teams/x", headers=[("host", host)])

    assert (answer.status, answer.error["code"]) == (421, "misdirected_request")
    assert "admin.token_env" in str(answer.error["message"])


async def test_a_probe_may_call_it_as_it_likes_and_so_may_who_opens_the_socket_of_a_file(house: House) -> None:
    elsewhere = [("host", "10.0.0.7:8001")]

    assert (await get(house.port(ROUTES, is_open=True), "/livez", headers=elsewhere)).status == 200
    assert (await get(house.port(ROUTES, is_open=True, is_local=True), "/metrics", headers=elsewhere)).status == 200


# Sessions


async def test_a_session_has_the_role_that_its_token_has_now(house: House, port: AdminPort) -> None:
    cookie = house.cookie(OPERATOR)
    assert (await get(port, "/metrics", headers=[cookie])).json["role"] == "operator"

    house.tokens = (replace(OPERATOR, role=Role.VIEWER), OWNER)

    assert (await get(port, "/metrics", headers=[cookie])).status == 401


@pytest.mark.parametrize("tokens", [(OWNER,), (OWNER, replace(OPERATOR, secret=Secret("rotated")))])
async def test_with_the_token_goes_the_session(house: House, port: AdminPort, tokens: tuple[object, ...]) -> None:
    cookie = house.cookie(OPERATOR)

    house.tokens = tokens  # type: ignore[assignment]  # parameters

    assert (await get(port, "/metrics", headers=[cookie])).status == 401


async def test_a_session_ends_when_nobody_was_there_and_after_half_a_day_in_any_case(
    house: House, port: AdminPort
) -> None:
    idle = house.cookie(VIEWER)
    house.later(minutes=29, seconds=59)
    assert (await get(port, "/metrics", headers=[idle])).status == 200
    house.later(seconds=1)
    assert (await get(port, "/metrics", headers=[idle])).status == 401

    cookie = house.cookie(VIEWER)
    for _ in range(12 * 4 - 1):
        house.later(minutes=15)
        answer = await get(port, "/metrics", headers=[cookie])
        assert answer.status == 200
        cookie = ("cookie", answer.headers["set-cookie"].partition(";")[0])
    house.later(minutes=15)

    assert (await get(port, "/metrics", headers=[cookie])).status == 401


async def test_what_a_page_asks_for_by_itself_keeps_nobody_signed_in(house: House, port: AdminPort) -> None:
    cookie = house.cookie(VIEWER)
    house.later(minutes=15)

    answer = await get(port, "/metrics", headers=[cookie, ("hx-request", "true")])

    assert answer.status == 200
    assert "set-cookie" not in answer.headers


async def test_a_cookie_of_http_is_no_cookie_of_https_and_two_are_none(house: House, port: AdminPort) -> None:
    _, plain = house.cookie(OWNER)
    _, secure = house.cookie(OWNER, is_secure=True)
    crossed = "__Host-penstock=" + plain.partition("=")[2]

    assert secure.startswith("__Host-penstock=")
    for cookie, status in ((plain, 200), (secure, 200), (crossed, 401), (f"{plain}; {plain}", 401)):
        assert (await get(port, "/metrics", headers=[("cookie", cookie)])).status == status


async def test_a_cookie_that_was_changed_in_any_byte_opens_nothing(house: House, port: AdminPort) -> None:
    name, cookie = house.cookie(VIEWER)
    begins = cookie.index("=") + 1

    for place in range(begins, len(cookie)):
        other = "A" if cookie[place] != "A" else "Q"
        changed = cookie[:place] + other + cookie[place + 1 :]
        assert (await get(port, "/metrics", headers=[(name, changed)])).status == 401, place


async def test_a_cookie_of_another_pepper_opens_nothing(house: House, port: AdminPort) -> None:
    cookie = house.cookie(OWNER)
    house.sessions = house.new_sessions(b"another")

    assert (await get(house.port(ROUTES), "/metrics", headers=[cookie])).status == 401
