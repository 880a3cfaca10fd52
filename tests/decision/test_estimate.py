"""Expected and worst-case tokens and dollars of one deployment, every sum written out."""

from datetime import UTC, datetime, time
from decimal import Decimal

import msgspec
import pytest

from router.apis import Api
from router.catalog.catalog import Capability, Deployment, Effort, Model, Task
from router.catalog.prices import Price, PriceEntry, PriceList, Rates, Tier
from router.decision.estimate import Estimate, estimate, shortened
from router.decision.facts import Conditions, NoExperience, RequestProfile
from tests.decision.builders import CHAT, NOON, always, at, model, per_mtok
from tests.replacing import replace

CACHING = per_mtok("2", "10", cached_input_usd="0.2", cache_write_usd="2.5", cache_write_1h_usd="4")
PLAIN = per_mtok("2", "10")
DEFAULT = 1_000


def deployment(prices: PriceList | None = None, *, token_ratio: float = 1.0) -> Deployment:
    return at("cloud", model("m", token_ratio=token_ratio), prices or always(PLAIN))


def estimated(
    profile: RequestProfile,
    where: Deployment,
    *,
    conditions: Conditions = NOON,
    default_max_output_tokens: int = DEFAULT,
    max_cost_usd: str | None = None,
) -> Estimate:
    ceiling = None if max_cost_usd is None else Decimal(max_cost_usd)
    result = estimate(
        profile,
        where,
        conditions=conditions,
        default_max_output_tokens=default_max_output_tokens,
        max_cost_usd=ceiling,
    )
    assert result is not None
    return result


def test_an_estimate_counts_every_token_expected_and_every_token_possible() -> None:
    assert estimated(CHAT, deployment(always(CACHING))) == Estimate(
        input_tokens=1_000,
        output_tokens=350,  # usual for chat
        cached_tokens=0,
        reasoning_tokens=0,
        input_tokens_bound=4_000,  # one a byte
        max_output_tokens=1_000,
        expected_usd=Decimal("0.0055"),  # 1,000 x $2/M + 350 x $10/M
        # A token may be written to the cache and read from it: 4,000 x ($2.5/M + $0.2/M) + 1,000 x $10/M.
        worst_usd=Decimal("0.0208"),
        dearest_rates=CACHING,
    )


def test_where_nothing_is_billed_twice_the_plain_rate_bounds_the_input() -> None:
    reading_is_cheap = per_mtok("2", "10", cached_input_usd="0.2", cache_write_usd="0.5")

    # $2/M is more than $0.5/M + $0.2/M: 4,000 x $2/M + 1,000 x $10/M.
    assert estimated(CHAT, deployment(always(reading_is_cheap))).worst_usd == Decimal("0.018")


def test_a_request_that_will_be_told_to_think_is_expected_to_write_its_thoughts() -> None:
    asked = estimate(CHAT, deployment(), conditions=NOON, default_max_output_tokens=DEFAULT, effort=Effort.HIGH)

    assert asked is not None
    assert asked.output_tokens > estimated(CHAT, deployment()).output_tokens
    assert asked.reasoning_tokens > 0


def test_a_request_for_the_one_hour_cache_is_held_at_its_rate() -> None:
    asking = replace(CHAT, asks_one_hour_cache=True)

    # 4,000 x ($4/M + $0.2/M) + 1,000 x $10/M.
    assert estimated(asking, deployment(always(CACHING))).worst_usd == Decimal("0.0268")


@pytest.mark.parametrize(
    ("token_ratio", "input_tokens"),
    [(1.0, 1_000), (1.0004, 1_001), (1.25, 1_250), (0.9, 900)],
)
def test_tokens_are_counted_in_the_models_own_vocabulary_and_rounded_up(token_ratio: float, input_tokens: int) -> None:
    assert estimated(CHAT, deployment(token_ratio=token_ratio)).input_tokens == input_tokens


class Streams(NoExperience):
    """Has learned that streamed requests are twice as long."""

    def input_ratio(self, model: Model, profile: RequestProfile) -> float:
        return model.token_ratio * (2 if profile.is_stream else 1)


