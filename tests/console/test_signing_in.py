"""The sign-in page in a real browser, and what a session shows: by role, in both colours, on a desk and a phone."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.console import chromium
from tests.console.screenshots import SCHEMES, SIZES, Scheme, Size
from tests.console.test_pages import BROAD, FAINT, UNNAMED
from tests.torture.ports import Served, served

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_person_signs_in_sees_what_the_role_may_and_signs_out(tmp_path: Path) -> None:
    chromium.require()
    async with served(tmp_path) as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium.PROGRAM, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        for size in SIZES:
            for scheme in SCHEMES:
                await _visited(browser, server, size, scheme)
        await browser.close()


async def _visited(browser: Browser, server: Served, size: Size, scheme: Scheme) -> None:
    role = "viewer" if scheme == "light" else "operator"
    context = await browser.new_context(
        viewport={"width": size.width, "height": size.height}, color_scheme=scheme, device_scale_factor=1
    )
    page = await context.new_page()
    console = f"http://127.0.0.1:{server.admin.port}"

    await page.goto(f"{console}/replay")
    assert page.url == f"{console}/sign-in?to=%2Freplay"
    await _is_readable(page)
    await _signed_in(page, role, "not the token")
    assert "That is not the name" in await page.inner_text("[role=alert]")
    await _is_readable(page)

    await _signed_in(page, role, server.text_of(role))
    assert page.url == f"{console}/replay"
    await _is_readable(page)
    assert await page.locator("a[href='/explain']").count() == (role == "operator")
    await page.goto(f"{console}/explain")
    assert await page.locator("form[action='/explain'][method=post]").count() == (role == "operator")
    await _is_readable(page)
    (session,) = [each for each in await context.cookies() if each["name"] == "penstock-session"]
    assert (session["httpOnly"], session["sameSite"]) == (True, "Strict")
    assert await page.evaluate("() => document.cookie") == ""

    await page.click("text=Sign out")
    assert page.url == f"{console}/sign-in"
    await context.add_cookies([{"name": session["name"], "value": session["value"], "url": console}])
    await page.goto(f"{console}/audit")
    assert page.url == f"{console}/sign-in?to=%2Faudit"  # whoever has kept the cookie
    await context.close()


async def _signed_in(page: Page, role: str, token: str) -> None:
    await page.fill("input[name=name]", f"a-{role}")
    await page.fill("input[name=token]", token)
    await page.click("button.primary")
    await page.wait_for_load_state()


async def _is_readable(page: Page) -> None:
    assert await page.evaluate(FAINT) == []
    assert await page.evaluate(UNNAMED) == []
    assert await page.evaluate(BROAD) <= 0
