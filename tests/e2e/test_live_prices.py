"""A running server follows its provider's prices: real processes, real sockets, and the sandbox's bill as judge."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest

from tests.e2e.conftest import Proxy, Sandbox, running_proxy
from tests.waiting import eventually

FLASH, V3_2 = "deepseek/deepseek-v4-flash", "deepseek/deepseek-v3.2"
_CONFIRM_S = 8  # long enough to ask something in between, on a busy machine

# Flash costs 0.105/0.21 in the sandbox, V3.2 0.26/0.38: between them price decides.
_TEAM = f"""
team: thrifty
aliases:
  auto: {{policy: cheap}}
policies:
  cheap:
    candidates: [{FLASH}, {V3_2}]
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxy")


@pytest.fixture(scope="module")
def own_proxy(own_sandbox: Sandbox, directory: Path) -> Iterator[Proxy]:
    def with_thrifty_team(config: Path) -> None:
        (config / "teams" / "thrifty.yaml").write_text(_TEAM)

    program = ("-m", "tests.e2e.impatient_server", str(_CONFIRM_S))
    with running_proxy(directory, own_sandbox.base_url, edit=with_thrifty_team, program=program) as proxy:
        eventually(lambda: metric(proxy, "penstock_price_age_seconds", provider="openrouter") < 5, within_s=20)
        yield proxy


@pytest.fixture(autouse=True)
def _as_in_stock(own_sandbox: Sandbox, own_proxy: Proxy) -> Iterator[None]:
    """Every test begins at the sandbox's own prices, and the proxy knows them."""
    yield
    own_sandbox.http.delete("/sandbox/market")
    eventually(lambda: shown(own_proxy)["input"] == "0.105", within_s=4 * _CONFIRM_S)


def market(sandbox: Sandbox, **wish: object) -> None:
    sandbox.http.patch("/sandbox/market", json=wish).raise_for_status()


def ask(proxy: Proxy, model: str = "auto", text: str = "Tell me about tea.") -> httpx2.Response:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 300}
    reply = proxy.chat("thrifty", body)
    assert reply.status_code == 200, reply.text
    return reply


def metric(proxy: Proxy, name: str, **labels: str) -> float:
    pattern = name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "} "
    found = [line for line in proxy.metrics().splitlines() if line.startswith(pattern)]
    return float(found[0].removeprefix(pattern)) if found else float("inf") if "age" in name else 0.0


def changes(proxy: Proxy) -> float:
    return metric(proxy, "penstock_price_changes_total", model=FLASH)


def shown(proxy: Proxy) -> dict[str, str]:
    """What `penstock models` says of Flash at OpenRouter."""
    rows = json.loads(proxy.command("models", "--json"))
    [row] = [row for row in rows if (row["model"], row["provider"]) == (FLASH, "openrouter")]
    return dict(row)


def requests(proxy: Proxy) -> list[dict[str, object]]:
    """The newest first."""
    found: list[dict[str, object]] = proxy.http.get(f"{proxy.admin_url}/admin/requests").json()["requests"]
    return found


def books_agree(proxy: Proxy, sandbox: Sandbox) -> None:
    eventually(lambda: proxy.spend_nano_usd() == sandbox.bill_nano_usd(), within_s=10)
    assert sandbox.bill_nano_usd() > 0


def test_the_next_request_after_a_change_goes_by_the_new_price_and_the_ledger_keeps_the_one_used(
    own_proxy: Proxy, own_sandbox: Sandbox
) -> None:
    """Replies without a cost, so that ours is worked out from tokens at our own price, fee included."""
    silent = "[sandbox:fault=no-cost] Tell me about tea."
    assert ask(own_proxy, text=silent).headers["x-penstock-model"] == FLASH
    before = changes(own_proxy)

    market(own_sandbox, models={FLASH: {"times": "2.5"}, V3_2: {"pricing": {"prompt": "0.00000025"}}})
    eventually(lambda: changes(own_proxy) == before + 1, within_s=20)

    assert ask(own_proxy, text=silent).headers["x-penstock-model"] == V3_2
    assert ask(own_proxy, FLASH, silent).headers["x-penstock-model"] == FLASH
    books_agree(own_proxy, own_sandbox)
    second, _, first = requests(own_proxy)[:3]
    usual = Decimal("105") * int(str(first["input_tokens"])) + Decimal("210") * int(str(first["output_tokens"]))
    dearer = Decimal("262.5") * int(str(second["input_tokens"])) + Decimal("525") * int(str(second["output_tokens"]))
    assert first["cost_nano_usd"] == round(usual)
    assert second["cost_nano_usd"] == round(dearer)
    assert {first["source"], second["source"]} == {"computed"}


def test_a_leap_is_held_back_until_it_is_read_again_and_the_money_is_safe_meanwhile(
    own_proxy: Proxy, own_sandbox: Sandbox, directory: Path
) -> None:
    before, log = changes(own_proxy), directory / "proxy.log"
    said = log.read_text().count(f"{FLASH} leaps")

    market(own_sandbox, models={FLASH: {"times": "4"}})
    eventually(lambda: log.read_text().count(f"{FLASH} leaps") > said, within_s=20)
    meanwhile = ask(own_proxy).headers["x-penstock-model"]
    held = own_sandbox.last_request()["provider"]
    still_before = changes(own_proxy)
    eventually(lambda: changes(own_proxy) == before + 1, within_s=4 * _CONFIRM_S)

    assert (meanwhile, still_before) == (FLASH, before)
    assert held == {"max_price": {"prompt": "0.42", "completion": "0.84"}}
    assert ask(own_proxy).headers["x-penstock-model"] == V3_2
    books_agree(own_proxy, own_sandbox)