@pytest.mark.parametrize(("is_stream", "input_tokens"), [(True, 2_000), (False, 1_000)])
def test_what_was_learned_of_such_requests_counts(is_stream: bool, input_tokens: int) -> None:
    experienced = replace(NOON, experience=Streams())

    assert estimated(replace(CHAT, is_stream=is_stream), deployment(), conditions=experienced).input_tokens == (
        input_tokens
    )


@pytest.mark.parametrize(
    ("task", "needs", "output_tokens"),
    [
        (Task.CHAT, frozenset(), 350),
        (Task.WRITING, frozenset(), 450),
        (Task.TRANSLATION, frozenset(), 250),
        (Task.SUMMARY, frozenset(), 200),
        (Task.CLASSIFICATION, frozenset(), 20),
        (Task.MATH, frozenset(), 1_000),
        (Task.TOOL_CALL, frozenset(), 80),
        (Task.VISION, frozenset(), 300),
        (Task.LONG_CONTEXT, frozenset(), 700),
        (Task.EXTRACTION, frozenset(), 250),
        (Task.FACTS, frozenset(), 150),
        (Task.REASONING, frozenset(), 1_500),
        (Task.CODE, frozenset(), 900),
        (Task.AGENT, frozenset(), 300),
        (Task.CHAT, frozenset({Capability.REASONING}), 1_550),
        (Task.REASONING, frozenset({Capability.REASONING}), 2_700),
    ],
)
def test_how_long_an_answer_usually_is_depends_on_the_task_and_on_reasoning(
    task: Task, needs: frozenset[Capability], output_tokens: int
) -> None:
    asked = replace(CHAT, task=task, needs=needs)

    assert estimated(asked, deployment(), default_max_output_tokens=5_000).output_tokens == output_tokens


@pytest.mark.parametrize(
    ("limit", "output_tokens", "expected_usd", "worst_usd"),
    [
        (349, 349, "0.00549", "0.01149"),  # 1,000 x $2/M + 349 x $10/M; 4,000 x $2/M + 349 x $10/M
        (350, 350, "0.0055", "0.0115"),
        (351, 350, "0.0055", "0.01151"),
    ],
)
def test_a_clients_limit_cuts_the_usual_answer(
    limit: int, output_tokens: int, expected_usd: str, worst_usd: str
) -> None:
    limited = estimated(replace(CHAT, max_output_tokens=limit), deployment())

    assert (limited.output_tokens, limited.max_output_tokens) == (output_tokens, limit)
    assert (limited.expected_usd, limited.worst_usd) == (Decimal(expected_usd), Decimal(worst_usd))


def test_several_choices_read_the_input_once_as_expected_and_once_each_at_worst() -> None:
    three = estimated(replace(CHAT, choices=3), deployment())

    assert (three.output_tokens, three.max_output_tokens) == (1_050, 1_000)  # together; each
    assert three.expected_usd == Decimal("0.0125")  # 1,000 x $2/M + 3 x 350 x $10/M
    assert three.worst_usd == Decimal("0.054")  # 3 x (4,000 x $2/M + 1,000 x $10/M)


class TestTheInputBound:
    def test_an_image_is_bounded_by_the_dearest_rule_known(self) -> None:
        seeing = estimated(replace(CHAT, images=2, needs=frozenset({Capability.IMAGE_INPUT})), deployment())

        assert seeing.input_tokens_bound == 4_000 + 2 * 7_558

    @pytest.mark.parametrize(
        ("needs", "bound"),
        [
            (frozenset({Capability.TOOLS}), 5_024),
            (frozenset({Capability.JSON_SCHEMA}), 5_024),
            (frozenset({Capability.TOOLS, Capability.JSON_SCHEMA}), 5_024),
            (frozenset({Capability.JSON_OBJECT}), 4_000),
        ],
    )
    def test_tools_or_a_schema_make_room_for_the_providers_own_prompt(
        self, needs: frozenset[Capability], bound: int
    ) -> None:
        assert estimated(replace(CHAT, needs=needs), deployment()).input_tokens_bound == bound

    @pytest.mark.parametrize(("input_bytes", "bound"), [(99_999, 99_999), (100_000, 100_000), (100_001, 100_000)])
    def test_no_prompt_is_longer_than_the_window(self, input_bytes: int, bound: int) -> None:
        assert estimated(replace(CHAT, input_bytes=input_bytes), deployment()).input_tokens_bound == bound

    def test_files_whose_bytes_bound_nothing_may_fill_the_window(self) -> None:
        assert estimated(replace(CHAT, has_unbounded_parts=True), deployment()).input_tokens_bound == 100_000


