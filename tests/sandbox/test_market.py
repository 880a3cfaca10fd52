"""Prices and names that change while requests go on: the list shows it, and the bill follows at once."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from router.sandbox.billing import Charge, Tokens, charge
from router.sandbox.offer import Rates
from tests.sandbox import reading
from tests.sandbox.conftest import RunningSandbox

FLASH = "deepseek/deepseek-v4-flash"


@pytest.fixture(autouse=True)
def _as_before(sandbox: RunningSandbox) -> Iterator[None]:
    yield
    sandbox.http.delete("/sandbox/market")


def listed(sandbox: RunningSandbox, model: str = FLASH) -> dict[str, Any]:
    [found] = [each for each in sandbox.http.get("/api/v1/models").json()["data"] if each["id"] == model]
    return dict(found)


def change(sandbox: RunningSandbox, **wish: object) -> int:
    return sandbox.http.patch("/sandbox/market", json=wish).status_code


def cost_usd(sandbox: RunningSandbox, **fields: object) -> Decimal:
    usage = sandbox.ask("What is a penstock?", max_tokens=20, **fields).json()["usage"]
    return Decimal(str(usage["cost"]))


def test_a_new_price_is_listed_and_billed_at_once(sandbox: RunningSandbox) -> None:
    before = cost_usd(sandbox)

    assert change(sandbox, models={FLASH: {"times": "3"}}) == 200

    assert listed(sandbox)["pricing"]["prompt"] == "0.000000315"
    assert cost_usd(sandbox) == 3 * before


def test_single_prices_and_fees_can_be_set(sandbox: RunningSandbox) -> None:
    before = cost_usd(sandbox)

    change(sandbox, models={FLASH: {"pricing": {"request": "0.001", "input_cache_read": None}}})

    assert listed(sandbox)["pricing"] == {"prompt": "0.000000105", "completion": "0.00000021", "request": "0.001"}
    assert cost_usd(sandbox) == before + Decimal("0.001")


def test_an_image_costs_its_fee_beside_its_tokens() -> None:
    rates = Rates(Decimal(1), Decimal(2), request=Decimal(10), image=Decimal(100))

    assert charge(Tokens(3, 0, 0, 4, 0), rates, images=2) == Charge(Decimal(213), Decimal(8))


def test_a_name_can_be_put_on_another_version_and_replies_can_tell_it(sandbox: RunningSandbox) -> None:
    change(sandbox, models={FLASH: {"canonical_slug": "deepseek/deepseek-v4.1-flash"}}, reply_model="version")

    assert listed(sandbox)["canonical_slug"] == "deepseek/deepseek-v4.1-flash"
    assert sandbox.ask().json()["model"] == "deepseek/deepseek-v4.1-flash"


def test_the_list_can_show_what_is_not_billed(sandbox: RunningSandbox) -> None:
    before = cost_usd(sandbox)

    change(sandbox, models={FLASH: {"shown": {"prompt": "-1", "completion": "-1"}}})

    assert listed(sandbox)["pricing"] == {"prompt": "-1", "completion": "-1"}
    assert cost_usd(sandbox) == before


def test_the_list_can_be_down_broken_or_empty_while_answers_go_on(sandbox: RunningSandbox) -> None:
    change(sandbox, listing="down")
    assert sandbox.http.get("/api/v1/models").status_code == 503
    change(sandbox, listing="broken")
    with pytest.raises(ValueError, match=r"JSON|Unterminated|Expecting"):
        sandbox.http.get("/api/v1/models").json()
    change(sandbox, listing="empty")
    assert sandbox.http.get("/api/v1/models").json()["data"] == []

    assert sandbox.ask().status_code == 200


@pytest.mark.parametrize(
    "wish",
    [
        {"weather": "rain"},
        {"listing": "gone"},
        {"models": {"nobody/nothing": {}}},
        {"models": {FLASH: {"pricing": {"prompt": None}}}},
        {"models": {FLASH: {"pricing": {"prompt": "-1"}}}},
        {"models": {FLASH: {"pricing": {"audio": "1"}}}},
        {"models": {FLASH: {"times": "much"}}},
        {"models": [FLASH]},
    ],
)
def test_a_wish_that_is_not_understood_changes_nothing(sandbox: RunningSandbox, wish: dict[str, object]) -> None:
    assert change(sandbox, **wish) == 400

    assert sandbox.http.get("/sandbox/market").json()["changed"] == []


def test_the_list_can_come_in_pages_unasked(own_sandbox: RunningSandbox) -> None:
    own_sandbox.http.patch("/sandbox/market", json={"page_size": 4}).raise_for_status()

    path, found = "/api/v1/models", []
    while path:
        page = own_sandbox.http.get(path).json()
        found.append(len(page["data"]))
        path = page["links"]["next"]

    assert found == [4, 4, 4, 3]


def test_the_list_can_hold_what_nobody_can_ask_for(own_sandbox: RunningSandbox) -> None:
    own_sandbox.http.patch("/sandbox/market", json={"oddities": True}).raise_for_status()

    models = {model["id"]: model for model in own_sandbox.http.get("/api/v1/models").json()["data"]}

    assert models["openrouter/auto"]["pricing"] == {"prompt": "-1", "completion": "-1"}
    assert models[f"{FLASH}:batch"]["pricing"]["prompt"] == "0.0000000525"
    assert models[f"~{FLASH}-latest"]["alias_target"]["slug"] == FLASH
    assert models["openrouter/unlimited"]["top_provider"]["max_completion_tokens"] is None
    assert own_sandbox.ask(model=f"{FLASH}:batch").status_code == 400


def test_any_member_of_a_listed_model_can_be_shown_otherwise(own_sandbox: RunningSandbox) -> None:
    limits = {"context_length": None, "max_completion_tokens": None, "is_moderated": False}
    own_sandbox.http.patch("/sandbox/market", json={"models": {FLASH: {"listed": {"top_provider": limits}}}})

    models = {model["id"]: model for model in own_sandbox.http.get("/api/v1/models").json()["data"]}

    assert models[FLASH]["top_provider"] == limits
    assert "prompt" in models[FLASH]["pricing"]


def test_prices_can_follow_the_hour(own_sandbox: RunningSandbox) -> None:
    """The windows lie about the clock of the tests, whatever hour it stands at."""
    hour = own_sandbox.clock().hour
    now, later = hour * 100, (hour + 2) % 24 * 100
    peak = {"utc": [[now, later]], "prompt": "0.00000021", "completion": "0.00000042"}
    own_sandbox.http.patch("/sandbox/market", json={"models": {FLASH: {"peak": peak}}}).raise_for_status()

    def completion_price() -> Decimal:
        usage = reading.usage(own_sandbox.ask())
        return Decimal(usage["cost_details"]["upstream_inference_completions_cost"] / usage["completion_tokens"])

    at_peak = listed(own_sandbox)["pricing"], completion_price()
    own_sandbox.clock.advance(timedelta(hours=3))
    off_peak = listed(own_sandbox)["pricing"], completion_price()

    assert (at_peak[0]["completion"], at_peak[1]) == ("0.00000042", Decimal("0.00000042"))
    assert (off_peak[0]["completion"], off_peak[1]) == ("0.00000021", Decimal("0.00000021"))
    windows = [(each["utc_start"], each["utc_end"], each["completion"]) for each in off_peak[0]["overrides"]]
    assert windows == [(now, later, "0.00000042"), (later, now, "0.00000021")]
