"""Every store: what is written is there, once, whole, and adds up, whoever else uses it. Both kinds pass one suite."""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_network
from itertools import product
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.apis import Api
from router.catalog.book import PriceRow
from router.catalog.prices import Price, Rates, Tier
from router.catalog.tariffs import Tariff, Window
from router.keys import ApiKey, KeyId, KeyScope, TeamName
from router.ledger import FAILED_VERIFICATION, GROUP_NAMES, Attempt, DoubtfulCall, LedgerEntry, Outcome, SpendRow
from router.quotas import Budget, Per, ScopeId, ScopeKind, WhenSpent, shadow_tag
from router.storage.errors import UnwritableEntry
from router.storage.store import Store
from router.units import NO_USAGE, CostSource, Usage
from tests.replacing import replace
from tests.storage.entries import AT, FLASH, GPT, HOUR, OPENROUTER, attempt, entries, entry, usages
from tests.storage.places import Places, kept_entries, opened, run

CHECKOUT = Path(__file__).resolve().parents[2]
SECOND_PROCESS = (sys.executable, "-m", "tests.storage.second_process")
SEARCH = ScopeId.of_team("search")

moments = st.datetimes(datetime(2026, 11, 20), datetime(2026, 11, 24), timezones=st.just(UTC))  # noqa: DTZ001 - made aware


# Writing


def test_an_entry_that_is_written_twice_is_kept_once_as_it_was_first(any_store: Store) -> None:
    any_store.write([entry("req_1", attempt(cost_nano_usd=10))])

    any_store.write([entry("req_1", attempt(cost_nano_usd=99), attempt()), entry("req_2", attempt(cost_nano_usd=5))])

    assert any_store.spend((), None) == [
        SpendRow((), requests=2, input_tokens=2_000, output_tokens=400, cost_nano_usd=15)
    ]


def test_a_batch_is_written_whole_or_not_at_all(any_store: Store) -> None:
    unwritable = entry("req_2", attempt(usage=Usage(input_tokens=10**30, output_tokens=0)))

    with pytest.raises(UnwritableEntry) as refusal:
        any_store.write([entry("req_1"), unwritable, entry("req_3")])

    assert refusal.value.request_id == "req_2"
    assert any_store.latest(10) == []


@settings(max_examples=60, deadline=None)
@given(written=st.lists(entries, max_size=6))
def test_an_entry_is_kept_with_all_its_calls_and_fields(places: Places, written: list[LedgerEntry]) -> None:
    with places() as place:
        with opened(place) as store:
            store.write(written)

        assert kept_entries(place) == [as_kept(each) for each in sorted(written, key=lambda each: each.request_id)]


def as_kept(each: LedgerEntry) -> LedgerEntry:
    """What a store makes of an entry: tags are kept once, and no store keeps a NUL."""
    calls = [
        replace(
            call,
            id=f"{each.request_id}.{number}",
            served_model=call.served_model and call.served_model.replace("\0", "\ufffd"),
            version=call.version and call.version.replace("\0", "\ufffd"),
            generation_id=call.generation_id and call.generation_id.replace("\0", "\ufffd"),
            finish_reason=call.finish_reason and call.finish_reason.replace("\0", "\ufffd"),
        )
        for number, call in enumerate(each.attempts, start=1)
    ]
    return replace(each, attempts=tuple(calls), tags=tuple(dict.fromkeys(each.tags)))


@pytest.mark.parametrize("odd", ["\0", "\ud800", "a\0b\udfffc"])
def test_text_that_not_every_store_can_keep_costs_no_entry(any_store: Store, odd: str) -> None:
    call = replace(attempt(cost_nano_usd=7), served_model=odd, generation_id=odd, outcome=odd)

    any_store.write([replace(entry("req_1", call, tags=(odd,)), alias=odd)])

    replaced = "".join("\ufffd" if character in "\0\ud800\udfff" else character for character in odd)
    assert [(row.group, row.cost_nano_usd) for row in any_store.spend(("alias", "tag"), None)] == [
        ((replaced, replaced), 7)
    ]


@pytest.mark.parametrize("tokens", [2**53 + 1, 2**63, 10**400, -(10**30)])
def test_a_number_that_not_every_store_can_keep_is_refused_with_the_entry(any_store: Store, tokens: int) -> None:
    unwritable = entry("req_bad", attempt(usage=Usage(input_tokens=tokens, output_tokens=0)))

    with pytest.raises(UnwritableEntry, match=r"^Entry req_bad cannot be kept: it holds a number beyond 2\^53\.$"):
        any_store.write([entry("req_1"), unwritable])

    assert any_store.latest(10) == []