class TestTheOutputLimit:
    def test_without_one_the_policys_default_is_sent(self) -> None:
        assert estimated(CHAT, deployment(), default_max_output_tokens=9_999).max_output_tokens == 9_999

    def test_the_default_is_cut_to_what_the_deployment_gives(self) -> None:
        assert estimated(CHAT, deployment(), default_max_output_tokens=10_001).max_output_tokens == 10_000

    @pytest.mark.parametrize(
        ("input_tokens", "limit"),
        [(98_999, 1_000), (99_000, 1_000), (99_001, 999), (99_999, 1), (100_000, 1), (100_001, 1)],
    )
    def test_the_default_is_cut_to_what_the_input_leaves_of_the_window(self, input_tokens: int, limit: int) -> None:
        assert estimated(replace(CHAT, input_tokens=input_tokens), deployment()).max_output_tokens == limit

    @pytest.mark.parametrize(
        ("input_tokens", "input_bytes", "limit"),
        [
            (64_000, 400_000, 34_000),  # a 32nd of 64,000 is 2,000
            (64_000, 65_000, 35_000),  # no more tokens than bytes
            (96_970, 400_000, 1),
        ],
    )
    def test_a_count_that_may_be_low_leaves_a_margin_in_the_window(
        self, input_tokens: int, input_bytes: int, limit: int
    ) -> None:
        profile = replace(CHAT, input_tokens=input_tokens, input_bytes=input_bytes)
        roomy = replace(deployment(), max_output_tokens=50_000)

        assert estimated(profile, roomy, default_max_output_tokens=50_000).max_output_tokens == limit

    def test_a_clients_own_limit_is_never_changed(self) -> None:
        own = estimated(replace(CHAT, max_output_tokens=200_000), deployment(), max_cost_usd="0.01")

        assert own.max_output_tokens == 200_000

    @pytest.mark.parametrize(
        ("ceiling", "limit", "worst_usd"),
        [
            ("0.019", 1_000, "0.018"),  # more than the default needs
            ("0.018", 1_000, "0.018"),  # 4,000 x $2/M + 1,000 x $10/M, to the cent
            ("0.017999", 999, "0.01799"),
            ("0.0115", 350, "0.0115"),  # just the usual answer: 4,000 x $2/M + 350 x $10/M
            ("0.011499", 1_000, "0.018"),  # not even that: left alone, to be rejected as too dear
            ("0.001", 1_000, "0.018"),  # not even the input
        ],
    )
    def test_a_ceiling_cuts_the_default_as_long_as_the_usual_answer_fits(
        self, ceiling: str, limit: int, worst_usd: str
    ) -> None:
        cut = estimated(CHAT, deployment(), max_cost_usd=ceiling)

        assert (cut.max_output_tokens, cut.worst_usd) == (limit, Decimal(worst_usd))

    def test_a_ceiling_is_shared_among_the_choices(self) -> None:
        three = estimated(replace(CHAT, choices=3), deployment(), max_cost_usd="0.0399")

        # $0.0399 / 3 = $0.0133 each; less 4,000 x $2/M leaves $0.0053, which is 530 tokens at $10/M.
        assert (three.max_output_tokens, three.worst_usd) == (530, Decimal("0.0399"))

    def test_where_output_is_free_a_ceiling_cuts_nothing(self) -> None:
        free_output = deployment(always(per_mtok("2", "0")))

        assert estimated(CHAT, free_output, max_cost_usd="0.001").max_output_tokens == 1_000


