"""Every page in a real browser, over real traffic: nothing goes wrong, nothing comes from elsewhere, all can be read.

One browser and one server for all of it: starting either takes longer than looking at ten pages.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from tests.console import chromium
from tests.console.screenshots import EXAMPLE, SIZES, Scheme, Size, explained, looking, pages, replayed
from tests.console.stage import EVIL, LONG, Stage, staged

DESKTOP, PHONE = SIZES

# Every text that can be seen, with the contrast of its colour and of what lies behind it; those below 4.5 (WCAG 2.2,
# 1.4.3; 3 where it is large).
FAINT = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const read = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = "#000";
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => top.slice(0, 3).map((each, place) => each * top[3] + under[place] * (1 - top[3]));
  const light = (rgb) => {
    const linear = (each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((each) => linear(each / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const chain = [];
    for (let each = element; each; each = each.parentElement) chain.push(each);
    let colour = [255, 255, 255];
    for (const each of chain.reverse()) {
      const style = getComputedStyle(each);
      colour = over(read(style.backgroundColor), colour);
      const gradient = style.backgroundImage.match(/rgba?\\([^)]*\\)/);
      if (gradient) colour = over(read(gradient[0]), colour);
    }
    return colour;
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.data.trim();
    const element = texts.currentNode.parentElement;
    if (!text || ["SCRIPT", "STYLE", "OPTION", "TITLE"].includes(element.tagName)) continue;
    const box = element.getBoundingClientRect();
    const style = getComputedStyle(element);
    if (!box.width || style.visibility === "hidden" || element.closest(".hidden, .skip, [hidden]")) continue;
    const isDrawn = element instanceof SVGElement;
    const under = isDrawn ? behind(element.closest("svg").parentElement) : behind(element);
    const ink = over(read(isDrawn ? style.fill : style.color), under);
    const [a, b] = [light(ink), light(under)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700) ? 3 : 4.5;
    if (ratio < least) found.push(`${text.slice(0, 40)} (${element.className}): ${ratio.toFixed(2)}`);
  }
  return [...new Set(found)];
}"""

# Controls without a name that can be spoken, tables without headings, drawings without words, duplicate ids.
UNNAMED = """() => {
  const found = [];
  const tell = (each) => found.push(each.outerHTML.slice(0, 90));
  const all = (selector) => [...document.querySelectorAll(selector)];
  for (const each of all("input:not([type=hidden]), select, textarea")) if (!each.labels.length) tell(each);
  const name = (each) => each.getAttribute("aria-label") || each.textContent.trim();
  for (const each of all("button, a[href]")) if (!name(each)) tell(each);
  for (const each of all("thead th")) if (!each.hasAttribute("scope")) tell(each);
  for (const each of all("svg:not([aria-hidden=true])")) if (!each.getAttribute("aria-label")) tell(each);
  const ids = all("[id]").map((each) => each.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`twice: ${id}`);
  for (const each of all("[aria-labelledby]"))
    if (!document.getElementById(each.getAttribute("aria-labelledby"))) tell(each);
  if (all("main").length !== 1 || all("h1").length !== 1) found.push("landmarks");
  for (const each of all("[style]:not(.chart *)")) tell(each);
  return found;
}"""