def test_the_largest_numbers_that_are_kept_can_be_added_up(any_store: Store) -> None:
    largest = attempt(usage=Usage(input_tokens=2**53, output_tokens=2**53), cost_nano_usd=2**53)

    any_store.write([entry(f"req_{number}", largest) for number in range(100)])

    (total,) = any_store.spend((), None)
    assert total == SpendRow((), 100, input_tokens=100 * 2**53, output_tokens=100 * 2**53, cost_nano_usd=100 * 2**53)
    assert any_store.spent_since(AT)[ScopeId.of_team("search")] == 100 * 2**53


def test_an_entry_that_breaks_a_rule_of_the_tables_is_named(any_store: Store) -> None:
    nameless = replace(entry("req_2"), policy=None)  # what no type checker has seen

    with pytest.raises(
        UnwritableEntry, match=r"^Entry req_2 cannot be kept \((IntegrityError|NotNullViolation)\)\.$"
    ) as refusal:
        any_store.write([entry("req_1"), nameless, entry("req_3")])

    assert refusal.value.request_id == "req_2"
    assert any_store.latest(10) == []


def test_nothing_to_write_is_nothing_written(any_store: Store) -> None:
    any_store.write([])

    assert any_store.latest(10) == []


def test_an_entry_given_twice_in_one_batch_is_kept_once(any_store: Store) -> None:
    any_store.write([entry("req_1"), entry("req_1", attempt(), attempt())])

    (total,) = any_store.spend((), None)
    assert (total.requests, total.cost_nano_usd) == (1, 147_000)


@settings(max_examples=60, deadline=None)
@given(
    written=st.lists(entries, min_size=1, max_size=8),
    names=st.lists(st.sampled_from(["req_1", "req_2", "req_3", "req_4"]), min_size=8, max_size=8),
    batch=st.integers(1, 8),
)
def test_of_entries_with_one_id_the_first_is_kept_with_its_calls_however_they_are_batched(
    places: Places, written: list[LedgerEntry], names: list[str], batch: int
) -> None:
    named = [replace(each, request_id=name) for each, name in zip(written, names, strict=False)]
    first = {each.request_id: each for each in reversed(named)}
    with places() as place:
        with opened(place) as store:
            for start in range(0, len(named), batch):
                store.write(named[start : start + batch])

        assert kept_entries(place) == [as_kept(first[name]) for name in sorted(first)]


def test_a_long_batch_of_which_some_are_there_is_kept_whole_each_entry_with_its_own_calls(places: Places) -> None:
    calls = {f"req_{number:03}": number % 3 + 1 for number in range(75)}
    written = [entry(name, *(attempt(cost_nano_usd=each) for each in range(count))) for name, count in calls.items()]
    with places() as place:
        with opened(place) as store:
            store.write(written[40:44])
            store.write([*written, *written[5:9]])

        assert kept_entries(place) == [as_kept(each) for each in written]


# Spend


def test_spend_by_team_and_model_lists_the_dearest_first(any_store: Store) -> None:
    any_store.write(
        [
            entry("req_1", attempt(cost_nano_usd=3)),
            entry("req_2", attempt(cost_nano_usd=4)),
            entry("req_3", attempt(model=GPT, cost_nano_usd=50), team="ads"),
        ]
    )

    assert any_store.spend(("team", "model"), None) == [
        SpendRow(("ads", GPT), requests=1, input_tokens=1_000, output_tokens=200, cost_nano_usd=50),
        SpendRow(("search", FLASH), requests=2, input_tokens=2_000, output_tokens=400, cost_nano_usd=7),
    ]


def test_a_request_that_was_sent_to_two_models_counts_once_at_each_and_costs_each_its_own_call(
    any_store: Store,
) -> None:
    failed = attempt(model=GPT, outcome="upstream_timeout", usage=None, cost_nano_usd=9)
    any_store.write([entry("req_1", failed, attempt(cost_nano_usd=2))])

    assert any_store.spend(("model",), None) == [
        SpendRow((GPT,), requests=1, input_tokens=0, output_tokens=0, cost_nano_usd=9),
        SpendRow((FLASH,), requests=1, input_tokens=1_000, output_tokens=200, cost_nano_usd=2),
    ]


def test_by_tag_a_request_counts_in_full_under_each_of_its_tags(any_store: Store) -> None:
    any_store.write(
        [
            entry("req_1", attempt(cost_nano_usd=5), attempt(cost_nano_usd=2), tags=("app=web", "batch", "app=web")),
            entry("req_2", attempt(cost_nano_usd=10), tags=("batch",)),
            entry("req_3", attempt(cost_nano_usd=1)),
        ]
    )

    rows = any_store.spend(("tag",), None)

    assert [(row.group, row.requests, row.cost_nano_usd) for row in rows] == [
        (("batch",), 2, 17),
        (("app=web",), 1, 7),
        (("",), 1, 1),
    ]


