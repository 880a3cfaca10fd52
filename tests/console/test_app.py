"""The console as a server sees it: headers, methods, forms from elsewhere, files, parts that have not changed."""

import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest
from starlette.types import ASGIApp

from router.assembly.house import assemble
from router.console.app import CONTENT_SECURITY_POLICY, NAVIGATION
from router.console.asking import Marks
from router.console.rendering import STATIC
from tests.benchmarks.console import shipped
from tests.server.asgi import Answer, body_in_parts, call, get, scope_of

pytestmark = pytest.mark.anyio

CHECKOUT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
HOST = ("host", "127.0.0.1:8001")
OURS = {"origin": "http://127.0.0.1:8001", "sec-fetch-site": "same-origin"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[ASGIApp]:
    """The admin port of a server that has never answered anything."""
    house = assemble(shipped(tmp_path))
    yield house.admin
    await house.close()


async def mark_of(admin: ASGIApp) -> str:
    found = re.search(r'name="mark" value="(\w+)"', (await get(admin, "/explain")).body.decode())
    assert found is not None
    return found[1]


async def post(admin: ASGIApp, path: str, form: Mapping[str, str], headers: Mapping[str, str] = OURS) -> Answer:
    scope = scope_of(path, method="POST", headers=[HOST, *headers.items()])
    return await call(admin, scope, body_in_parts(urlencode(form).encode()))


@pytest.mark.parametrize("path", [path for path, _ in NAVIGATION])
async def test_every_page_of_an_empty_house_is_there_and_says_what_will_stand_there(admin: ASGIApp, path: str) -> None:
    answer = await get(admin, path)

    assert answer.status == 200
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert b'class="nothing"' in answer.body or path in ("/models", "/teams")
    assert b"<style" not in answer.body
    assert b"style=" not in answer.body
    assert re.search(rb"<script(?! src=\"/static/)", answer.body) is None
    assert re.search(rb"\son\w+=", answer.body) is None


def test_the_policy_lets_nothing_run_that_stands_in_a_page_and_loads_nothing_from_elsewhere() -> None:
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY
    for directive in ("frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
        assert directive in CONTENT_SECURITY_POLICY


async def test_a_form_of_our_own_is_taken(admin: ASGIApp) -> None:
    form = {"mark": await mark_of(admin), "team": "search", "body": '{"model": "auto", "messages": []}'}

    answer = await post(admin, "/explain", form)

    assert answer.status in (200, 400)
    assert b"Not taken" not in answer.body


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example", "sec-fetch-site": "cross-site"},
        {"origin": "http://127.0.0.1:9999", "sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ],
)
@pytest.mark.parametrize("path", ["/explain", "/replay", "/replay/0123456789ab"])
async def test_a_form_from_elsewhere_is_refused_even_with_the_mark(
    admin: ASGIApp, path: str, headers: Mapping[str, str]
) -> None:
    answer = await post(admin, path, {"mark": await mark_of(admin), "team": "search", "body": "{}"}, headers)

    assert answer.status == 403
    assert b"This was not sent by a page of this console" in answer.body


@pytest.mark.parametrize("mark", [{}, {"mark": "0" * 64}, {"mark": "é"}])
async def test_a_form_without_our_mark_is_refused_whoever_sends_it(admin: ASGIApp, mark: Mapping[str, str]) -> None:
    answer = await post(admin, "/replay", {**mark, "period": "24h"})

    assert answer.status == 403


def test_a_mark_is_good_for_a_day_and_for_no_other_house_or_session() -> None:
    marks = Marks(b"secret")

    assert marks.is_ours(marks.of(NOW, "session 1"), NOW + timedelta(days=1), "session 1")
    assert not marks.is_ours(marks.of(NOW, "session 1"), NOW + timedelta(days=2), "session 1")
    assert not marks.is_ours(marks.of(NOW, "session 1"), NOW, "session 2")
    assert not Marks(b"another").is_ours(marks.of(NOW, "session 1"), NOW, "session 1")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/", 405), ("DELETE", "/requests", 405), ("PUT", "/explain", 405), ("GET", "/no/such/page", 404)],
)
async def test_what_is_not_there_or_not_taken_is_told_on_a_page(
    admin: ASGIApp, method: str, path: str, status: int
) -> None:
    answer = await call(admin, scope_of(path, method=method, headers=[HOST, ("accept", "text/html")]))

    assert answer.status == status
    assert b"<h1" in answer.body


async def test_a_form_that_is_too_large_is_refused_before_it_is_read(admin: ASGIApp) -> None:
    scope = scope_of("/replay", method="POST", headers=[HOST, *OURS.items()])

    answer = await call(admin, scope, body_in_parts(*[b"x" * 2**22] * 30))

    assert answer.status == 413


@pytest.mark.parametrize(("size", "is_refused"), [(64 * 1024, False), (64 * 1024 + 1, True)])
async def test_no_team_file_is_read_that_takes_a_second(admin: ASGIApp, size: int, *, is_refused: bool) -> None:
    form = {"mark": await mark_of(admin), "team_file": "team: search\n".ljust(size, "#")}

    answer = await post(admin, "/replay", form)

    assert answer.status == 400  # for another reason, where it is read: nothing was ever asked
    assert (b"The team file is longer than 65,536 bytes" in answer.body) is is_refused


async def test_a_part_that_has_not_changed_is_not_sent_again(admin: ASGIApp) -> None:
    first = await get(admin, "/live", query="seen=0000000000000000")
    seen = re.search(r"/live\?seen=(\w+)", first.body.decode())
    assert seen is not None

    again = await get(admin, "/live", query=f"seen={seen[1]}")

    assert (first.status, again.status, again.body) == (200, 204, b"")


@pytest.mark.parametrize("name", ["console.css", "console.js", "theme.js", "icon.svg", "vendor/htmx.min.js"])
async def test_files_of_the_package_are_kept_by_browsers_under_the_mark_of_their_content(
    admin: ASGIApp, name: str
) -> None:
    page = (await get(admin, "/")).body.decode()
    found = re.search(rf"/static/{re.escape(name)}\?(\w+)", page)
    assert found is not None

    answer = await get(admin, f"/static/{name}", query=found[1])

    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert hashlib.sha256(answer.body).hexdigest().startswith(found[1])
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/", "/static/vendor"]
)
async def test_no_other_file_is_ever_sent(admin: ASGIApp, path: str) -> None:
    assert (await get(admin, path)).status == 404


def test_what_is_vendored_is_what_was_published_and_has_its_licence() -> None:
    packages = msgspec.json.decode((STATIC / "vendor" / "vendored.json").read_bytes())
    named = {name: file["sha256"] for package in packages for name, file in package["files"].items()}

    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (STATIC / "vendor").iterdir()
        if path.name != "vendored.json"
    }

    assert found == named
    assert {package["licence"] for package in packages} == {"0BSD", "MIT"}
    assert all(any(name.endswith("LICENSE") for name in package["files"]) for package in packages)


def test_the_wheel_carries_templates_and_static_files(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )

    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    console = CHECKOUT / "router" / "console"
    ours = {
        path.relative_to(CHECKOUT).as_posix()
        for part in ("templates", "static")
        for path in (console / part).rglob("*")
        if path.is_file()
    }
    assert len(ours) > 15
    assert ours <= names
