"""What is learned of answers' quality: by team, when it may speak, when it is silenced, what is forgotten and kept."""

import json
import random
from collections.abc import Sequence

import msgspec
import pytest

from router.catalog.catalog import Catalog, Task
from router.learning.quality import Installed, QualityLessons
from router.learning.quality_features import features_of
from router.learning.quality_refit import LEAST_LABELS, Refit, Replay
from router.learning.quality_ridge import probability
from router.quality.labels import Label, Signal, SignalAccuracy
from router.quality.predictor import NO_LESSON
from tests.decision.builders import always, at, catalog, model, per_mtok
from tests.learning.labels import FLASH, PRO, RESEARCH, SEARCH, label, profile
from tests.replacing import replace


def scored(good: float, count: int, *, begins: int = 1, seed: int = 1, task: Task = Task.CODE) -> list[Label]:
    """So many labels, of which that share is good; forecast is 73 %."""
    chance = random.Random(seed)
    return [label(number, score=float(chance.random() < good), task=task) for number in range(begins, begins + count)]


def refit(lessons: QualityLessons, labels: Sequence[Label]) -> Refit:
    replay = Replay(labels)
    for _ in replay.run():
        pass
    judged = replay.judged(SEARCH)
    lessons.install(SEARCH, replay.corrections, speaks=judged.is_promoted, until=len(labels))
    return judged


def learned(lessons: QualityLessons, labels: Sequence[Label], *, begins: int = 1) -> list[bool]:
    return [lessons.learn(each, number) for number, each in enumerate(labels, start=begins)]


def test_nothing_learned_speaks_before_a_refit_has_promoted_it() -> None:
    lessons = QualityLessons()
    learned(lessons, scored(0.3, 600))

    assert lessons.lesson(FLASH, profile(), None) is NO_LESSON
    assert lessons.due() == [SEARCH]


def test_a_forecast_that_is_wrong_is_put_right_for_the_team_alone_that_said_so() -> None:
    lessons, labels = QualityLessons(), scored(0.4, 600)
    judged = refit(lessons, labels)

    assert (judged.is_promoted, judged.why) == (True, "better")
    lesson = lessons.lesson(FLASH, profile(), None)
    assert probability(1.0 + lesson.shift) == pytest.approx(0.4, abs=0.06)
    assert lesson.labels == pytest.approx(0.81 * 600, rel=0.15)
    assert 0 < lesson.variance < 0.1
    assert lessons.lesson(FLASH, profile(team=RESEARCH), None) is NO_LESSON


def test_a_forecast_that_is_right_is_let_be() -> None:
    lessons = QualityLessons()
    judged = refit(lessons, scored(0.73, 600))

    assert not judged.is_promoted
    assert lessons.lesson(FLASH, profile(), None) is NO_LESSON


def test_what_is_learned_is_silenced_when_the_world_turns_and_speaks_again_after_the_next_refit() -> None:
    lessons, before = QualityLessons(), scored(0.3, 600)
    refit(lessons, before)
    after = scored(0.95, 400, begins=601)

    silenced = learned(lessons, after, begins=601)

    assert silenced.count(True) == 1
    assert silenced.index(True) < 100
    assert lessons.lesson(FLASH, profile(), None) is NO_LESSON


def test_noise_around_what_was_learned_does_not_silence_it() -> None:
    lessons = QualityLessons()
    refit(lessons, scored(0.4, 600))

    assert not any(learned(lessons, scored(0.4, 400, begins=601, seed=2), begins=601))


def test_a_kind_of_task_that_is_foretold_worse_speaks_against_all() -> None:
    """Code is worse than forecast; lately facts, which had been too, are as forecast."""
    early = [
        each
        for pair in zip(scored(0.3, 800), scored(0.3, 800, begins=801, task=Task.FACTS), strict=True)
        for each in pair
    ]
    late = [
        each
        for pair in zip(scored(0.2, 200, begins=1601), scored(1.0, 200, begins=1801, task=Task.FACTS), strict=True)
        for each in pair
    ]

    judged = refit(QualityLessons(), [*early, *late])

    assert judged.worse == ["facts"]
    assert not judged.is_promoted


def test_the_same_labels_teach_the_same() -> None:
    labels = scored(0.4, 300)
    one, other = QualityLessons(), QualityLessons()
    learned(one, labels)
    learned(other, labels)

    assert list(one.as_data()) == list(other.as_data())


