"""One call at a provider: what is booked for it by what is known, and what the ledger keeps of it."""

import logging
from datetime import timedelta
from decimal import Decimal

import anyio
import msgspec
import pytest

from router.catalog.catalog import Deployment, Effort, Provider, ProviderName, arm_of
from router.catalog.prices import PriceList
from router.decision.eligibility import Candidate
from router.errors import UpstreamBroken, UpstreamError, UpstreamRefused
from router.gateway.call import LOST, RECORD_WAITS_S, Call, last_usage
from router.gateway.settlement import NOTHING_OWED, Charge
from router.ledger import FAILED_VERIFICATION, SECOND_OPINION, Attempt
from router.limits.gate import Reservation
from router.quality.verify import CheckKind, Verdict
from router.units import CostSource, Usage
from router.wire.replies import Bill
from tests.decision.builders import always, per_mtok
from tests.gateway.records import ABSURD, BILLED, NOT_YET, record, records
from tests.replacing import replace
from tests.storage.entries import AT
from tests.upstream.deployments import deployment, estimate
from tests.upstream.faulty_server import DEADLINE_S

USAGE = Usage(input_tokens=1_000, output_tokens=200)
COMPUTED = 1_000 * 100 + 200 * 400  # nano-dollars, at $0.10 and $0.40 per million
PRICED = replace(deployment(), prices=always(per_mtok("0.1", "0.4")))
HELD = 200_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def call_of(its: Deployment = PRICED, *, held_nano_usd: int = HELD, is_sent: bool = True) -> Call:
    candidate = Candidate(its, arm_of(its.model.name), quality=0.5, quality_is_known=True, estimate=estimate())
    call = Call(candidate, Reservation("req_1.1", held_nano_usd, windows=(), held_at=AT), started_s=10.0)
    call.is_sent = is_sent
    return call


def bill(usage: Usage = USAGE, *, nano_usd: int | None = None) -> Bill:
    return Bill(usage, None if nano_usd is None else Decimal(nano_usd).scaleb(-9))


def refused(status: int = 429) -> UpstreamError:
    return UpstreamRefused("no", provider="openrouter", upstream_status=status)


def broken() -> UpstreamError:
    return UpstreamBroken("broke off", provider="openrouter")


# By what is known already


def test_a_new_call_knows_nothing_but_what_is_held_for_it() -> None:
    call = Call(call_of().candidate, Reservation("req_1.1", HELD, windows=()), started_s=10.0)

    assert (call.is_sent, call.is_answered) == (False, False)
    assert (call.id, call.reservation.held_nano_usd, call.started_s) == ("req_1.1", HELD, 10.0)
    unknown = (call.ended_s, call.generation_id, call.served_model, call.bill, call.error, call.charge)
    assert unknown == (None,) * 6


def test_a_cost_that_is_told_is_booked() -> None:
    call = call_of()
    call.bill = bill(nano_usd=123_456)

    assert call.charge_told(AT, images=0) == Charge(123_456, CostSource.REPORTED)


def test_tokens_that_are_told_are_booked_at_our_price() -> None:
    call = call_of()
    call.bill = bill()

    assert call.charge_told(AT, images=0) == Charge(COMPUTED, CostSource.COMPUTED)


def test_tokens_that_are_told_are_booked_at_the_price_of_their_time() -> None:
    began = replace(PRICED.prices.entries[0], starts=AT)
    call = call_of(replace(PRICED, prices=PriceList((began,))))
    call.bill = bill()

    assert call.charge_told(AT, images=0) == Charge(COMPUTED, CostSource.COMPUTED)
    assert call.charge_told(AT - timedelta(seconds=1), images=0) is None


