"""What learning from feedback is worth, and whether it ever hurts: simulated on exam answers of two real models.

`python -m tests.benchmarks.feedback FILE [--seeds N] [--json]`; FILE is `routellm_mmlu.jsonl.gz` (origin and licence:
its README; Apache-2.0), beside which the other sets of that folder lie.

A stream of questions is answered by a cheap or a strong model, whichever is worth more: the forecast of a right answer,
less 0.10 for each call of the strong one. After each answer it is known whether it was right, of the model that was
asked and of no other. What learns is what production runs: `QualityLessons` and `Replay`, labels and features included;
only the store and the clock are left out. A day has 1,000 requests; what was learned is put to the test every night.

The prior is the catalog's: one published figure for each model (MMLU: 70.6 % Mixtral 8x7B, 86.4 % GPT-4), moved by a
head for hard-looking words that was trained on the other sets, as the shipped one is outside its own domain. Questions
of those sets that are in this one are left out of its training.

Streams: `subjects`, half of the subjects until half time, then the others, abruptly (as near as can be told, the
reference's drift); `one after another`, subject by subject, which is where its figures are from; `random`; `swapped`,
where the two models change places at half time, as if names had been re-pointed unnoticed.

Offline is the same features, fitted on the whole stream with the answers of both models known.
"""

import argparse
import gzip
import json
import random
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import log, sqrt
from pathlib import Path
from typing import Any

from router.catalog.catalog import ModelName
from router.decision.facts import RequestProfile
from router.keys import TeamName
from router.learning.quality import QualityLessons
from router.learning.quality_features import Sparse, named
from router.learning.quality_features import features_of as vector_of
from router.learning.quality_refit import Replay
from router.learning.quality_ridge import Corrections, probability
from router.quality.features import features_of
from router.quality.labels import Label, Signal
from router.quality.signals import TextSignals
from router.wire.requests import ChatReader

CHEAP, STRONG = ModelName("mistralai/mixtral-8x7b"), ModelName("openai/gpt-4-1106")
_KEYS = {CHEAP: "mixtral-8x7b", STRONG: "gpt-4-1106"}
PUBLISHED = {CHEAP: 0.706, STRONG: 0.864}
PRICE = 0.10  # of a call of the strong model, in right answers

TEAM = TeamName("school")
DAY = 1_000  # requests
WINDOW = 1_000
TAIL = 2_000  # the end of a stream
_SOLVED_EVERY = 25  # labels; in production it is every five seconds
_OTHERS = ("mmlupro_29models", "gsm8k_45models", "math_l5_42models", "cruxeval_51models")
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)