def test_without_groups_there_is_one_row_with_everything(any_store: Store) -> None:
    assert any_store.spend((), None) == [SpendRow((), requests=0, input_tokens=0, output_tokens=0, cost_nano_usd=0)]


@settings(max_examples=60, deadline=None)
@given(
    written=st.lists(entries, max_size=8),
    by=st.lists(st.sampled_from(GROUP_NAMES), unique=True, max_size=4).map(tuple),
    since=st.none() | moments,
)
def test_spend_is_what_adding_up_the_entries_gives(
    places: Places, written: list[LedgerEntry], by: tuple[str, ...], since: datetime | None
) -> None:
    with places() as place, opened(place) as store:
        store.write(written)

        rows = store.spend(by, since)

    assert {row.group: row for row in rows} == added_up(written, by, since)
    assert len(rows) == len({row.group for row in rows})
    assert [row.cost_nano_usd for row in rows] == sorted((row.cost_nano_usd for row in rows), reverse=True)
    if "tag" not in by:
        assert sum(row.cost_nano_usd for row in rows) == sum(
            each.cost_nano_usd for each in written if since is None or each.at >= since
        )


def added_up(
    written: list[LedgerEntry], by: tuple[str, ...], since: datetime | None
) -> dict[tuple[str, ...], SpendRow]:
    """The same by plain addition."""
    requests: dict[tuple[str, ...], set[str]] = defaultdict(set)
    calls: dict[tuple[str, ...], list[Attempt]] = defaultdict(list)
    if not by:
        requests[()], calls[()] = set(), []
    for each in written:
        if since is not None and each.at < since:
            continue
        tags = dict.fromkeys(each.tags) if "tag" in by and each.tags else ("",)
        for call, tag in product(each.attempts or (None,), tags):
            group = tuple(grouped(each, call, tag, name) for name in by)
            requests[group].add(each.request_id)
            calls[group] += [call] if call else []
    return {
        group: SpendRow(
            group=group,
            requests=len(requests[group]),
            input_tokens=sum(call.usage.input_tokens for call in calls[group] if call.usage),
            output_tokens=sum(call.usage.output_tokens for call in calls[group] if call.usage),
            cost_nano_usd=sum(call.cost_nano_usd for call in calls[group]),
        )
        for group in requests
    }


def grouped(each: LedgerEntry, call: Attempt | None, tag: str, name: str) -> str:
    of_call = {} if call is None else {"model": call.model, "provider": call.provider, "source": call.source.value}
    of_entry = {
        "team": each.team,
        "key": each.key_id,
        "alias": each.alias,
        "policy": each.policy,
        "outcome": each.outcome.value,
        "day": f"{each.at:%Y-%m-%d}",
        "tag": tag,
    }
    return {**of_entry, **of_call}.get(name, "")


# Spent since


def test_what_was_spent_since_a_moment_includes_that_moment(any_store: Store) -> None:
    any_store.write(
        [
            entry("req_1", attempt(cost_nano_usd=1), at=AT - timedelta(microseconds=1)),
            entry("req_2", attempt(cost_nano_usd=20), at=AT),
            entry("req_3", attempt(cost_nano_usd=300), attempt(cost_nano_usd=4_000), at=AT + HOUR),
            entry("req_4", attempt(cost_nano_usd=7), team="ads", at=AT + HOUR),
        ]
    )

    assert any_store.spent_since(AT) == {
        ScopeId("search", ScopeKind.TEAM, "search"): 4_320,
        ScopeId("search", ScopeKind.KEY, "00c0ffee00c0ffee"): 4_320,
        ScopeId("ads", ScopeKind.TEAM, "ads"): 7,
        ScopeId("ads", ScopeKind.KEY, "00c0ffee00c0ffee"): 7,
    }
    assert any_store.spent_since(AT + HOUR + timedelta(microseconds=1)) == {}


def test_a_request_counts_where_money_was_held_for_it_last_and_not_where_it_was_decided(any_store: Store) -> None:
    """A second call after midnight is held in the day that is new; it once was recovered into the day before."""
    late = replace(attempt(cost_nano_usd=20), held_at=AT + 2 * HOUR)
    early = replace(attempt(cost_nano_usd=1), held_at=AT)
    any_store.write([entry("req_1", early, late, at=AT), entry("req_2", early, at=AT)])

    assert any_store.spent_since(AT + HOUR)[SEARCH] == 21
    assert any_store.spent_since(AT)[SEARCH] == 22
    assert any_store.spent_since(AT + 2 * HOUR + timedelta(microseconds=1)) == {}