def test_images_and_what_was_written_to_a_cache_for_an_hour_are_booked_at_our_price_too() -> None:
    rates = per_mtok("0.1", "0.4", cache_write_usd="0.2", cache_write_1h_usd="0.5", image_usd="0.00001")
    call = call_of(replace(PRICED, prices=always(rates)))
    call.bill = bill(replace(USAGE, cache_write_tokens=100))
    tokens = COMPUTED - 100 * 100

    assert call.charge_told(AT, images=0) == Charge(tokens + 100 * 200, CostSource.COMPUTED)
    assert call.charge_told(AT, images=3) == Charge(tokens + 100 * 200 + 30_000, CostSource.COMPUTED)
    for_an_hour = call.charge_told(AT, images=0, one_hour_cache=True)
    assert for_an_hour == Charge(tokens + 100 * 500, CostSource.COMPUTED)


def test_a_call_is_taken_to_cost_what_is_held_until_it_is_booked() -> None:
    call = call_of()
    assert call.charge_so_far() == Charge(HELD, CostSource.HELD)

    call.charge = Charge(123, CostSource.REPORTED)

    assert call.charge_so_far() == Charge(123, CostSource.REPORTED)


def test_a_call_that_was_never_sent_owes_nothing() -> None:
    assert call_of(is_sent=False).charge_told(AT, images=0) == NOTHING_OWED


def test_a_call_that_was_sent_and_told_nothing_is_not_known_yet() -> None:
    assert call_of().charge_told(AT, images=0) is None


def test_a_call_that_was_refused_owes_nothing() -> None:
    call = call_of()
    call.error = refused()

    assert not call.error.may_be_owed
    assert call.charge_told(AT, images=0) == NOTHING_OWED


def test_a_call_that_broke_off_may_be_owed() -> None:
    call = call_of()
    call.error = broken()

    assert call.charge_told(AT, images=0) is None


def test_an_error_in_the_middle_of_an_answer_may_be_owed() -> None:
    call = call_of()
    call.error, call.is_answered = refused(), True

    assert call.charge_told(AT, images=0) is None


def test_a_refusal_that_tells_a_cost_is_booked_at_it() -> None:
    call = call_of()
    call.error, call.bill = refused(), bill(nano_usd=5)

    assert call.charge_told(AT, images=0) == Charge(5, CostSource.REPORTED)


@pytest.mark.parametrize("nano_usd", [HELD + 1, 10 * HELD])
def test_a_cost_above_the_hold_is_booked_and_complained_of(nano_usd: int, caplog: pytest.LogCaptureFixture) -> None:
    call = call_of()
    call.bill = bill(nano_usd=nano_usd)

    assert call.charge_told(AT, images=0) == Charge(nano_usd, CostSource.REPORTED)
    assert caplog.record_tuples == [
        (
            "penstock.money",
            logging.ERROR,
            f"call req_1.1 is told to cost {nano_usd} nano-dollars, and {HELD} were held",
        )
    ]


def test_a_cost_of_all_that_is_held_is_nothing_to_complain_of(caplog: pytest.LogCaptureFixture) -> None:
    call = call_of()
    call.bill = bill(nano_usd=HELD)

    assert call.charge_told(AT, images=0) == Charge(HELD, CostSource.REPORTED)
    assert caplog.record_tuples == []


def test_a_cost_of_more_than_ten_holds_is_not_believed() -> None:
    call = call_of()
    call.bill = bill(nano_usd=10 * HELD + 1)

    assert call.charge_told(AT, images=0) is None


def test_a_cost_that_is_not_believed_of_a_refused_call_is_nothing() -> None:
    call = call_of()
    call.error, call.bill = refused(), bill(nano_usd=10 * HELD + 1)

    assert call.charge_told(AT, images=0) == NOTHING_OWED


@pytest.mark.parametrize(
    ("held", "told", "believed"), [(0, 10**9, True), (0, 10**9 + 1, False), (1, 10, True), (1, 11, False)]
)
def test_a_call_that_was_held_to_be_free_may_cost_a_dollar(held: int, told: int, believed: bool) -> None:
    call = call_of(held_nano_usd=held)
    call.bill = bill(nano_usd=told)

    assert call.charge_told(AT, images=0) == (Charge(told, CostSource.REPORTED) if believed else None)