BROAD = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass  # Playwright keeps a mark of its own in whoever listens
class Watched:
    """What a page did that it should not."""

    origin: str
    wrong: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: self._told(message.type, message.text))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("request", lambda request: self._asked(request.url))
        page.on("dialog", self._opened)

    def _told(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.wrong.append(f"{kind}: {text}")  # what violates the policy of contents is one of these

    def _opened(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _asked(self, url: str) -> None:
        if not url.startswith((self.origin, "data:")):
            self.wrong.append(f"asked for {url}")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    chromium.require()
    with staged(tmp_path_factory.mktemp("stage"), past=300, is_hostile=True) as stage:
        yield stage


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium.require()
    with ExitStack() as stack:
        yield stack.enter_context(chromium.launched(stack.enter_context(sync_playwright())))


@pytest.fixture(scope="module")
def replay_path(browser: Browser, stage: Stage) -> str:
    with looking(browser, DESKTOP, "light") as page:
        return replayed(page, stage.console)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
def test_every_page_is_whole_readable_and_named_and_loads_nothing_from_elsewhere(
    browser: Browser, stage: Stage, replay_path: str, size: Size, scheme: Scheme
) -> None:
    watched, faults = Watched(stage.console), dict[str, list[str]]()
    with looking(browser, size, scheme) as page:
        watched.watch(page)
        for name, path in {**pages(stage), "replayed": replay_path, "nowhere": "/teams/nobody"}.items():
            if name == "explain":
                explained(page, stage.console)
            else:
                answer = page.goto(stage.console + path, wait_until="load")
                assert answer is not None
                assert answer.status == (404 if name == "nowhere" else 200)
            for details in page.locator("details > summary").all()[:3]:
                details.click()
            found = [*page.evaluate(FAINT), *page.evaluate(UNNAMED)]
            if page.evaluate(BROAD) > 0:
                found.append("wider than the window")
            if name == "nowhere" and not page.get_by_text("nobody").is_visible():
                found.append("does not say what is wrong")
            if found:
                faults[name] = found

    assert faults == {}
    assert [each for each in watched.wrong if "404" not in each] == []


def test_a_request_is_seen_on_the_overview_within_two_seconds_without_reloading(browser: Browser, stage: Stage) -> None:
    with looking(browser, DESKTOP, "light") as page:
        page.goto(f"{stage.console}/")
        body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9}
        last = [stage.proxy.chat("search", body).headers["x-request-id"] for _ in range(3)][-1]

        page.wait_for_selector(f"#live a[href='/requests/{last}']", timeout=2_600)  # the writer waits 0.1 s as well


def test_what_is_live_rests_while_nobody_looks(browser: Browser, stage: Stage) -> None:
    asked = list[str]()
    with looking(browser, DESKTOP, "light") as page:
        page.add_init_script("Object.defineProperty(document, 'hidden', {get: () => window.isHidden ?? false})")
        page.on("request", lambda request: asked.append(request.url))
        with page.expect_request(lambda request: "/live" in request.url, timeout=4_000):
            page.goto(f"{stage.console}/")
        page.evaluate("window.isHidden = true")
        before = len(asked)
        page.wait_for_timeout(2_500)  # longer than one beat: it is the browser's clock that must not bring a request
        while_hidden = len(asked) - before
        with page.expect_request(lambda request: "/live" in request.url, timeout=1_500):
            page.evaluate("window.isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")

    assert while_hidden == 0


def test_a_keyboard_alone_gets_from_the_top_to_a_request_and_its_decision(browser: Browser, stage: Stage) -> None:
    with looking(browser, DESKTOP, "light") as page:
        page.goto(f"{stage.console}/")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"

        page.goto(f"{stage.console}/requests")
        for _ in range(60):
            page.keyboard.press("Tab")
            if (page.evaluate("document.activeElement.getAttribute('href')") or "").startswith("/requests/"):
                break
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        page.keyboard.press("Enter")

        page.wait_for_selector("#h-decision")
        assert outline == "solid"


def test_colours_can_be_chosen_and_stay_chosen(browser: Browser, stage: Stage) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with looking(browser, DESKTOP, "light") as page:
        page.goto(f"{stage.console}/teams")
        light = page.evaluate(background)
        page.click("#theme")
        page.click("#theme")
        dark = page.evaluate(background)
        page.goto(f"{stage.console}/models")

        assert light != dark
        assert page.evaluate(background) == dark
        assert page.get_attribute("#theme", "aria-label") == "Colours: dark"


def test_requests_are_filtered_sorted_and_paged_by_the_form(browser: Browser, stage: Stage) -> None:
    with looking(browser, DESKTOP, "light") as page:
        page.goto(f"{stage.console}/requests")
        page.select_option("select[name=team]", "search")
        page.select_option("select[name=sort]", "dearest")
        page.click("button:has-text('Show')")
        told = page.locator("tbody tr td:nth-child(6)").all_inner_texts()
        teams = set(page.locator("tbody tr td:nth-child(2)").all_inner_texts())

        page.goto(f"{stage.console}/requests")
        first = set(page.locator("tbody th a").evaluate_all("all => all.map(each => each.href)"))
        page.click("#further")
        second = set(page.locator("tbody th a").evaluate_all("all => all.map(each => each.href)"))

    costs = [float(each.lstrip("$").replace(",", "")) for each in told]
    assert costs == sorted(costs, reverse=True)
    assert teams == {"search"}
    assert len(first) == 50
    assert second
    assert first.isdisjoint(second)


def test_an_explanation_shows_who_was_chosen_and_who_was_not_and_why(browser: Browser, stage: Stage) -> None:
    with looking(browser, DESKTOP, "light") as page:
        explained(page, stage.console)

        assert page.locator("tr.chosen").count() == 1
        assert page.locator(".plot circle.ring").count() == 1
        assert page.locator(".plot .floor").count() == 2
        assert "below quality" in page.inner_text("#decision")
        assert EXAMPLE in page.input_value("textarea[name=body]")


def test_a_request_that_cannot_be_read_is_told_in_words(browser: Browser, stage: Stage) -> None:
    with looking(browser, DESKTOP, "light") as page:
        page.goto(f"{stage.console}/explain")
        page.fill("textarea[name=body]", EVIL)
        page.click("button:has-text('Explain')")

        assert page.locator("[role=alert]").count() == 1
        assert page.input_value("textarea[name=body]") == EVIL


def test_a_team_file_that_would_not_be_served_is_told_by_line_and_column(browser: Browser, stage: Stage) -> None:
    with looking(browser, DESKTOP, "light") as page:
        page.goto(f"{stage.console}/replay")
        page.fill("#team_file", 'team: search\nbaseline: "<script>alert(1)</script>"\nbudgetz: []\n')
        page.click("button:has-text('Replay')")

        told = page.inner_text("[role=alert]")
        assert "search.yaml:3:1" in told
        assert page.locator("main script").count() == 0


def test_a_team_file_that_is_pasted_is_replayed_in_place_of_the_team_s_own(browser: Browser, stage: Stage) -> None:
    own = (stage.proxy.config / "teams" / "search.yaml").read_text()
    with looking(browser, DESKTOP, "light") as page:
        page.goto(f"{stage.console}/replay")
        page.select_option("select[name=period]", "1h")
        page.fill("#team_file", own.replace("0.92, of: best_candidate", "0.5, of: best_candidate"))
        page.click("button:has-text('Replay')")
        page.wait_for_selector("#run:not([hx-get])", timeout=60_000)

        assert "with a new file of team search" in page.inner_text("main")
        assert page.locator("#run .kpis").count() == 1


def test_hostile_names_in_the_ledger_are_shown_as_text(browser: Browser, stage: Stage) -> None:
    watched = Watched(stage.console)
    with looking(browser, PHONE, "dark") as page:
        watched.watch(page)
        told = list[str]()
        for path in ("/", "/requests", "/requests/req_evil", "/feedback", "/?range=7d"):
            page.goto(stage.console + path)
            told.append(page.locator("main").text_content() or "")
            assert page.locator("main script, main b > i").count() == 0
            assert page.evaluate(BROAD) <= 0

    assert all(EVIL in each for each in told[:3])
    assert LONG in told[2]
    assert watched.wrong == []


def test_hostile_addresses_are_answered_with_text(browser: Browser, stage: Stage) -> None:
    watched = Watched(stage.console)
    with looking(browser, PHONE, "light") as page:
        watched.watch(page)
        for path in (
            f"/requests?id={EVIL}&team={EVIL}&model={EVIL}&sort=newest",
            f"/requests/{LONG}{EVIL}",
            f"/teams/{EVIL}",
            f"/explain?request={EVIL}",
            f"/feedback?team={EVIL}",
            f"/replay/{EVIL}",
            "/requests?after=%FF%FE&sort=dearest",
            f"/requests?outcome={EVIL}",
            "/requests?until=0001-01-01T00:00&period=9z",
        ):
            answer = page.goto(stage.console + path)
            assert answer is not None
            assert answer.status in (200, 400, 404)
            assert page.locator("main script").count() == 0
            assert page.evaluate(BROAD) <= 0

    assert [each for each in watched.wrong if "Failed to load resource" not in each] == []
