"""Signing in and out: who may try how often, which cookies a browser gets, and that the audit log has it."""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from router.audit import Act
from router.roles import Role
from router.server.admin_port import AdminPort, AdminRoute
from tests.server.asgi import Answer, Incoming, body_in_parts, call, get, scope_of
from tests.server.doors import OPERATOR, House, reached

pytestmark = pytest.mark.anyio

HTTP = (("host", "127.0.0.1:8001"), ("origin", "http://127.0.0.1:8001"), ("sec-fetch-site", "same-origin"))
HTTPS = (("host", "penstock.example"), ("origin", "https://penstock.example"), ("sec-fetch-site", "same-origin"))
RIGHT = {"name": "anna", "token": "the token of anna"}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def port(house: House) -> AdminPort:
    return house.port([*house.signing_in(), AdminRoute("GET", "/", Role.VIEWER, reached)])


async def sign_in(
    port: AdminPort,
    form: Mapping[str, str] = RIGHT,
    headers: tuple[tuple[str, str], ...] = HTTP,
    address: str = "10.0.0.7",
) -> Answer:
    scope = scope_of("/sign-in", method="POST", headers=headers)
    scope["client"] = (address, 1)
    return await call(port, scope, body_in_parts(urlencode(form).encode()))


def cookies(answer: Answer) -> list[str]:
    return [value.decode() for name, value in answer.messages[0]["headers"] if name == b"set-cookie"]


async def test_who_has_a_token_gets_a_session_and_goes_where_he_wanted_to(house: House, port: AdminPort) -> None:
    answer = await sign_in(port, {**RIGHT, "to": "/requests?team=search"})

    session, device = cookies(answer)
    location = dict(answer.messages[0]["headers"])[b"location"]
    signed_in = await get(port, "/", headers=[("cookie", session.partition(";")[0])])
    await house.trail.drain()
    assert (answer.status, location) == (303, b"/requests?team=search")
    assert re.fullmatch(r"penstock-session=[\w.-]+; Path=/; HttpOnly; SameSite=Strict", session)
    assert re.fullmatch(r"penstock-device=[\w.-]+; Path=/; HttpOnly; SameSite=Strict; Max-Age=7776000", device)
    assert signed_in.json == {"reached": "/", "by": "anna", "role": "operator"}
    assert house.acts == [("anna", "signed_in")]
    assert house.log.rows[0].entry.origin == "10.0.0.7"


async def test_over_https_the_cookie_is_this_hosts_alone(port: AdminPort) -> None:
    session, device = cookies(await sign_in(port, headers=HTTPS))

    assert re.fullmatch(r"__Host-penstock=[\w.-]+; Path=/; HttpOnly; SameSite=Strict; Secure", session)
    assert device.startswith("__Host-penstock-device=")
    assert "; Secure" in device


@pytest.mark.parametrize("forwarded", [("x-forwarded-proto", "https"), ("forwarded", "proto=https")])
async def test_what_a_proxy_may_have_been_told_says_nothing_of_https(
    port: AdminPort, forwarded: tuple[str, str]
) -> None:
    session, _ = cookies(await sign_in(port, headers=(*HTTP, forwarded)))

    assert session.startswith("penstock-session=")


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"name": "anna"},
        {"token": "the token of anna"},
        {"name": "anna", "token": "the token of admin"},
        {"name": "eve", "token": "the token of anna"},
        {"name": "ANNA", "token": "the token of anna"},
        {"name": "the token of anna", "token": "anna"},
    ],
)
async def test_what_is_not_both_a_name_and_its_token_opens_nothing_and_is_not_written_down(
    house: House, port: AdminPort, form: Mapping[str, str]
) -> None:
    answer = await sign_in(port, form)

    await house.trail.drain()
    assert (answer.status, cookies(answer)) == (401, [])
    assert house.acts == [("", "sign_in_failed")]
    assert house.log.rows[0].entry.subject in ("anna", "another name")
    assert "token of" not in str(house.log.rows[0])


@pytest.mark.parametrize(
    "headers",
    [
        (("host", "127.0.0.1:8001"), ("origin", "http://evil.example")),
        (("host", "127.0.0.1:8001"), ("sec-fetch-site", "cross-site")),
    ],
)
async def test_nobody_is_signed_in_by_a_page_of_somebody_else(
    port: AdminPort, headers: tuple[tuple[str, str], ...]
) -> None:
    assert (await sign_in(port, headers=headers)).status == 403


