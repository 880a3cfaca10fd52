"""Debian's Chromium, driven by Playwright."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright

PROGRAM = Path("/usr/bin/chromium")

# Nothing that it does by itself may look like something that a page has asked for.
_SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def launched(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=PROGRAM, args=list(_SWITCHES))
    try:
        yield browser
    finally:
        browser.close()


def require() -> None:
    """Skip the test where there is no Chromium; in CI that is an error."""
    if PROGRAM.exists():
        return
    reason = "Chromium is not installed (Debian: chromium)"
    if os.environ.get("CI") == "true":  # noqa: TID251 - of the tests, not of the package
        pytest.fail(reason)
    pytest.skip(reason)