def test_a_request_with_two_tags_is_spent_in_both_projects_and_once_by_the_team(any_store: Store) -> None:
    any_store.write(
        [
            entry("req_1", attempt(cost_nano_usd=5), tags=("app=web", "batch", "app=web")),
            entry("req_2", attempt(cost_nano_usd=10), tags=("batch",)),
            entry("req_3", attempt(cost_nano_usd=1)),
        ]
    )

    spent = any_store.spent_since(AT)

    assert spent[ScopeId("search", ScopeKind.TEAM, "search")] == 16
    assert {scope.name: spent[scope] for scope in spent if scope.kind is ScopeKind.PROJECT} == {
        "app=web": 5,
        "batch": 15,
    }


def test_what_a_shadow_costs_counts_against_its_own_budget_and_nobody_elses(any_store: Store) -> None:
    tag = shadow_tag("balanced")
    any_store.write(
        [
            entry("req_1", attempt(cost_nano_usd=5)),
            entry("req_1.shadow", attempt(cost_nano_usd=7), outcome=Outcome.SHADOW, tags=(tag,)),
        ]
    )

    spent = any_store.spent_since(AT)

    assert spent[SEARCH] == 5
    assert spent[ScopeId("search", ScopeKind.PROJECT, tag)] == 7
    assert sum(nano_usd for scope, nano_usd in spent.items() if scope.kind is ScopeKind.KEY) == 5
    assert [(row.group, row.cost_nano_usd) for row in any_store.spend(("outcome",), None)] == [
        (("shadow",), 7),
        (("ok",), 5),
    ]


def test_moments_of_any_time_zone_and_precision_are_compared_as_moments(any_store: Store) -> None:
    berlin = AT.astimezone(ZoneInfo("Europe/Berlin"))
    any_store.write([entry("req_1", attempt(cost_nano_usd=1), at=berlin + timedelta(milliseconds=500))])

    assert any_store.spent_since(AT)[SEARCH] == 1
    assert any_store.spent_since(berlin + timedelta(seconds=1)) == {}


@settings(max_examples=60, deadline=None)
@given(written=st.lists(entries, max_size=8), since=moments)
def test_spent_since_is_what_adding_up_the_entries_gives(
    places: Places, written: list[LedgerEntry], since: datetime
) -> None:
    with places() as place, opened(place) as store:
        store.write(written)

        spent = store.spent_since(since)

    assert spent == added_up_since(written, since)


def added_up_since(written: list[LedgerEntry], since: datetime) -> dict[ScopeId, int]:
    spent: dict[ScopeId, int] = defaultdict(int)
    for each in written:
        if each.held_at >= since:
            for scope in (
                ScopeId(each.team, ScopeKind.TEAM, each.team),
                ScopeId(each.team, ScopeKind.KEY, each.key_id),
                *(ScopeId(each.team, ScopeKind.PROJECT, tag) for tag in set(each.tags)),
            ):
                spent[scope] += each.cost_nano_usd
    return spent


# In doubt


def held(generation_id: str | None = "gen-1", *, cost_nano_usd: int = 500_000) -> Attempt:
    call = attempt(usage=None, source=CostSource.HELD, cost_nano_usd=cost_nano_usd)
    return replace(call, generation_id=generation_id, held_nano_usd=cost_nano_usd)


def test_what_calls_cost_by_their_record_is_told_of_those_that_have_been_amended(any_store: Store) -> None:
    any_store.write(
        [
            entry("req_1", held("gen-1"), held("gen-2")),
            entry("req_2", held("gen-3")),
            entry("req_3", attempt(source=CostSource.RECORD, cost_nano_usd=9)),
        ]
    )
    calls = {f"{call.request_id}.{call.number}": call for call in in_doubt(any_store, before=AT + HOUR, limit=10)}
    assert any_store.amend(calls["req_1.2"], usage=Usage(1, 2), cost_nano_usd=7)

    asked = ["req_1.1", "req_1.2", "req_2.1", "req_3.1", "req_4.1"]
    assert any_store.recorded_costs(asked) == {"req_1.2": 7, "req_3.1": 9}
    assert any_store.recorded_costs(["req_1.1"]) == {}
    assert any_store.recorded_costs([]) == {}