def test_the_last_score_of_an_answer_is_the_one_that_is_learned() -> None:
    changed, plain = QualityLessons(), QualityLessons()
    learned(changed, [label(1, score=1.0), label(1, score=0.0)])
    learned(plain, [label(1, score=0.0)])

    (one,) = [piece for piece in changed.as_data() if piece[0] == "arm"]
    (other,) = [piece for piece in plain.as_data() if piece[0] == "arm"]
    assert one[-1][2] == pytest.approx(other[-1][2])


def test_a_name_that_stands_for_another_model_starts_anew_and_late_scores_of_the_old_one_teach_nothing() -> None:
    lessons = QualityLessons()
    refit(lessons, scored(0.3, 600))
    learned(lessons, [label(700)], begins=700)

    assert [list(piece[6]) for piece in lessons.as_data() if piece[0] == "team"] == [[FLASH]]  # how it does of late

    lessons.forget(FLASH)
    lessons.learn(label(650, score=0.0), 701)

    assert [piece[6] for piece in lessons.as_data() if piece[0] == "team"] == [{}]
    assert [piece for piece in lessons.as_data() if piece[0] == "arm"] == []
    lessons.learn(label(800, score=0.0), 702)
    assert len([piece for piece in lessons.as_data() if piece[0] == "arm"]) == 1


def test_a_version_that_changed_while_nobody_was_running_is_noticed_at_the_next_start() -> None:
    before = QualityLessons()
    before.meet(_catalog("2026-04"))
    learned(before, scored(0.3, 50))
    kept = json.loads(json.dumps(list(before.as_data())))

    same, moved = QualityLessons(), QualityLessons()
    for lessons, version in ((same, "2026-04"), (moved, "2026-09")):
        for piece in kept:
            lessons.take(piece)
        lessons.meet(_catalog(version))

    assert [piece[0] for piece in same.as_data()].count("arm") == 1
    assert [piece[0] for piece in moved.as_data()].count("arm") == 0


def _catalog(version: str) -> Catalog:
    return catalog(replace(at("openrouter", model(FLASH), always(per_mtok("1", "2"))), version=version))


def test_what_is_written_down_comes_back_and_speaks_as_before() -> None:
    before = QualityLessons()
    refit(before, scored(0.4, 600))
    learned(before, scored(0.4, 50, begins=601), begins=601)
    after = QualityLessons()
    for piece in json.loads(json.dumps(list(before.as_data()))):
        after.take(piece)
    for _ in after.solving():
        pass
    for _ in before.solving():
        pass

    one, other = (lessons.lesson(FLASH, profile(), None) for lessons in (before, after))
    assert one == pytest.approx(other, abs=1e-4)
    assert after.last_number == before.last_number
    assert after.judged(profile()) == before.judged(profile())


@pytest.mark.parametrize(
    "piece",
    [
        [],
        ["what", 1],
        ["until"],
        ["until", 7, "2026-11-23T09:30:00", []],
        ["anew", FLASH, "2026-11-23T09:30:00"],
        ["team", "search", True, [], 0, 0, ["no mapping"], {}],
        ["team", "search", True, [], 0, 0, {}, 7],
        ["arm", "search", FLASH, ["always"], [1, [1, 2], [1]]],
    ],
)
def test_what_is_no_such_data_is_refused(piece: list[object]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, IndexError)):
        QualityLessons().take(piece)


def test_a_refit_of_another_process_is_taken_over_once() -> None:
    here, there = QualityLessons(), QualityLessons()
    labels = scored(0.4, 600)
    learned(here, labels)
    refit(there, labels)
    its = _installed(labels)

    assert not here.agree(SEARCH, its)
    steps = list(here.taking_over(SEARCH, its))
    assert len(steps) > 20  # each of some tenth of a millisecond
    assert here.agree(SEARCH, its)

    assert here.lesson(FLASH, profile(), None) == pytest.approx(there.lesson(FLASH, profile(), None), abs=1e-4)
    assert here.agree(SEARCH, msgspec.structs.replace(its, speaks=False))
    assert here.lesson(FLASH, profile(), None) is NO_LESSON