class TestTiers:
    TIERED = Price(base=PLAIN, tiers=(Tier(4_000, per_mtok("4", "15")),))

    @pytest.mark.parametrize(
        ("input_tokens", "expected_usd"),
        [
            (3_999, "0.011498"),  # 3,999 x $2/M + 350 x $10/M
            (4_000, "0.0115"),  # at the threshold the base rates still hold
            (4_001, "0.021254"),  # one above, all is repriced: 4,001 x $4/M + 350 x $15/M
        ],
    )
    def test_the_expected_cost_is_that_of_the_tier_expected(self, input_tokens: int, expected_usd: str) -> None:
        long = replace(CHAT, input_tokens=input_tokens, input_bytes=20_000)

        assert estimated(long, deployment(always(self.TIERED))).expected_usd == Decimal(expected_usd)

    @pytest.mark.parametrize(
        ("input_bytes", "worst_usd", "dearest"),
        [
            (3_999, "0.017998", PLAIN),  # 3,999 x $2/M + 1,000 x $10/M
            (4_000, "0.018", PLAIN),
            (4_001, "0.031004", per_mtok("4", "15")),  # 4,001 x $4/M + 1,000 x $15/M
        ],
    )
    def test_the_worst_case_is_that_of_the_dearest_tier_the_bound_reaches(
        self, input_bytes: int, worst_usd: str, dearest: Rates
    ) -> None:
        short = replace(CHAT, input_tokens=500, input_bytes=input_bytes)

        at_worst = estimated(short, deployment(always(self.TIERED)))

        assert (at_worst.worst_usd, at_worst.dearest_rates) == (Decimal(worst_usd), dearest)


class TestPricesThatChange:
    PEAK = per_mtok("3", "8")
    PEAK_FROM_ONE_TO_FOUR = PriceList(
        (
            PriceEntry(Price(PLAIN), source="a test"),
            PriceEntry(Price(PEAK), source="a test", daily=(time(1), time(4))),
        )
    )
    DEAREST_OF_BOTH = per_mtok("3", "10")

    @pytest.mark.parametrize(
        ("moment", "expected_usd", "dearest"),
        [
            (time(0, 44, 59), "0.0055", PLAIN),  # 1,000 x $2/M + 350 x $10/M
            (time(0, 45), "0.0055", DEAREST_OF_BOTH),  # a call begun now may end in the peak
            (time(0, 59, 59), "0.0055", DEAREST_OF_BOTH),
            (time(1), "0.0058", PEAK),  # 1,000 x $3/M + 350 x $8/M
            (time(3, 44, 59), "0.0058", PEAK),
            (time(3, 45), "0.0058", DEAREST_OF_BOTH),
            (time(3, 59, 59), "0.0058", DEAREST_OF_BOTH),
            (time(4), "0.0055", PLAIN),
        ],
    )
    def test_a_call_is_expected_at_todays_price_and_held_for_a_quarter_of_an_hour_to_come(
        self, moment: time, expected_usd: str, dearest: Rates
    ) -> None:
        now = Conditions(now=datetime.combine(NOON.now, moment, tzinfo=UTC))

        result = estimated(CHAT, deployment(self.PEAK_FROM_ONE_TO_FOUR), conditions=now)

        assert (result.expected_usd, result.dearest_rates) == (Decimal(expected_usd), dearest)

    def test_without_a_price_there_is_no_estimate(self) -> None:
        nowhere = deployment(PriceList((PriceEntry(Price(PLAIN), source="a test", daily=(time(13), time(14))),)))

        assert estimate(CHAT, nowhere, conditions=NOON, default_max_output_tokens=DEFAULT) is None

    @pytest.mark.parametrize(
        ("minute", "is_known"),
        [(44, True), (45, False), (46, False)],
    )
    def test_a_price_that_ends_within_the_call_is_not_known(self, minute: int, *, is_known: bool) -> None:
        until_one = PriceEntry(Price(PLAIN), source="a test", ends=datetime(2026, 11, 23, 13, tzinfo=UTC))
        now = Conditions(now=datetime(2026, 11, 23, 12, minute, tzinfo=UTC))

        result = estimate(CHAT, deployment(PriceList((until_one,))), conditions=now, default_max_output_tokens=DEFAULT)

        assert (result is not None) is is_known