def test_a_call_is_in_doubt_if_it_is_booked_as_held_and_its_generation_is_known(any_store: Store) -> None:
    late = AT + timedelta(minutes=5)
    any_store.write(
        [
            entry("req_unnamed", held(None)),
            entry("req_nameless", held("")),
            entry("req_known", attempt()),
            entry("req_new", held("gen-9"), at=AT + HOUR),
            entry(
                "req_2",
                attempt(),
                replace(held("gen-3"), held_at=late),
                tags=("app=web", "batch"),
                outcome=Outcome.LOST,
            ),
            entry("req_1", held("gen-2"), at=AT - HOUR),
        ]
    )

    calls = in_doubt(any_store, before=AT + HOUR, limit=10)

    first = DoubtfulCall(
        request_id="req_1",
        number=1,
        at=AT - HOUR,
        held_at=AT - HOUR,
        team=TeamName("search"),
        key_id=KeyId("00c0ffee00c0ffee"),
        tags=(),
        model=FLASH,
        provider=OPENROUTER,
        generation_id="gen-2",
        held_nano_usd=500_000,
    )
    second = replace(
        first, request_id="req_2", number=2, at=AT, held_at=late, tags=("app=web", "batch"), generation_id="gen-3"
    )
    assert calls == [first, second]
    assert in_doubt(any_store, before=AT + HOUR, limit=1) == [first]
    assert in_doubt(any_store, before=AT - HOUR, limit=10) == []
    assert any_store.doubtful(since=AT, before=AT + HOUR, after=None, limit=10) == [second]


def test_calls_in_doubt_are_read_page_by_page_each_once(any_store: Store) -> None:
    any_store.write([entry(f"req_{number}", held(), held(), at=AT + number % 2 * HOUR) for number in range(5)])
    read: list[DoubtfulCall] = []

    while page := any_store.doubtful(since=AT, before=AT + 2 * HOUR, after=read[-1] if read else None, limit=3):
        read += page

    assert [(call.request_id, call.number) for call in read] == [
        (f"req_{request}", number) for request in (0, 2, 4, 1, 3) for number in (1, 2)
    ]


def in_doubt(store: Store, *, before: datetime, limit: int) -> list[DoubtfulCall]:
    return store.doubtful(since=AT - 240 * HOUR, before=before, after=None, limit=limit)


def test_a_call_in_doubt_is_amended_once_to_what_its_record_says(any_store: Store, place: str) -> None:
    any_store.write([entry("req_1", attempt(cost_nano_usd=3), held("gen-2")), entry("req_2", held("gen-4"))])
    call, _ = in_doubt(any_store, before=AT + HOUR, limit=10)
    usage = Usage(input_tokens=11, output_tokens=7, cached_tokens=5, cache_write_tokens=2, reasoning_tokens=1)

    assert any_store.amend(call, usage=usage, cost_nano_usd=40)
    assert not any_store.amend(call, usage=usage, cost_nano_usd=99)

    amended, _ = kept_entries(place)
    assert amended.attempts[1] == replace(
        held("gen-2"), id="req_1.2", usage=usage, cost_nano_usd=40, held_nano_usd=500_000, source=CostSource.RECORD
    )
    assert [(row["request_id"], row["cost_nano_usd"]) for row in any_store.latest(10)] == [
        ("req_2", 500_000),
        ("req_1", 43),
    ]
    assert any_store.spent_since(AT)[SEARCH] == 500_043
    assert [left.request_id for left in in_doubt(any_store, before=AT + HOUR, limit=10)] == ["req_2"]


def test_a_call_that_is_not_kept_cannot_be_amended(any_store: Store) -> None:
    any_store.write([entry("req_1", held())])
    (call,) = in_doubt(any_store, before=AT + HOUR, limit=10)

    assert not any_store.amend(replace(call, request_id="req_2"), usage=NO_USAGE, cost_nano_usd=0)
    assert not any_store.amend(replace(call, number=2), usage=NO_USAGE, cost_nano_usd=0)

    assert in_doubt(any_store, before=AT + HOUR, limit=10) == [call]


def test_an_amendment_that_cannot_be_kept_leaves_the_call_in_doubt(any_store: Store) -> None:
    any_store.write([entry("req_1", held())])
    (call,) = in_doubt(any_store, before=AT + HOUR, limit=10)

    with pytest.raises(UnwritableEntry):
        any_store.amend(call, usage=Usage(input_tokens=2**63, output_tokens=0), cost_nano_usd=1)

    assert in_doubt(any_store, before=AT + HOUR, limit=10) == [call]


def test_of_many_who_amend_one_call_only_one_does(any_store: Store) -> None:
    any_store.write([entry("req_1", held())])
    (call,) = in_doubt(any_store, before=AT + HOUR, limit=10)

    with ThreadPoolExecutor(8) as threads:
        done = list(
            threads.map(lambda cost: (cost, any_store.amend(call, usage=NO_USAGE, cost_nano_usd=cost)), range(8))
        )

    (winner,) = [cost for cost, is_amended in done if is_amended]
    assert any_store.spent_since(AT)[SEARCH] == winner