def test_how_often_a_kind_of_work_was_judged_is_taken_over_with_the_refit_and_nothing_counts_twice() -> None:
    knowing, new = QualityLessons(), QualityLessons()
    labels = scored(0.4, 600)
    learned(knowing, labels)
    its = msgspec.structs.replace(_installed(labels), kinds={"code": 600.0, "a kind of a later version": 7.0})

    for lessons in (knowing, new):
        list(lessons.taking_over(SEARCH, its))
        learned(lessons, labels)
        learned(lessons, [label(601)], begins=601)

    assert knowing.judged(profile()) == new.judged(profile()) == 601
    assert new.judged(profile(Task.CHAT)) == 0


@pytest.mark.parametrize(("version", "takes"), [("2026-04", True), ("2026-09", False)])
def test_what_a_refit_has_of_another_version_of_a_model_is_not_taken_over(version: str, takes: bool) -> None:
    lessons = QualityLessons()
    lessons.meet(_catalog(version))
    (deployment,) = _catalog(version)
    its = msgspec.structs.replace(_installed(scored(0.4, 600)), versions={deployment.id: "2026-04"})

    list(lessons.taking_over(SEARCH, its))

    assert bool(lessons.lesson(FLASH, profile(), None).labels) is takes


def _installed(labels: Sequence[Label]) -> Installed:
    return Installed(len(labels), speaks=True, arms=msgspec.Raw(json.dumps(_arms(labels)).encode()))


def _arms(labels: Sequence[Label]) -> list[object]:
    replay = Replay(labels)
    for _ in replay.run():
        pass
    return list(replay.corrections.as_data())


def test_models_without_labels_lean_on_what_holds_for_the_others() -> None:
    lessons = QualityLessons()
    refit(lessons, scored(0.3, 600))

    flash, pro = (lessons.lesson(model, profile(), None) for model in (FLASH, PRO))
    assert flash.shift < pro.shift < 0
    assert pro.labels == 0


def test_judged_counts_the_labels_of_the_kind_once_they_speak() -> None:
    lessons, labels = QualityLessons(), scored(0.3, 600)
    learned(lessons, labels)
    assert lessons.judged(profile()) == 0

    refit(lessons, labels)

    assert lessons.judged(profile(Task.CODE)) == 600
    assert lessons.judged(profile(Task.FACTS)) == 0


def test_that_nobody_asks_again_says_nothing_of_how_good_answers_are() -> None:
    """All answers are asked for again as seldom as ever: that speaks neither for nor against the forecast."""
    replay = Replay([label(number, signal=Signal.RETRY, share=1 / 16) for number in range(1, 400)])
    for _ in replay.run():
        pass

    assert replay.corrections.shift(FLASH, features_of(profile(), None)) == pytest.approx(0, abs=0.25)


def test_a_check_is_measured_by_the_scores_of_answers_it_looked_at() -> None:
    lessons, prior = QualityLessons(), SignalAccuracy(0.9, 0.5)
    assert lessons.check_accuracy(SEARCH, "regex", Task.CODE, prior) == (0.9, 0.5, 0)

    marks = [(1.0, True)] * 60 + [(0.0, True)] * 10 + [(0.0, False)] * 30 + [(0.5, True)] * 9
    learned(
        lessons,
        [label(number, score=score, checks={"regex": passed}) for number, (score, passed) in enumerate(marks, 1)],
    )

    sensitivity, specificity, labels = lessons.check_accuracy(SEARCH, "regex", Task.CODE, prior)
    assert sensitivity == pytest.approx((0.9 * 40 + 60) / 100)
    assert specificity == pytest.approx((0.5 * 40 + 30) / 80)
    assert labels == 100
    assert lessons.check_accuracy(SEARCH, "regex", Task.FACTS, prior).labels == 0


def test_five_hundred_new_labels_make_a_refit_due() -> None:
    lessons = QualityLessons()
    labels = scored(0.5, LEAST_LABELS)
    learned(lessons, labels[:-1])
    assert lessons.due() == []

    learned(lessons, labels[-1:], begins=LEAST_LABELS)
    assert lessons.due() == [SEARCH]

    refit(lessons, labels)
    assert lessons.due() == []


def test_labels_of_features_that_nobody_knows_any_more_teach_what_is_left() -> None:
    older = msgspec.structs.replace(label(1), features={"always": 1.0, "phase_of_the_moon": 1.0})

    assert learned(QualityLessons(), [older]) == [False]
