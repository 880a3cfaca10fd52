"""Both models estimated from answers of one each: right on average whatever is foretold, or refused."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from router.catalog.catalog import Task
from router.errors import BadOutcomes
from router.evaluation.draws import Draws, Unused, read_draws
from router.evaluation.judging import RANDOM, RouterLine
from router.evaluation.ledger_reporting import (
    as_data,
    is_scored_unequally,
    level_rows,
    rows_of,
    share_recovering,
    usd_at,
)
from router.evaluation.metrics import Curve
from router.evaluation.off_policy import (
    DIFFICULTY,
    FORECAST,
    KINDS,
    LEARNED,
    LedgerJudgement,
    Rows,
    estimated,
    judge_draws,
)
from router.evaluation.plotting import plot
from router.ledger import Period
from router.quality.predictor import TablePredictor
from router.storage.sqlite import SqliteStore
from tests.evaluation.ledgers import CATALOG, EXPLORING, FLASH, GPT, NOW, PRO, RIGHT, world
from tests.replacing import replace


def draws_of(tmp_path_factory: pytest.TempPathFactory, *worlds: tuple[object, object]) -> Draws:
    store = SqliteStore(tmp_path_factory.mktemp("ledger") / "penstock.sqlite")
    for entries, labels in worlds:
        store.write(entries)  # type: ignore[arg-type] # as `world` gives them
        store.keep_labels(labels)  # type: ignore[arg-type]
    found = read_draws(store, store, Period(None, NOW + timedelta(days=1)))
    store.close()
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Draws:
    return draws_of(tmp_path_factory, world(3_000))


@pytest.fixture(scope="module")
def judgement(found: Draws) -> LedgerJudgement:
    return judged(found)


def judged(found: Draws, *, cheap: str | None = None, strong: str | None = None) -> LedgerJudgement:
    return judge_draws(found, cheap=cheap, strong=strong, catalog=CATALOG, quality=TablePredictor())


def test_estimates_are_right_on_average_though_the_lots_were_loaded_and_the_features_mislead() -> None:
    chance = np.random.default_rng(3)
    means, plain = [], []
    for _ in range(300):
        is_hard = chance.random(400) < 0.5
        cheap, strong = chance.random((2, 400)) < np.where(is_hard, [[0.3], [0.8]], [[0.9], [0.9]])
        strong_share = np.where(is_hard, 0.8, 0.2)  # the hard ones went to the strong model
        went = chance.random(400) < strong_share
        rows = Rows(
            went_strong=went,
            probability=np.where(went, strong_share, 1 - strong_share),
            score=np.where(went, strong, cheap).astype(float),
            usd=np.where(went, 10.0, 1.0),
            features=chance.normal(size=(400, 3)),  # of nothing
            kinds=np.full(400, "chat"),
            folds=np.arange(400) % 5,
        )
        outcomes = estimated(rows).outcomes
        means.append([outcomes[0].mean() - cheap.mean(), outcomes[1].mean() - strong.mean()])
        plain.append([rows.score[~went].mean() - cheap.mean(), rows.score[went].mean() - strong.mean()])

    errors = np.std(means, axis=0) / np.sqrt(len(means))
    assert (np.abs(np.mean(means, axis=0)) < 4 * errors).all()
    assert (np.abs(np.mean(plain, axis=0)) > 0.02).all()  # what whoever compares the two as they are is off by


def test_a_router_is_never_taught_by_the_conversation_it_is_asked_about() -> None:
    went = np.arange(100) % 2 == 0
    folds = np.arange(100) // 2 % 5
    rows = Rows(went, np.full(100, 0.5), went.astype(float), np.ones(100), np.eye(100), np.full(100, "chat"), folds)
    other = Rows(
        went,
        rows.probability,
        np.where(folds == 2, 1 - rows.score, rows.score),
        rows.usd,
        rows.features,
        rows.kinds,
        folds,
    )

    one, changed = estimated(rows), estimated(other)

    assert (one.learned[folds == 2] == changed.learned[folds == 2]).all()
    assert (one.table[folds == 2] == changed.table[folds == 2]).all()
    assert (one.learned[folds != 2] != changed.learned[folds != 2]).any()


def test_levels_gap_and_dollars_are_those_of_the_world(judgement: LedgerJudgement) -> None:
    truth = {name: (RIGHT[name, Task.CHAT] + RIGHT[name, Task.MATH]) / 2 for name in (FLASH, GPT)}

    assert (judgement.cheap, judgement.strong, judgement.conversations) == (FLASH, GPT, 3_000)
    for level, name in ((judgement.cheap_level, FLASH), (judgement.strong_level, GPT)):
        assert level.quality_95[0] < truth[name] < level.quality_95[1]
        assert level.quality_95[1] - level.quality_95[0] < 0.08
    assert judgement.cheap_level.usd_per_thousand == pytest.approx(0.1, rel=0.01)
    assert judgement.strong_level.usd_per_thousand == pytest.approx(1.0, rel=0.01)
    assert judgement.has_gap
    assert judgement.as_it_was[0] == pytest.approx(0.2, abs=0.03)


def test_who_knows_which_requests_are_hard_is_better_than_lots_and_lots_are_a_half(judgement: LedgerJudgement) -> None:
    apgr = {each.router.name: each.router.curve.apgr for each in judgement.lines}

    assert set(apgr) == {FORECAST, LEARNED, KINDS, DIFFICULTY, RANDOM}
    assert apgr[RANDOM] == pytest.approx(0.5)
    # All of the gain is in the half that is mathematics: to know the kind is worth close to three quarters.
    assert apgr[KINDS] == pytest.approx(0.74, abs=0.06)
    assert apgr[LEARNED] == pytest.approx(0.74, abs=0.06)
    assert 0.55 < apgr[DIFFICULTY] < 0.82
    for each in judgement.lines[:-1]:
        assert each.router.apgr_interval is not None
        assert each.router.apgr_interval[0] < each.router.curve.apgr < each.router.apgr_interval[1]


def test_the_same_ledger_is_judged_alike_every_time(found: Draws, judgement: LedgerJudgement) -> None:
    assert as_data(judged(found)) == as_data(judgement)


def test_turns_of_one_conversation_are_no_proof_of_their_own(found: Draws, judgement: LedgerJudgement) -> None:
    doubled = replace(found, draws=[each for each in found.draws for _ in range(2)])

    again = judged(doubled)

    assert again.gap == pytest.approx(judgement.gap, abs=0.005)
    widths = [one.gap_95[1] - one.gap_95[0] for one in (again, judgement)]
    assert widths[0] == pytest.approx(widths[1], rel=0.15)  # half the variance it would be of so many alone: .71


def test_rows_have_the_figures_of_evaluate_and_dollars_of_the_books(judgement: LedgerJudgement) -> None:
    kinds = next(row for row in rows_of(judgement) if row[0] == KINDS)
    cheap, strong, was = level_rows(judgement)

    assert 0.45 < float(kinds[1]) < 0.85
    assert 10 < float(kinds[3]) < 40
    assert float(kinds[3]) < float(kinds[4]) < 60
    assert 0.1 < float(kinds[7]) < 1.0
    assert (cheap[0], cheap[3], strong[3], was[5]) == ("always cheap", "0.10", "1.00", "3000")
    assert cheap[6] == "100.0%"


def test_json_says_what_is_known_of_how_many(judgement: LedgerJudgement) -> None:
    data = as_data(judgement)

    assert data["requests"] == {
        "answered": 3_000,
        "scored": 3_000,
        "judged": 3_000,
        "conversations": 3_000,
        "both_outcomes_known": 0,
        "not_judged": {},
        "shadow_copies": 0,
    }
    assert data["has_gap"] is True


def test_where_the_two_are_as_good_no_share_of_a_gap_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    same = {(name, task): 0.8 for name in (FLASH, GPT) for task in (Task.CHAT, Task.MATH)}

    judgement = judged(draws_of(tmp_path_factory, world(600, right=same)))

    assert not judgement.has_gap
    for line in as_data(judgement)["routers"]:  # type: ignore[attr-defined] # a list, as its keys say
        assert (line["apgr"], line["apgr_95"], line["cpt_50"], line["strong_share_for_99"]) == (None,) * 4


def test_a_model_whose_bad_answers_are_scored_more_often_is_suspected(
    tmp_path_factory: pytest.TempPathFactory, judgement: LedgerJudgement
) -> None:
    entries, labels = world(1_000)
    loud = [each for number, each in enumerate(labels) if each.model == GPT or number % 2]

    assert is_scored_unequally(judged(draws_of(tmp_path_factory, (entries, loud))))
    assert not is_scored_unequally(judgement)


def test_of_several_pairs_the_one_with_most_scores_of_both_is_judged_and_the_others_are_counted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    right = RIGHT | {(PRO, Task.CHAT): 0.9, (PRO, Task.MATH): 0.7}
    entries, labels = world(400, rules=replace(EXPLORING, candidates=(FLASH, PRO)), right=right)
    few = [replace(each, request_id=f"few_{each.request_id}") for each in entries]
    few_labels = [replace(each, request_id=f"few_{each.request_id}") for each in labels]
    found = draws_of(tmp_path_factory, world(800), (few, few_labels))

    usual, named = judged(found), judged(found, cheap=FLASH, strong=f"nobody, {PRO}")

    assert (usual.cheap, usual.strong, usual.unused) == (FLASH, GPT, Counter({Unused.OTHER_PAIR: 400}))
    assert (named.cheap, named.strong, named.unused) == (FLASH, PRO, Counter({Unused.OTHER_PAIR: 800}))
    with pytest.raises(BadOutcomes, match="No scored request was drawn between these two; of this time there are: "):
        judged(found, cheap=GPT, strong=PRO)


@pytest.mark.parametrize(
    ("count", "rules", "share", "told"),
    [
        (0, EXPLORING, 1.0, "None of 0 answered requests .* POST /v1/feedback"),
        (50, EXPLORING, 0.0, "None of 50 answered requests .* POST /v1/feedback"),
        (50, replace(EXPLORING, explore=0.0), 1.0, "50 requests .* the model of none was drawn.* set `explore: 0.05`"),
        (50, EXPLORING, 1.0, f"those that {GPT} answered are of 5 conversations, and 20 are needed; raise `explore`"),
    ],
)
def test_what_is_not_known_is_told_with_what_to_do(
    tmp_path_factory: pytest.TempPathFactory, count: int, rules: object, share: float, told: str
) -> None:
    found = draws_of(tmp_path_factory, world(count, rules=rules, share=share))  # type: ignore[arg-type]

    with pytest.raises(BadOutcomes, match=told) as refused:
        judged(found)

    assert "\n" not in refused.value.message


def test_the_least_share_that_recovers_a_part_is_told_though_the_curve_goes_down_again() -> None:
    curve = Curve((0.0, 0.25, 0.5, 1.0), (0.4, 0.7, 0.6, 0.8), 0.4, 0.8)

    assert share_recovering(curve, 0.5) == pytest.approx(0.25 * 2 / 3)


def test_dollars_are_told_between_the_points_too(judgement: LedgerJudgement) -> None:
    line = judgement.lines[-1]

    assert usd_at(line, 0.0) == pytest.approx(0.1, rel=0.01)
    assert usd_at(line, 0.55) == pytest.approx(0.1 + 0.55 * 0.9, rel=0.02)
    assert usd_at(line, 1.0) == pytest.approx(1.0, rel=0.01)


def test_with_a_forecast_of_a_model_that_has_left_the_catalog_the_others_are_judged_all_the_same(found: Draws) -> None:
    gone = judge_draws(
        found, cheap=None, strong=None, catalog=replace(CATALOG, deployments={}), quality=TablePredictor()
    )

    assert [each.router.name for each in gone.lines] == [LEARNED, KINDS, DIFFICULTY, RANDOM]


def test_each_point_of_a_curve_has_its_dollars(judgement: LedgerJudgement) -> None:
    for each in judgement.lines:
        assert len(each.usd_per_thousand) == len(each.router.curve.strong_share)
        assert each.usd_per_thousand[0] == pytest.approx(0.1, rel=0.02)


def test_a_picture_tells_no_share_of_a_gap_that_there_may_not_be(judgement: LedgerJudgement, tmp_path: Path) -> None:
    lines = [each.router for each in judgement.lines]
    nameless = [RouterLine(each.name, Curve((0.0, 1.0), (0.5, 0.5), 0.5, 0.5)) for each in lines]  # APGR is nan
    for name, those, has_gap in (("one", lines, True), ("other", lines, False), ("none", nameless, False)):
        plot(those, tmp_path / name, title="pair", has_gap=has_gap)

    pictures = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    assert pictures["one"] != pictures["other"]
    assert len(pictures["one"]) > len(pictures["other"]) > len(pictures["none"])