def test_a_hold_is_rounded_up_to_the_next_nano_dollar() -> None:
    odd = deployment(always(per_mtok("0.00033", "0")))

    # 4,000 x $0.00033/M is $0.00000132: 1,320 nano-dollars exactly; 4,001 bytes make 1,320.33.
    assert estimated(CHAT, odd).worst_nano_usd == 1_320
    assert estimated(replace(CHAT, input_bytes=4_001), odd).worst_nano_usd == 1_321


class TestAShorterCall:
    """Of a call held at 4,000 x $2/M + 1,000 x $10/M = $0.018, expected to answer with 350 tokens."""

    @pytest.mark.parametrize(
        ("left_usd", "limit", "worst_usd"),
        [
            ("0.1", 1_000, "0.018"),  # never longer than it was
            ("0.018", 1_000, "0.018"),
            ("0.01799", 999, "0.01799"),
            ("0.0179899", 998, "0.01798"),
            ("0.0115", 350, "0.0115"),  # just the usual answer: 4,000 x $2/M + 350 x $10/M
        ],
    )
    def test_it_may_be_as_long_as_what_is_left_pays_for(self, left_usd: str, limit: int, worst_usd: str) -> None:
        whole = estimated(CHAT, deployment())

        shorter = shortened(whole, choices=1, left_usd=Decimal(left_usd))

        assert shorter == msgspec.structs.replace(whole, max_output_tokens=limit, worst_usd=Decimal(worst_usd))

    @pytest.mark.parametrize("left_usd", ["0.0114999", "0.008", "0"])
    def test_there_is_none_if_the_usual_answer_does_not_fit(self, left_usd: str) -> None:
        assert shortened(estimated(CHAT, deployment()), choices=1, left_usd=Decimal(left_usd)) is None

    def test_what_is_left_is_shared_among_the_choices(self) -> None:
        three = estimated(replace(CHAT, choices=3), deployment())

        # $0.054 at worst, of which 3 x 4,000 x $2/M is input; $0.0105 more buys each choice its usual 350 tokens.
        shorter = shortened(three, choices=3, left_usd=Decimal("0.0345"))

        assert shorter == msgspec.structs.replace(three, max_output_tokens=350, worst_usd=Decimal("0.0345"))
        assert shortened(three, choices=3, left_usd=Decimal("0.034499")) is None

    def test_a_usual_answer_that_cannot_be_shared_evenly_is_rounded_down(self) -> None:
        three = estimated(replace(CHAT, choices=3), deployment())
        odd = msgspec.structs.replace(three, output_tokens=1_051)

        assert shortened(odd, choices=3, left_usd=Decimal("0.0345")) is not None

    def test_where_output_is_free_a_shorter_call_costs_the_same(self) -> None:
        free_output = estimated(CHAT, deployment(always(per_mtok("2", "0"))))

        assert shortened(free_output, choices=1, left_usd=Decimal(1)) is None