def test_calls_of_one_request_may_be_amended_at_the_same_time(any_store: Store) -> None:
    any_store.write([entry(f"req_{number}", *[held(f"gen-{call}") for call in range(4)]) for number in range(10)])
    calls = in_doubt(any_store, before=AT + HOUR, limit=100)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda call: any_store.amend(call, usage=NO_USAGE, cost_nano_usd=call.number), calls))

    assert len(calls) == 40
    assert [row["cost_nano_usd"] for row in any_store.latest(10)] == [1 + 2 + 3 + 4] * 10


@settings(max_examples=40, deadline=None)
@given(written=st.lists(entries, max_size=6), data=st.data())
def test_after_any_amendments_every_total_is_the_sum_of_the_calls(
    places: Places, written: list[LedgerEntry], data: st.DataObject
) -> None:
    with places() as place, opened(place) as store:
        store.write(written)
        for call in in_doubt(store, before=AT + 240 * HOUR, limit=100):
            if data.draw(st.booleans()):
                assert store.amend(call, usage=data.draw(usages), cost_nano_usd=data.draw(st.integers(0, 10**12)))
        kept = kept_entries(place)

        (total,) = store.spend((), None)
        assert total.cost_nano_usd == sum(each.cost_nano_usd for each in kept)
        assert store.spent_since(AT - 240 * HOUR) == added_up_since(kept, AT - 240 * HOUR)
        assert {row["request_id"]: row["cost_nano_usd"] for row in store.latest(10)} == {
            each.request_id: each.cost_nano_usd for each in kept
        }


# The latest


def test_the_latest_entries_come_newest_first_with_the_call_that_answered(any_store: Store) -> None:
    any_store.write(
        [
            entry("req_old", at=AT - HOUR),
            entry("req_new", attempt(model=GPT, outcome="upstream_503"), attempt(), at=AT),
            replace(entry("req_refused", at=AT - 2 * HOUR), attempts=()),
        ]
    )

    latest = any_store.latest(3)

    assert [(row["request_id"], row["model"]) for row in latest] == [
        ("req_new", FLASH),
        ("req_old", FLASH),
        ("req_refused", None),
    ]
    assert any_store.latest(1) == latest[:1]


def test_the_call_that_answered_is_shown_though_a_better_model_failed_after_it(any_store: Store) -> None:
    any_store.write([entry("req_1", attempt(outcome=FAILED_VERIFICATION), attempt(model=GPT, outcome="upstream_503"))])

    assert [row["model"] for row in any_store.latest(1)] == [FLASH]


# Keys


KEY = ApiKey(
    id=KeyId("00c0ffee00c0ffee"),
    team=TeamName("search"),
    name="website",
    digest=bytes(range(32)),
    created_at=AT,
    expires_at=AT + 24 * HOUR,
)


def test_a_key_comes_back_as_it_was_added(any_store: Store) -> None:
    for_ever = replace(KEY, id=KeyId("ffff000000000000"), expires_at=None)
    any_store.add(KEY)
    any_store.add(for_ever)

    assert any_store.all() == [KEY, for_ever]


def test_a_key_is_revoked_once_and_stays_revoked_from_that_moment(any_store: Store) -> None:
    any_store.add(KEY)

    assert any_store.revoke(KEY.id, AT + HOUR)
    assert not any_store.revoke(KEY.id, AT + 2 * HOUR)
    assert any_store.all() == [replace(KEY, revoked_at=AT + HOUR)]


def test_a_key_that_does_not_exist_cannot_be_revoked(any_store: Store) -> None:
    assert not any_store.revoke(KeyId("0000000000000000"), AT)


BOUND = replace(
    KEY,
    scope=KeyScope(
        models=frozenset({FLASH, GPT}),
        aliases=frozenset(),
        apis=frozenset({Api.EMBEDDINGS}),
        networks=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")),
        budgets=(Budget(1, Per.DAY), Budget(2**53, Per.MONTH, WhenSpent.DOWNGRADE)),
    ),
)


def test_what_a_key_may_do_comes_back_as_it_was_added(any_store: Store) -> None:
    any_store.add(BOUND)

    assert any_store.all() == [BOUND]


def test_a_program_that_knows_no_scopes_finds_no_digest_of_a_key_with_one(any_store: Store, place: str) -> None:
    any_store.add(BOUND)
    any_store.add(replace(KEY, id=KeyId("ffff000000000000")))

    found = run(place, "SELECT digest FROM keys ORDER BY id")

    assert [bytes(digest) for (digest,) in found] == [b"", KEY.digest]