def test_a_leap_that_was_a_slip_never_counts(own_proxy: Proxy, own_sandbox: Sandbox, directory: Path) -> None:
    before, log = changes(own_proxy), directory / "proxy.log"
    said = log.read_text().count(f"{FLASH} leaps")

    market(own_sandbox, models={FLASH: {"shown": {"prompt": "0", "completion": "0"}}})
    eventually(lambda: log.read_text().count(f"{FLASH} leaps") > said, within_s=20)
    market(own_sandbox, models={FLASH: {"shown": None}})
    ask(own_proxy)

    assert changes(own_proxy) == before
    assert shown(own_proxy)["input"] == "0.105"


def test_without_a_price_a_model_is_not_chosen_and_that_is_said_and_counted(
    own_proxy: Proxy, own_sandbox: Sandbox, directory: Path
) -> None:
    market(own_sandbox, models={FLASH: {"shown": {"prompt": "-1", "completion": "-1"}}})
    eventually(lambda: "its price for `prompt` is -1" in (directory / "proxy.log").read_text(), within_s=20)

    assert ask(own_proxy).headers["x-penstock-model"] == V3_2
    eventually(lambda: metric(own_proxy, "penstock_unpriced_requests_total", model=FLASH) >= 1, within_s=10)


@pytest.mark.parametrize("listing", ["down", "broken", "empty"])
def test_while_the_list_cannot_be_read_requests_go_on_and_the_age_of_prices_grows(
    own_proxy: Proxy, own_sandbox: Sandbox, directory: Path, listing: str
) -> None:
    said = (directory / "proxy.log").read_text().count("could not be read")

    market(own_sandbox, listing=listing)
    eventually(lambda: (directory / "proxy.log").read_text().count("could not be read") > said, within_s=20)
    eventually(lambda: metric(own_proxy, "penstock_price_age_seconds", provider="openrouter") > 2, within_s=20)

    assert ask(own_proxy).headers["x-penstock-model"] == FLASH
    books_agree(own_proxy, own_sandbox)
    market(own_sandbox, listing="ok")
    eventually(lambda: metric(own_proxy, "penstock_price_age_seconds", provider="openrouter") < 2, within_s=20)


def test_a_name_that_moves_is_logged_counted_and_booked(
    own_proxy: Proxy, own_sandbox: Sandbox, directory: Path
) -> None:
    old, new = f"{FLASH}-20260423", "deepseek/deepseek-v4.1-flash-20260915"
    ask(own_proxy)
    eventually(lambda: requests(own_proxy)[0]["version"] == old, within_s=10)

    market(own_sandbox, models={FLASH: {"canonical_slug": new}})
    eventually(lambda: metric(own_proxy, "penstock_model_repointed_total", model=FLASH) == 1, within_s=20)
    ask(own_proxy, text="By the name alone.")
    by_name = latest_after(own_proxy, "By the name alone.")
    market(own_sandbox, reply_model="version")
    ask(own_proxy, text="By the reply's own word.")
    by_reply = latest_after(own_proxy, "By the reply's own word.")

    assert f"openrouter:{FLASH} was re-pointed from {old} to {new}" in (directory / "proxy.log").read_text()
    assert (by_name["served_model"], by_name["version"]) == (FLASH, new)
    assert (by_reply["served_model"], by_reply["version"]) == (new, new)
    assert shown(own_proxy)["version"] == new
    assert metric(own_proxy, "penstock_unrated_version_answers_total", model=FLASH, provider="openrouter") == 2
    books_agree(own_proxy, own_sandbox)


def latest_after(proxy: Proxy, _: str) -> dict[str, object]:
    """The newest request, once everything is in the ledger."""
    eventually(lambda: metric(proxy, "penstock_in_flight_requests") == 0, within_s=10)
    eventually(lambda: bool(re.search(r"^penstock_ledger_lag_seconds 0\.0$", proxy.metrics(), re.M)), within_s=10)
    return requests(proxy)[0]


def test_the_command_shows_whose_price_is_in_force_and_when_it_was_checked(own_proxy: Proxy) -> None:
    eventually(lambda: shown(own_proxy)["version"] == f"{FLASH}-20260423", within_s=20)

    row = shown(own_proxy)

    assert (row["input"], row["price_from"]) == ("0.105", "openrouter /models")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", row["checked"])


def test_a_patient_server_takes_up_what_the_command_has_read(own_sandbox: Sandbox, tmp_path: Path) -> None:
    with running_proxy(tmp_path, own_sandbox.base_url) as proxy:
        eventually(lambda: shown(proxy)["price_from"] == "openrouter /models", within_s=20)
        market(own_sandbox, models={FLASH: {"times": "1.5"}})

        rows = json.loads(proxy.command("models", "--refresh", "--json"))

        assert "0.1575" in [row["input"] for row in rows if row["model"] == FLASH]
        eventually(lambda: changes(proxy) == 1, within_s=30)
