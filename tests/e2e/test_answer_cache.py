"""A team's cache: the same question is answered as before and costs nothing; nobody else's ever is."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Proxy, Sandbox, running_proxy
from tests.waiting import eventually

COLD: dict[str, object] = {
    "model": "auto",
    "max_tokens": 60,
    "temperature": 0,
    "messages": [{"role": "user", "content": "Tell me about tea."}],
}
WARM = {**COLD, "temperature": 0.7}


@pytest.fixture(scope="module")
def proxy(own_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Search caches where the same answer is to be expected, research always, and a third team never."""

    def cache(config: Path) -> None:
        teams = config / "teams"
        search = teams.joinpath("search.yaml").read_text()
        for team, section in (("search", "cache: {ttl_s: 600}"), ("always", "cache: {ttl_s: 600, when: always}")):
            text = search.replace("team: search", f"team: {team}")
            teams.joinpath(f"{team}.yaml").write_text(f"{text}\n{section}\n")

    with running_proxy(tmp_path_factory.mktemp("cache"), own_sandbox.base_url, edit=cache) as proxy:
        yield proxy


def question(body: dict[str, object], text: str) -> dict[str, object]:
    return {**body, "messages": [{"role": "user", "content": text}]}


def test_the_same_question_is_answered_as_before_for_nothing(proxy: Proxy, own_sandbox: Sandbox) -> None:
    first = proxy.chat("search", COLD)
    paid = own_sandbox.bill_nano_usd()

    again = proxy.chat("search", COLD)

    assert (first.headers["x-penstock-cache"], again.headers["x-penstock-cache"]) == ("miss", "hit")
    assert again.content == first.content
    assert again.headers["x-penstock-cost-usd"] == "0.00"
    assert again.headers["x-original-request-id"] == first.headers["x-request-id"]
    assert again.headers["x-penstock-model"] == first.headers["x-penstock-model"]
    assert 0 <= int(again.headers["age"]) < 60
    assert own_sandbox.bill_nano_usd() == paid


def test_a_hit_is_booked_at_zero_with_what_it_saved(proxy: Proxy, own_sandbox: Sandbox) -> None:
    body = question(COLD, "Tell me about the sea.")
    first = proxy.chat("search", body)
    spent, saved = proxy.spend_nano_usd(), metric(proxy, "penstock_saved_usd_total", 'team="search"')

    hit = proxy.chat("search", body)

    would_have_cost = float(first.headers["x-penstock-cost-usd"]) + float(first.headers["x-penstock-saved-usd"])
    assert float(hit.headers["x-penstock-saved-usd"]) == pytest.approx(would_have_cost)
    eventually(lambda: metric(proxy, "penstock_requests_total", 'outcome="cached"') >= 1, within_s=10)
    assert metric(proxy, "penstock_saved_usd_total", 'team="search"') - saved == pytest.approx(would_have_cost)
    assert proxy.spend_nano_usd() == spent
    rows = json.loads(proxy.command("spend", "--by", "outcome", "--json"))
    assert [row["cost_nano_usd"] for row in rows if row["outcome"] == "cached"] == [0]


def test_a_stream_is_given_again_as_a_stream_and_apart_from_a_whole_answer(proxy: Proxy) -> None:
    body = {**question(COLD, "Tell me about rain."), "stream": True}
    first = proxy.chat("search", body)
    eventually(
        lambda: "penstock_in_flight_requests 0.0" in proxy.metrics(), within_s=10
    )  # a stream is kept after its end
    again = proxy.chat("search", body)
    whole = proxy.chat("search", question(COLD, "Tell me about rain."))

    assert again.headers["x-penstock-cache"] == "hit"
    assert again.content == first.content
    assert again.content.endswith(b"data: [DONE]\n\n")
    assert again.headers["content-type"].startswith("text/event-stream")
    assert whole.headers["x-penstock-cache"] == "miss"


def test_another_team_another_body_and_another_control_are_other_questions(proxy: Proxy) -> None:
    body = question(COLD, "Tell me about snow.")
    proxy.chat("search", body)

    assert proxy.chat("always", body).headers["x-penstock-cache"] == "miss"
    assert proxy.chat("search", {**body, "max_tokens": 61}).headers["x-penstock-cache"] == "miss"
    assert proxy.chat("search", {**body, "user": "7"}).headers["x-penstock-cache"] == "miss"
    assert proxy.chat("search", body, x_penstock_min_quality="0.1").headers["x-penstock-cache"] == "miss"
    assert proxy.chat("search", body, x_penstock_tags="batch").headers["x-penstock-cache"] == "hit"


def test_what_is_drawn_is_cached_only_by_who_wants_that(proxy: Proxy) -> None:
    body = question(WARM, "Tell me about fog.")

    search = [proxy.chat("search", body) for _ in range(2)]
    always = [proxy.chat("always", body) for _ in range(2)]
    research = [proxy.chat("research", body) for _ in range(2)]

    assert ["x-penstock-cache" in each.headers for each in search] == [False, False]
    assert [each.headers["x-penstock-cache"] for each in always] == ["miss", "hit"]
    assert ["x-penstock-cache" in each.headers for each in research] == [False, False]
    assert search[0].content != search[1].content


def test_a_client_may_want_a_new_answer_or_none_kept(proxy: Proxy) -> None:
    body = question(COLD, "Tell me about hail.")
    proxy.chat("search", body)

    fresh = proxy.chat("search", body, cache_control="no-cache")
    kept = proxy.chat("search", body)
    private = proxy.chat("search", question(COLD, "A secret."), cache_control="no-store")
    after = proxy.chat("search", question(COLD, "A secret."))

    assert fresh.headers["x-penstock-cache"] == "miss"
    assert (kept.headers["x-penstock-cache"], kept.content) == ("hit", fresh.content)
    assert "x-penstock-cache" not in private.headers
    assert after.headers["x-penstock-cache"] == "miss"


@pytest.mark.parametrize("fault", ["mid-stream-error", "ends-early", "choice-error"])
def test_what_went_wrong_is_not_given_again(proxy: Proxy, fault: str) -> None:
    body = {**question(COLD, f"[sandbox:fault={fault}] Hm?"), "stream": True}

    answers = [proxy.chat("search", body) for _ in range(2)]

    assert "hit" not in [each.headers.get("x-penstock-cache") for each in answers]


def metric(proxy: Proxy, name: str, label: str) -> float:
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in proxy.metrics().splitlines()
        if line.startswith(f"{name}{{") and label in line
    )