@pytest.mark.parametrize(
    "scope", ['{"colours": ["red"]}', '{"networks": ["everywhere"]}', "no JSON", '{"apis": ["x"]}']
)
def test_a_key_whose_scope_another_version_made_may_do_nothing(any_store: Store, place: str, scope: str) -> None:
    any_store.add(BOUND)
    run(place, f"UPDATE keys SET scope = '{scope}'")

    assert any_store.all() == [replace(BOUND, scope=None)]


@pytest.mark.parametrize("key", [KEY, BOUND])
def test_a_key_is_rotated_if_it_is_still_the_one_that_was_read(any_store: Store, key: ApiKey) -> None:
    any_store.add(key)
    rotated = key.rotated(b"n" * 32, until=AT + HOUR)

    assert any_store.rotate(key, rotated)
    assert not any_store.rotate(key, key.rotated(b"m" * 32, until=AT))
    assert any_store.all() == [rotated]


def test_a_revoked_key_is_not_rotated(any_store: Store) -> None:
    any_store.add(KEY)
    any_store.revoke(KEY.id, AT)

    assert not any_store.rotate(KEY, KEY.rotated(b"n" * 32, until=AT + HOUR))


def test_a_key_ends_earlier_if_that_is_said_and_never_later(any_store: Store) -> None:
    for_ever = replace(KEY, id=KeyId("ffff000000000000"), expires_at=None)
    any_store.add(KEY)
    any_store.add(for_ever)

    assert any_store.expire(KEY.id, AT + HOUR)
    assert not any_store.expire(KEY.id, AT + 2 * HOUR)
    assert any_store.expire(for_ever.id, AT + 2 * HOUR)
    assert any_store.revoke(for_ever.id, AT)
    assert not any_store.expire(for_ever.id, AT + HOUR)
    assert [key.expires_at for key in any_store.all()] == [AT + HOUR, AT + 2 * HOUR]


def test_keys_have_another_version_after_every_change_also_by_an_earlier_program(any_store: Store, place: str) -> None:
    versions = [any_store.keys_version()]
    changes: list[Callable[[], object]] = [
        lambda: any_store.add(KEY),
        lambda: any_store.rotate(KEY, KEY.rotated(b"n" * 32, until=AT)),
        lambda: any_store.expire(KEY.id, AT + HOUR),
        lambda: any_store.expire(KEY.id, AT + HOUR / 2),
        lambda: any_store.revoke(KEY.id, AT),
        lambda: run(place, _EARLIER_ADD),
        lambda: run(place, f"UPDATE keys SET revoked_at = '{AT.isoformat()}' WHERE revoked_at IS NULL"),
    ]
    for change in changes:
        change()
        versions.append(any_store.keys_version())

    assert len(set(versions)) == len(versions)
    assert any_store.keys_version() == versions[-1]


_EARLIER_ADD = (
    "INSERT INTO keys (id, team, name, digest, created_at) "
    f"SELECT 'ffff000000000000', team, name, digest, created_at FROM keys WHERE id = '{KEY.id}'"
)


# Others at the same store


def test_readers_see_whole_batches_while_threads_and_another_process_write(any_store: Store, place: str) -> None:
    batches, size, others = 30, 20, 30

    def write(thread: int) -> None:
        for batch in range(batches):
            any_store.write(
                [entry(f"req_{thread}_{batch}_{number}", attempt(cost_nano_usd=1)) for number in range(size)]
            )

    def read() -> list[int]:
        return [row.requests for _ in range(50) for row in any_store.spend(("alias",), None)]

    with subprocess.Popen([*SECOND_PROCESS, place, "second", str(others), "1"], cwd=CHECKOUT) as second:
        with ThreadPoolExecutor(4) as threads:
            writers = [threads.submit(write, number) for number in range(2)]
            readers = [threads.submit(read) for _ in range(2)]
            seen = [reader.result(60) for reader in readers]
            for writer in writers:
                writer.result(60)
        assert second.wait(60) == 0

    (total,) = any_store.spend((), None)
    assert total.requests == 2 * batches * size + others
    assert total.cost_nano_usd == 2 * batches * size + others * 147_000
    for counts in seen:
        assert counts == sorted(counts)


def test_entries_that_several_processes_write_at_the_same_time_are_kept_once_each(any_store: Store, place: str) -> None:
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen([*SECOND_PROCESS, place, "same", "400", str(seed)], cwd=CHECKOUT))
            for seed in range(3)
        ]
        assert [process.wait(60) for process in processes] == [0, 0, 0]

    (total,) = any_store.spend((), None)
    assert (total.requests, total.cost_nano_usd) == (400, 400 * 147_000)
    assert len(kept_entries(place)) == 400