async def test_who_is_wrong_too_often_waits_even_with_the_right_token(house: House, port: AdminPort) -> None:
    statuses = [(await sign_in(port, {"name": "anna", "token": "wrong"})).status for _ in range(11)]

    right = await sign_in(port)

    assert statuses == [401] * 10 + [429]
    assert (right.status, right.headers["retry-after"]) == (429, "6")
    assert (await sign_in(port, address="10.0.0.8")).status == 303
    house.later(seconds=7)
    assert (await sign_in(port)).status == 303


async def test_strangers_behind_the_same_address_cannot_lock_out_a_browser_that_was_here_before(
    port: AdminPort,
) -> None:
    device = ("cookie", cookies(await sign_in(port))[1].partition(";")[0])
    for _ in range(30):
        await sign_in(port, {"name": "anna", "token": "wrong"})

    assert (await sign_in(port)).status == 429
    assert (await sign_in(port, headers=(*HTTP, device))).status == 303
    forged = ("cookie", device[1][:-3] + "AAA")
    assert (await sign_in(port, headers=(*HTTP, forged))).status == 429


async def test_an_ipv6_network_of_one_household_counts_as_one(port: AdminPort) -> None:
    for number in range(10):
        await sign_in(port, {}, address=f"2001:db8:1:2::{number:x}")

    assert (await sign_in(port, address="2001:db8:1:2:ffff::1")).status == 429
    assert (await sign_in(port, address="2001:db8:1:3::1")).status == 303


@pytest.mark.parametrize(
    ("to", "target"),
    [
        ("//evil.example/", "/evil.example/"),
        ("/\\evil.example", "/evil.example"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nset-cookie: x=y", "/a%0D%0Aset-cookie:%20x=y"),
    ],
)
async def test_nobody_is_sent_elsewhere_after_he_has_signed_in(port: AdminPort, to: str, target: str) -> None:
    answer = await sign_in(port, {**RIGHT, "to": to})

    assert dict(answer.messages[0]["headers"])[b"location"].decode() == target


async def test_the_page_is_shown_to_who_is_not_signed_in_and_warns_where_others_may_read_along(
    house: House, port: AdminPort
) -> None:
    await get(port, "/sign-in", query="to=%2Fteams", headers=[("sec-fetch-site", "none")])
    await get(port, "/sign-in")
    again = await get(port, "/sign-in", query="to=%2Fteams", headers=[house.cookie(OPERATOR)])

    assert [(shown["to"], shown["is_plain"]) for shown in house.drawn] == [("/teams", False), ("/", True)]
    assert (again.status, again.headers["location"]) == (303, "/teams")


async def test_headers_that_come_twice_break_neither_the_page_nor_signing_in(port: AdminPort) -> None:
    twice = [("sec-fetch-site", "none")] * 2

    page = await get(port, "/sign-in", headers=twice)
    sent_there = await get(port, "/teams", headers=[("accept", "text/html"), *twice])
    signed_in = await sign_in(port, RIGHT, (*HTTPS, *HTTPS[1:]))

    assert (page.status, sent_there.status, signed_in.status) == (200, 303, 303)


async def test_where_the_port_asks_for_no_token_there_is_nothing_to_sign_in_for(house: House) -> None:
    port = house.port(house.signing_in(is_open=True), is_open=True)

    assert (await get(port, "/sign-in")).headers["location"] == "/"


async def test_a_form_that_is_too_large_or_never_ends_signs_nobody_in(port: AdminPort) -> None:
    scope = scope_of("/sign-in", method="POST", headers=HTTP)

    assert (await call(port, scope, body_in_parts(b"name=" + b"x" * 9_000))).status == 413
    assert (await call(port, dict(scope), Incoming())).messages == []


async def test_signing_out_ends_the_session_for_whoever_has_its_cookie_in_every_process(
    house: House, port: AdminPort
) -> None:
    session = ("cookie", cookies(await sign_in(port))[0].partition(";")[0])
    elsewhere, their_trail = house.new_sessions(), house.new_trail()
    their_trail.follow(Act.SIGNED_OUT, lambda row: elsewhere.end(row.entry.subject), back=timedelta(hours=12))
    their_trail.look()
    assert elsewhere.of(scope_of(headers=[session])) is not None

    out = await call(port, scope_of("/sign-out", method="POST", headers=[*HTTP, session]))
    await house.trail.drain()
    their_trail.look()

    assert out.status == 303
    assert all("Max-Age=0" in each for each in cookies(out))
    assert (await get(port, "/", headers=[session])).status == 401
    assert elsewhere.of(scope_of(headers=[session])) is None
    assert house.acts == [("anna", "signed_in"), ("anna", "signed_out")]