class TestTheTurnsToCome:
    """Each like this one, but for what is cached by then; what they add is new once and read again ever after."""

    WHERE = deployment(always(per_mtok("2", "10", cached_input_usd="0.2")))
    AHEAD = replace(NOON, further_turns=3, growth_tokens=100, later_tokens={WHERE.id: 900})

    def test_none_are_expected_unless_they_are_foreseen(self) -> None:
        alone = estimated(CHAT, self.WHERE)

        assert (alone.later_usd, alone.ranked_usd) == (Decimal(0), alone.expected_usd)

    @pytest.mark.parametrize("warm", [0, 500])
    def test_they_find_the_prompt_in_the_cache_wherever_it_is_sent_now(self, warm: int) -> None:
        ahead = estimated(CHAT, self.WHERE, conditions=replace(self.AHEAD, warm_tokens={self.WHERE.id: warm}))

        # 3 x (100 x $2/M + 900 x $0.2/M + 350 x $10/M) + 100 new three times at $2/M, and 3 x 100 again at $0.2/M.
        assert ahead.later_usd == Decimal("0.0123")
        assert ahead.ranked_usd == ahead.expected_usd + Decimal("0.0123")

    def test_where_nothing_will_be_cached_they_pay_for_everything_again(self) -> None:
        # 3 x (1,000 x $2/M + 350 x $10/M) + 3 x 100 x $2/M and 3 x 100 again at $2/M.
        assert estimated(CHAT, self.WHERE, conditions=replace(self.AHEAD, later_tokens={})).later_usd == Decimal(
            "0.0177"
        )

    def test_growth_is_counted_in_the_models_own_tokens(self) -> None:
        where = deployment(always(per_mtok("2", "10")), token_ratio=1.5)

        # 3 x (1,500 x $2/M + 350 x $10/M) + 6 x 150 x $2/M.
        assert estimated(CHAT, where, conditions=replace(self.AHEAD, later_tokens={})).later_usd == Decimal("0.0213")

    def test_nothing_that_is_paid_to_be_written_now_is_paid_for_again(self) -> None:
        asking = replace(CHAT, input_tokens=2_000, asks_cache=True)
        where = deployment(always(CACHING))
        ahead = estimated(asking, where, conditions=replace(NOON, further_turns=1, later_tokens={where.id: 2_000}))

        assert ahead.expected_usd == Decimal("0.0085")  # 2,000 x $2.5/M + 350 x $10/M
        assert ahead.later_usd == Decimal("0.0039")  # 2,000 x $0.2/M + 350 x $10/M


def test_the_worst_case_has_room_for_the_fees_of_the_call_and_of_every_image() -> None:
    with_fees = replace(PLAIN, request=Decimal("0.005"), image=Decimal("0.01"))
    pictures = replace(CHAT, images=3, choices=2)

    without = estimated(pictures, deployment(always(PLAIN)))
    result = estimated(pictures, deployment(always(with_fees)))

    assert result.worst_usd == without.worst_usd + 2 * (Decimal("0.005") + 3 * Decimal("0.01"))


# 900 tokens of text and 100 as ids, in three prompts of which the longest has 600.
SEVERAL = replace(
    CHAT, prompts=3, longest_prompt_tokens=600, id_tokens=100, choices=3, max_output_tokens=10, apis=(Api.COMPLETIONS,)
)


def test_token_ids_are_the_models_own_and_texts_are_scaled() -> None:
    assert estimated(SEVERAL, deployment(token_ratio=1.2)).input_tokens == 1_180  # 900 x 1.2 + 100


def test_each_of_several_prompts_is_read_once_for_each_of_its_answers() -> None:
    # 4,000 bytes and 32 tokens for each prompt at $2/M, once; 3 x 10 tokens at $10/M.
    assert estimated(SEVERAL, deployment()).worst_usd == Decimal("0.008492")
    # With two answers to each prompt the input may be billed twice: 2 x 4,096 x $2/M + 6 x 10 x $10/M.
    assert estimated(replace(SEVERAL, choices=6), deployment()).worst_usd == Decimal("0.016984")


def test_a_prompt_that_is_repeated_may_be_billed_as_output_too() -> None:
    # As above, and 4,096 x $10/M.
    assert estimated(replace(SEVERAL, echoes_prompt=True), deployment()).worst_usd == Decimal("0.049452")


def test_each_of_several_prompts_may_fill_the_window() -> None:
    long = replace(SEVERAL, input_bytes=1_000_000)

    assert estimated(long, deployment()).input_tokens_bound == 3 * 100_000
    assert estimated(replace(long, prompts=1, choices=1), deployment()).input_tokens_bound == 100_000


def test_what_is_only_read_costs_its_input_alone() -> None:
    embedded = replace(CHAT, max_output_tokens=0, apis=(Api.EMBEDDINGS,))

    result = estimated(embedded, deployment())

    assert (result.output_tokens, result.max_output_tokens) == (0, 0)
    assert result.expected_usd == Decimal("0.002")  # 1,000 x $2/M
    assert result.worst_usd == Decimal("0.008064")  # 4,032 x $2/M