def test_two_who_write_the_same_entries_in_opposite_orders_do_not_wait_for_each_other_for_ever(
    any_store: Store,
) -> None:
    with ThreadPoolExecutor(2) as threads:
        for number in range(10):
            batch = [entry(f"req_{number}_{place}") for place in range(200)]
            for writing in [threads.submit(any_store.write, order) for order in (batch, batch[::-1])]:
                writing.result(60)

    (total,) = any_store.spend((), None)
    assert total.requests == 2_000


# What has been learned


def test_what_was_kept_last_under_a_name_is_found_there(any_store: Store) -> None:
    any_store.keep_learned("experience", b"\x00first", AT)
    any_store.keep_learned("other", b"another's", AT)
    any_store.keep_learned("experience", b"second", AT + HOUR)

    assert any_store.learned("experience") == b"second"
    assert any_store.learned("other") == b"another's"


def test_what_was_learned_is_swapped_only_for_what_was_read(any_store: Store) -> None:
    assert not any_store.swap_learned("refits", b"never there", b"\x00first", AT)
    assert any_store.swap_learned("refits", None, b"\x00first", AT)
    assert not any_store.swap_learned("refits", None, b"another first", AT)
    assert any_store.swap_learned("refits", b"\x00first", b"second", AT + HOUR)
    assert not any_store.swap_learned("refits", b"\x00first", b"another second", AT + HOUR)
    assert not any_store.swap_learned("other", b"second", b"third", AT)

    assert any_store.learned("refits") == b"second"


def test_of_many_who_swap_at_once_each_builds_on_all_before(any_store: Store) -> None:
    def add(letter: bytes) -> None:
        for _ in range(10):
            while True:
                before = any_store.learned("refits")
                if any_store.swap_learned("refits", before, (before or b"") + letter, AT):
                    break

    with ThreadPoolExecutor(4) as threads:
        for adding in [threads.submit(add, letter) for letter in (b"a", b"b", b"c", b"d")]:
            adding.result(60)

    content = any_store.learned("refits")
    assert content is not None
    assert bytes(sorted(content)) == b"a" * 10 + b"b" * 10 + b"c" * 10 + b"d" * 10


def test_under_a_name_that_was_never_used_there_is_nothing(any_store: Store) -> None:
    assert any_store.learned("experience") is None


PRICE = Price(
    Rates.per_mtok(input_usd=Decimal("0.105"), output_usd=Decimal("0.21"), request_usd=Decimal("0.001")),
    (Tier(200_000, Rates.per_mtok(input_usd=Decimal(1), output_usd=Decimal(3))),),
)
PRICE_ROW = PriceRow(
    provider=OPENROUTER,
    upstream_model=FLASH,
    version=f"{FLASH}-20260423",
    tariff=Tariff((Window((time(1), time(4)), PRICE), Window((time(4), time(1)), Price(PRICE.base)))),
    source="openrouter /models",
    starts=AT,
    first_seen=AT - HOUR,
    last_seen=AT,
)


def test_prices_are_read_back_as_they_were_kept_by_name_oldest_first(any_store: Store) -> None:
    later = replace(PRICE_ROW, starts=AT + HOUR, version=None, tariff=None)
    other = replace(PRICE_ROW, upstream_model=GPT)

    any_store.keep_prices([other, later, PRICE_ROW])

    assert any_store.prices() == [PRICE_ROW, later, other]


def test_prices_are_read_by_when_they_were_last_seen(any_store: Store) -> None:
    later = replace(PRICE_ROW, starts=AT + HOUR, last_seen=AT + HOUR)
    any_store.keep_prices([PRICE_ROW, later])

    assert any_store.prices(since=AT + HOUR) == [later]
    assert any_store.prices(since=AT + 2 * HOUR) == []


def test_a_price_once_kept_is_never_edited_only_when_it_was_last_seen_moves_on(any_store: Store) -> None:
    any_store.keep_prices([PRICE_ROW])

    any_store.keep_prices([replace(PRICE_ROW, tariff=None, version="other", last_seen=AT + HOUR)])
    any_store.keep_prices([replace(PRICE_ROW, last_seen=AT - HOUR)])

    assert any_store.prices() == [replace(PRICE_ROW, last_seen=AT + HOUR)]


def test_two_processes_that_keep_the_same_prices_at_once_keep_them_once(places: Places) -> None:
    names = [f"maker/model-{number}" for number in range(20)]
    rows = [replace(PRICE_ROW, upstream_model=name) for name in names]
    with places() as place, opened(place) as one, opened(place) as other, ThreadPoolExecutor(2) as threads:
        for _ in range(5):
            list(threads.map(lambda each: each[0].keep_prices(each[1]), [(one, rows), (other, rows[::-1])]))

        assert sorted(row.upstream_model for row in one.prices()) == sorted(names)