_WORD = re.compile(r"[a-z]+|[0-9]+|[^\sa-z0-9]")
_BITS = 15
_EPOCHS = 4
_RATE = 2.0


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and whether each model answers it rightly."""

    subject: str
    profile: RequestProfile
    vector: Sparse
    kept: dict[str, float]  # the features as labels keep them
    prior: dict[ModelName, float]  # log-odds
    right: dict[ModelName, float]


Stream = Sequence[Question]


@dataclass(slots=True)
class Run:
    """What one stream came to: what each request was worth."""

    learned: list[float]
    prior: list[float]
    offline: list[float]
    speaking: float  # share of the requests for which something learned spoke

    def differences(self) -> list[float]:
        return [learned - prior for learned, prior in zip(self.learned, self.prior, strict=True)]


def questions(path: Path, *, overrated: float = 0.0) -> list[Question]:
    """The questions with their priors; `overrated` is added to the published figure of the cheap model."""
    rows = _rows(path)
    head = _Head(_training(path.parent, without={_key(row["prompt"]) for row in rows}))
    logits = [head.log_odds(row["prompt"]) for row in rows]
    middle = sum(logits) / len(logits)
    levels = {CHEAP: _log_odds(PUBLISHED[CHEAP] + overrated), STRONG: _log_odds(PUBLISHED[STRONG])}
    return [_question(row, levels, middle - logit) for row, logit in zip(rows, logits, strict=True)]


def _question(row: dict[str, Any], levels: dict[ModelName, float], difficulty: float) -> Question:
    prompt, scores = row["prompt"], row["score"]
    request = _READER.read(json.dumps({"model": "auto", "messages": [{"role": "user", "content": prompt}]}).encode())
    told = features_of(request)
    profile = RequestProfile(
        alias="auto",
        input_tokens=max(len(prompt) // 4, 1),
        input_bytes=len(prompt),
        images=0,
        max_output_tokens=None,
        choices=1,
        needs=frozenset(),
        task=told.task,
        has_unbounded_parts=False,
        asks_one_hour_cache=False,
        is_stream=False,
        team=TEAM,
        language=told.language,
        difficulty=told.difficulty,
        signals=TextSignals(difficulty_logit=round(difficulty, 4), familiarity=0.8, head="simulated"),
    )
    vector = vector_of(profile, None)
    return Question(
        subject=row["subject"],
        profile=profile,
        vector=vector,
        kept=named(vector),
        prior={model: level - difficulty for model, level in levels.items()},
        right={model: float(scores[key]) for model, key in _KEYS.items()},
    )


_READER = ChatReader()


def streams(asked: Stream, seed: int) -> Iterator[tuple[str, list[Question]]]:
    """The same questions, in each order."""
    chance = random.Random(seed)
    mixed = chance.sample(asked, len(asked))
    subjects = sorted({each.subject for each in asked})
    order = {subject: place for place, subject in enumerate(chance.sample(subjects, len(subjects)))}
    half = len(mixed) // 2
    yield "subjects", sorted(mixed, key=lambda each: order[each.subject] >= len(order) // 2)
    yield "one after another", sorted(mixed, key=lambda each: order[each.subject])
    yield "random", mixed
    yield "swapped", [*mixed[:half], *map(_swapped, mixed[half:])]


def _swapped(each: Question) -> Question:
    right = {CHEAP: each.right[STRONG], STRONG: each.right[CHEAP]}
    return Question(each.subject, each.profile, each.vector, each.kept, each.prior, right)


def run(stream: Stream, seed: int, *, explore: float = 0.0, share: float = 1.0, noise: float = 0.0) -> Run:
    """One stream. `share` of the answers are judged, `noise` of these wrongly."""
    chance = random.Random(seed)
    lessons = QualityLessons()
    labels: list[Label] = []
    solved = spoke = 0
    learned: list[float] = []
    for number, each in enumerate(stream, start=1):
        spoke += lessons.speaks_for(TEAM)
        model = _choice(each, {one: lessons.lesson(one, each.profile, None).shift for one in _KEYS})
        if explore and chance.random() < explore:
            model = STRONG if model == CHEAP else CHEAP
        learned.append(_worth(each, model))
        if chance.random() < share:
            score = each.right[model]
            label = _label(each, model, number, 1.0 - score if chance.random() < noise else score)
            labels.append(label)
            lessons.learn(label, number)
        if len(labels) - solved >= max(_SOLVED_EVERY, len(labels) // 40):
            solved = len(labels)
            _exhaust(lessons.solving())
        if number % DAY == 0 and TEAM in lessons.due():
            replay = Replay(labels[-5_000:])
            _exhaust(replay.run())
            lessons.install(TEAM, replay.corrections, speaks=replay.judged(TEAM).is_promoted, until=number)
    return Run(
        learned,
        prior=[_worth(each, _choice(each, _UNMOVED)) for each in stream],
        offline=_offline(stream),
        speaking=spoke / len(stream),
    )


_UNMOVED = dict.fromkeys(_KEYS, 0.0)


def _choice(each: Question, shifts: Mapping[ModelName, float]) -> ModelName:
    """Whom it is worth to ask, by the priors, moved by so much in log-odds."""
    strong, cheap = (probability(each.prior[model] + shifts[model]) for model in (STRONG, CHEAP))
    return STRONG if strong - cheap > PRICE else CHEAP


def _worth(each: Question, model: ModelName) -> float:
    return each.right[model] - (PRICE if model == STRONG else 0.0)


def _label(each: Question, model: ModelName, number: int, score: float) -> Label:
    at = _BEGAN + timedelta(seconds=number)
    return Label(
        request_id=f"req_{number}",
        number=1,
        signal=Signal.FEEDBACK,
        team=TEAM,
        model=model,
        effort=None,
        version=None,
        task=each.profile.task,
        asked_at=at,
        at=at,
        score=score,
        prior_logit=each.prior[model],
        features=each.kept,
    )


def _offline(stream: Stream) -> list[float]:
    """What each request would be worth if all answers of both models had been known beforehand."""
    known = Corrections(memory=1e9)
    for _ in range(3):  # each around the weights of the one before: Newton's steps
        step = Corrections(memory=1e9)
        for each in stream:
            for model, right in each.right.items():
                prior = each.prior[model]
                step.learn(model, each.vector, prior_logit=prior, score=right, weight=1.0, around=known)
        step.solve()
        known = step
    return [_worth(each, _choice(each, {model: known.shift(model, each.vector) for model in _KEYS})) for each in stream]


class _Head:
    """How hard words look: logistic regression on hashed words and pairs of words, by stochastic gradient."""

    def __init__(self, examples: Sequence[tuple[str, float]]) -> None:
        self._weights = [0.0] * (1 << _BITS)
        self._bias = 0.0
        chance = random.Random(0)
        hashed = [(_hashed(prompt), share) for prompt, share in examples]
        for epoch in range(_EPOCHS):
            chance.shuffle(hashed)
            for places, share in hashed:
                error = share - probability(self._score(places))
                step = _RATE / (1 + epoch) * error / sqrt(len(places) or 1)
                self._bias += 0.01 * error
                for place in places:
                    self._weights[place] += step

    def log_odds(self, prompt: str) -> float:
        """Of a right answer, by a middling model."""
        return max(-3.0, min(self._score(_hashed(prompt)), 3.0))

    def _score(self, places: Sequence[int]) -> float:
        return self._bias + sum([self._weights[place] for place in places]) / sqrt(len(places) or 1)


def _hashed(prompt: str) -> list[int]:
    words = _WORD.findall(prompt.lower())[:400]
    pairs = [f"{first} {second}" for first, second in pairwise(words)]
    return sorted({zlib.crc32(each.encode()) & ((1 << _BITS) - 1) for each in (*words, *pairs)})


def _training(folder: Path, *, without: set[str]) -> list[tuple[str, float]]:
    """Prompts of the other sets, with the share of models that answer each rightly."""
    examples: list[tuple[str, float]] = []
    for name in _OTHERS:
        for row in _rows(folder / f"{name}.jsonl.gz"):
            if "prompt" in row and _key(row["prompt"]) not in without:
                scores = [int(each) for each in row["scores"] if each != "-"]
                examples.append((row["prompt"], sum(scores) / len(scores)))
    return examples


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _key(prompt: str) -> str:
    """By which questions are the same (README of the data)."""
    return re.sub(r"[^a-z0-9]", "", prompt.partition("\nA.")[0].lower())[:120]


def windows(differences: Sequence[float], length: int = WINDOW) -> list[float]:
    """The mean of every run of so many."""
    total = sum(differences[:length])
    means = [total / length]
    for gone, come in zip(differences, differences[length:], strict=False):
        total += come - gone
        means.append(total / length)
    return means


def _exhaust(steps: Iterable[None]) -> None:
    for _ in steps:
        pass


def _log_odds(share: float) -> float:
    return log(share / (1.0 - share))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@dataclass(frozen=True, slots=True)
class Line:
    """A kind of stream, over all seeds."""

    stream: str
    learned: float
    prior: float
    offline: float
    learned_at_end: float
    prior_at_end: float
    offline_at_end: float
    worst_window: float  # against the prior, of any seed
    worst_mean_window: float  # of the mean of all seeds
    below: float  # share of the windows in which it was worse than the prior
    speaking: float

    @classmethod
    def of(cls, name: str, runs: Sequence[Run]) -> "Line":
        each = [windows(one.differences()) for one in runs]
        together = [_mean(values) for values in zip(*each, strict=True)]
        return cls(
            name,
            _mean([_mean(one.learned) for one in runs]),
            _mean([_mean(one.prior) for one in runs]),
            _mean([_mean(one.offline) for one in runs]),
            _mean([_mean(one.learned[-TAIL:]) for one in runs]),
            _mean([_mean(one.prior[-TAIL:]) for one in runs]),
            _mean([_mean(one.offline[-TAIL:]) for one in runs]),
            worst_window=min(min(values) for values in each),
            worst_mean_window=min(together),
            below=_mean([_mean([value < -1e-9 for value in values]) for values in each]),
            speaking=_mean([one.speaking for one in runs]),
        )

    def __str__(self) -> str:
        return (
            f"{self.stream:18} {self.learned:.4f} {self.prior:.4f} {self.offline:.4f} | "
            f"{self.learned_at_end:.4f} {self.prior_at_end:.4f} {self.offline_at_end:.4f} | "
            f"{self.worst_window:+.4f} {self.worst_mean_window:+.4f} {self.below:6.1%} {self.speaking:6.1%}"
        )


HEADINGS = (
    f"{'':18} {'all requests':20} | {f'the last {TAIL}':20} | {'windows of 1,000, against the prior':35}\n"
    f"{'stream':18} {'learned':7} {'prior':6} {'offline':7}| {'learned':7} {'prior':6} {'offline':7}| "
    f"{'worst':7} {'of mean':7} {'below':6} {'speaks':6}"
)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="What learning from feedback is worth, simulated.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--streams", default="", help="only these, separated by commas")
    parser.add_argument("--explore", type=float, default=0.0)
    parser.add_argument("--share", type=float, default=1.0, help="of the answers that are judged")
    parser.add_argument("--noise", type=float, default=0.0, help="share of these judged wrongly")
    parser.add_argument("--overrated", type=float, default=0.0, help="by how much the cheap model's figure is too high")
    chosen = parser.parse_args(arguments)
    asked = questions(chosen.file, overrated=chosen.overrated)
    runs: dict[str, list[Run]] = {}
    for seed in range(chosen.seeds):
        for name, stream in streams(asked, seed):
            if not chosen.streams or name in chosen.streams.split(","):
                its = run(stream, seed, explore=chosen.explore, share=chosen.share, noise=chosen.noise)
                runs.setdefault(name, []).append(its)
    sys.stdout.write(f"{len(asked)} questions, {chosen.seeds} seeds\n{HEADINGS}\n")
    for name, those in runs.items():
        sys.stdout.write(f"{Line.of(name, those)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