# By the provider's record


def in_doubt(its: Deployment = PRICED) -> Call:
    call = call_of(its)
    call.generation_id = "gen-1"
    return call


@pytest.mark.anyio
async def test_the_providers_record_tells_what_a_call_cost() -> None:
    call = in_doubt()

    async with records([record(4_321)]) as provider:
        charge = await call.charge_recorded(provider.client, provider.sleep)

    assert charge == Charge(4_321, CostSource.RECORD)
    assert call.bill is not None
    assert call.bill.usage == BILLED
    assert provider.asked == [b"GET /api/v1/generation?id=gen-1"]
    assert provider.slept_s == [0.0]


@pytest.mark.anyio
async def test_a_record_that_is_late_is_asked_for_again_after_longer_and_longer_waits() -> None:
    async with records([NOT_YET, ABSURD, NOT_YET, record(4_321)]) as provider:
        charge = await in_doubt().charge_recorded(provider.client, provider.sleep)

    assert charge == Charge(4_321, CostSource.RECORD)
    assert provider.slept_s == [0.0, 0.25, 0.5, 1.0]


@pytest.mark.anyio
async def test_a_record_of_more_than_ten_holds_is_not_believed_either() -> None:
    call = in_doubt()

    async with records([record(10 * HELD + 1)] * len(RECORD_WAITS_S)) as provider:
        charge = await call.charge_recorded(provider.client, provider.sleep)

    assert charge == Charge(HELD, CostSource.HELD)
    assert call.bill is None


@pytest.mark.anyio
async def test_a_call_without_a_record_stays_booked_at_what_is_held() -> None:
    call = in_doubt()

    async with records([NOT_YET] * len(RECORD_WAITS_S)) as provider:
        charge = await call.charge_recorded(provider.client, provider.sleep)

    assert charge == Charge(HELD, CostSource.HELD)
    assert call.bill is None
    assert len(provider.asked) == len(RECORD_WAITS_S)
    assert sum(provider.slept_s) == 15.75


@pytest.mark.anyio
async def test_a_call_that_the_provider_did_not_name_cannot_be_asked_about() -> None:
    async with records([record(4_321)]) as provider:
        charge = await call_of().charge_recorded(provider.client, provider.sleep)

    assert charge == Charge(HELD, CostSource.HELD)
    assert provider.asked == []


@pytest.mark.anyio
async def test_a_provider_without_records_is_not_asked() -> None:
    its = replace(PRICED, provider=Provider(ProviderName("deepseek"), kind="deepseek", base_url="http://127.0.0.1:9"))

    async with records([record(4_321)], kind="deepseek") as provider:
        charge = await in_doubt(its).charge_recorded(provider.client, provider.sleep)

    assert charge == Charge(HELD, CostSource.HELD)
    assert provider.asked == []


@pytest.mark.anyio
async def test_a_provider_that_never_tells_does_not_keep_the_hold_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.gateway.call._RECORD_PATIENCE_S", 0.01)

    async with records([]) as provider:
        with anyio.fail_after(DEADLINE_S):
            charge = await in_doubt().charge_recorded(provider.client, lambda _: anyio.sleep_forever())

    assert charge == Charge(HELD, CostSource.HELD)


# What the ledger keeps


def test_a_call_that_was_answered_is_kept_with_its_bill_and_its_length() -> None:
    call = call_of()
    call.is_answered, call.ended_s = True, 12.5
    call.generation_id, call.served_model = "gen-1", "deepseek/deepseek-v4-flash-20260423"
    call.bill, call.charge = bill(nano_usd=123), Charge(123, CostSource.REPORTED)

    assert call.attempt() == Attempt(
        id="req_1.1",
        model=PRICED.model.name,
        provider=PRICED.provider.name,
        outcome="ok",
        served_model="deepseek/deepseek-v4-flash-20260423",
        generation_id="gen-1",
        usage=USAGE,
        held_nano_usd=HELD,
        cost_nano_usd=123,
        source=CostSource.REPORTED,
        duration_s=2.5,
        version="deepseek/deepseek-v4-flash-20260423",
        held_at=AT,
    )


