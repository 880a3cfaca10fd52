"""`make screenshots`: every page on a desk and a phone, light and dark: `python -m tests.console.screenshots DIR`."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.console.chromium import launched
from tests.console.stage import Stage, staged

Scheme = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Size:
    name: str
    width: int
    height: int


SIZES = (Size("desktop", 1280, 900), Size("phone", 390, 844))
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

_SHOWN = ("overview", "explain", "models")  # in docs/console
_MOST_HIGH = 1_560

EXAMPLE = '{"model": "auto", "messages": [{"role": "user", "content": "Prove that there are infinitely many primes."}]}'


def pages(stage: Stage) -> dict[str, str]:
    """Where each is, by its name."""
    return {
        "overview": "/?range=30d",
        "requests": "/requests",
        "request": f"/requests/{stage.request_ids[-3]}",
        "explain": "/explain",
        "replay": "/replay",
        "models": "/models",
        "teams": "/teams",
        "team": "/teams/search",
        "feedback": "/feedback",
        "audit": "/audit",
    }


def explained(page: Page, console: str) -> None:
    """The page Explain with an answer."""
    page.goto(f"{console}/explain")
    page.select_option("#team", "research")
    page.fill("textarea[name=body]", EXAMPLE)
    page.click("button:has-text('Explain')")
    page.wait_for_selector("#decision")


def replayed(page: Page, console: str) -> str:
    """A replay that has ended; its path."""
    page.goto(f"{console}/replay")
    page.select_option("select[name=period]", "1h")
    options = page.locator("select[name=against] option").all_inner_texts()
    page.select_option("select[name=against]", next(each for each in options if each.endswith("thrifty")))
    page.click("button:has-text('Replay')")
    page.wait_for_selector("#run:not([hx-get])", timeout=60_000)
    return page.url.removeprefix(console)


@contextmanager
def looking(browser: Browser, size: Size, scheme: Scheme) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": size.width, "height": size.height}, color_scheme=scheme, device_scale_factor=1
    )
    try:
        yield context.new_page()
    finally:
        context.close()


def take(stage: Stage, directory: Path) -> None:
    with sync_playwright() as playwright, launched(playwright) as browser:
        with looking(browser, SIZES[0], "light") as page:
            replay = replayed(page, stage.console)
        for size in SIZES:
            for scheme in SCHEMES:
                with looking(browser, size, scheme) as page:
                    for name, path in {**pages(stage), "replayed": replay}.items():
                        if name == "explain":
                            explained(page, stage.console)
                        else:
                            page.goto(stage.console + path)
                        page.wait_for_load_state("networkidle")
                        page.screenshot(path=directory / f"{name}-{size.name}-{scheme}.png", full_page=True)


def compress(source: Path, target: Path) -> None:
    """A picture of few colours, as pages are, in a third of its size."""
    with Image.open(source) as picture:
        upper = picture.convert("RGB").crop((0, 0, picture.width, min(picture.height, _MOST_HIGH)))
        upper.quantize(128, dither=Image.Dither.NONE).save(target, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--past", type=int, default=20_000, help="entries of the month before")
    parser.add_argument("--docs", type=Path, help="where to put the few that the documentation shows")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as directory, staged(Path(directory), past=arguments.past, is_slow=True) as stage:
        take(stage, arguments.directory)
    if arguments.docs is not None:
        arguments.docs.mkdir(parents=True, exist_ok=True)
        for name in _SHOWN:
            compress(arguments.directory / f"{name}-desktop-light.png", arguments.docs / f"{name}.png")


if __name__ == "__main__":
    main()