def test_a_call_is_kept_with_all_that_is_learned_from() -> None:
    candidate = msgspec.structs.replace(call_of().candidate, effort=Effort.LOW)
    call = Call(candidate, Reservation("req_1.1", HELD, windows=()), started_s=10.0)
    call.ended_s, call.charge = 12.5, NOTHING_OWED
    call.first_token_s, call.finish_reason, call.verdict = 0.75, "length", Verdict(failed=CheckKind.NOT_TRUNCATED)

    kept = call.attempt()

    assert (kept.first_token_s, kept.finish_reason, kept.effort) == (0.75, "length", Effort.LOW)
    assert (kept.verification, kept.outcome) == (CheckKind.NOT_TRUNCATED.value, FAILED_VERIFICATION)


@pytest.mark.parametrize(
    ("verdict", "word"),
    [(None, None), (Verdict(), "passed"), (Verdict(is_known=False), "unknown")],
)
def test_a_call_is_kept_with_what_the_checks_said(verdict: Verdict | None, word: str | None) -> None:
    call = call_of()
    call.verdict, call.is_answered = verdict, True
    call.ended_s, call.charge = 11.0, NOTHING_OWED

    assert (call.attempt().verification, call.attempt().outcome) == (word, "ok")


def test_an_answer_that_had_to_be_verified_and_could_not_be_has_failed_once_a_better_one_is_there() -> None:
    call = call_of()
    call.verdict, call.ended_s, call.charge = Verdict(is_known=False), 11.0, NOTHING_OWED

    assert (call.attempt().verification, call.attempt().outcome) == ("unknown", FAILED_VERIFICATION)


def test_a_second_opinion_is_no_answer_and_no_measure_of_what_was_saved() -> None:
    call = call_of()
    call.ended_s, call.charge, call.bill = 11.0, NOTHING_OWED, bill()
    assert last_usage([call]) is not None

    call.is_opinion = True

    assert call.attempt().outcome == SECOND_OPINION
    assert last_usage([call]) is None


@pytest.mark.parametrize(
    ("error", "is_answered", "outcome"),
    [
        (None, True, "ok"),
        (None, False, "abandoned"),
        (refused(429), False, "upstream_429"),
        (broken(), True, "upstream_broken"),
    ],
)
def test_a_call_is_kept_with_how_it_ended(error: UpstreamError | None, is_answered: bool, outcome: str) -> None:
    call = call_of()
    call.error, call.is_answered = error, is_answered
    call.ended_s, call.charge = 11.0, NOTHING_OWED

    assert call.attempt().outcome == outcome


def test_a_call_whose_process_dies_is_kept_at_what_is_held() -> None:
    call = call_of()

    lost = call.attempt_if_lost(11.0)

    assert (lost.outcome, lost.cost_nano_usd, lost.source, lost.usage) == (LOST, HELD, CostSource.HELD, None)
    assert lost.duration_s == 1.0


# What was used last


def test_the_last_call_that_told_its_tokens_is_the_one_that_is_compared() -> None:
    first, last, silent = call_of(), call_of(), call_of()
    first.bill, last.bill = bill(Usage(input_tokens=7, output_tokens=0)), bill(Usage(input_tokens=3, output_tokens=0))
    for call in (first, last, silent):
        call.charge = call.charge_held()

    assert last_usage([first, last, silent]) == (PRICED.model.name, Usage(input_tokens=3, output_tokens=0))


def test_a_call_that_is_not_booked_yet_or_told_nothing_is_not_compared() -> None:
    under_way, silent = call_of(), call_of()
    under_way.bill, silent.charge = bill(), silent.charge_held()

    assert last_usage([under_way, silent]) is None
