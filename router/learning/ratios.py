"""How many input tokens a provider reports for those we count: `Ratios`, by model, language and kind of text.

Only OpenAI's vocabulary is local. Another one makes more or fewer tokens of the same text, by a factor that depends
above all on the language; and each provider adds tokens of its own, for its template, for tools (549 at Claude), for a
schema, and counts pictures in its own way. So what is learned of a model is

    reported = (slope + of its language + of its kind) x counted + template + tools + schema + each image

and each part takes from an error the share that fits how uncertain it still is, as a Kalman filter does. The language
may be far from the model's slope and the kind only a little from its language, so few requests teach the former and
many the latter. Errors are taken relative to the length of the prompt. Everything stays a little uncertain, so that
old lessons fade; and an error far beyond what is usual counts as one that is just beyond it.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import log2, sqrt
from typing import Any

from router.catalog.catalog import Capability, ModelName
from router.decision.facts import RequestProfile

# How uncertain each part is at first, as variances: of reported / counted for the slopes, of tokens for the rest. The
# catalog's ratio is right to a tenth (openrouter.md §8); languages differ by up to three times it.
_SLOPE, _LANGUAGE, _KIND = 0.1**2, 0.3**2, 0.04**2
_TEMPLATE, _TOOLS, _SCHEMA, _IMAGE = 10.0**2, 300.0**2, 300.0**2, 500.0**2
_FORGET = 1e-6  # added to the variance of a slope by each request
_FORGET_TOKENS = 0.1
_NOISE, _LEAST_NOISE = 0.02**2, 0.003**2  # of one request around what is expected: at first, and at least
_FAR_OFF = 3.0  # standard deviations
_MOST_KINDS = 500  # of one model; the one unheard of longest goes
_LEAST_RATIO = 0.1  # no vocabulary is known to be below

_Features = tuple[float, float, float, float]
_Part = list[float]  # a value and its variance
_PARTS = 4  # template, tools, schema, each image


class _Vocabulary:
    """What is known of one model."""

    __slots__ = ("_covariance", "_kinds", "_languages", "_noise", "_overhead", "_slope", "_slopes")

    def __init__(self, ratio: float) -> None:
        self._slope: _Part = [ratio, _SLOPE]
        self._languages: dict[str, _Part] = {}
        self._kinds: dict[str, _Part] = {}  # the one heard of last is the last
        self._overhead = [0.0] * _PARTS  # tokens
        first = (_TEMPLATE, _TOOLS, _SCHEMA, _IMAGE)
        self._covariance = [[first[row] if row == column else 0.0 for column in range(_PARTS)] for row in range(_PARTS)]
        self._noise = _NOISE
        self._slopes: dict[str, float] = {}  # of a kind, all in, until the next lesson: every decision asks

    def ratio(self, language: str, kind: str, features: _Features) -> float:
        slope = self._slopes.get(kind)
        if slope is None:
            slope = self._slopes[kind] = self._slope_of(language, kind)
        template, tools, schema, image = self._overhead
        each, with_tools, with_schema, with_images = features
        if with_tools or with_schema or with_images:
            return slope + template * each + tools * with_tools + schema * with_schema + image * with_images
        return slope + template * each

    def _slope_of(self, language: str, kind: str) -> float:
        of_language, of_kind = self._languages.get(language), self._kinds.get(kind)
        return self._slope[0] + (of_language[0] if of_language else 0.0) + (of_kind[0] if of_kind else 0.0)

    def follow(self, language: str, kind: str, features: _Features, reported: float) -> None:
        """`reported` is what was reported for each token counted."""
        off = reported - self.ratio(language, kind, features)
        self._slopes.clear()
        slopes = (
            self._slope,
            self._languages.setdefault(language, [0.0, _LANGUAGE]),
            self._kinds.pop(kind, None) or [0.0, _KIND],
        )
        self._kinds[kind] = slopes[2]
        if len(self._kinds) > _MOST_KINDS:
            del self._kinds[next(iter(self._kinds))]
        uncertain = slopes[0][1] + slopes[1][1] + slopes[2][1]
        if any(features[1:]):
            towards = [_product(row, features) for row in self._covariance]
            uncertain += max(0.0, _product(towards, features))
        else:  # plain text, as most is: the other products are 0
            towards = [row[0] * features[0] for row in self._covariance]
            uncertain += max(0.0, towards[0] * features[0])
        total = uncertain + self._noise
        far = _FAR_OFF * sqrt(total)
        off = min(max(off, -far), far)
        for slope in slopes:
            share = slope[1] / total
            slope[0] += share * off
            slope[1] = slope[1] * (1 - share) + _FORGET
        first, second, third, fourth = towards
        for row, of_row in enumerate(self._covariance):
            share = towards[row] / total
            self._overhead[row] += share * off
            of_row[0] -= share * first
            of_row[1] -= share * second
            of_row[2] -= share * third
            of_row[3] -= share * fourth
            if features[row]:
                of_row[row] = max(of_row[row], 0.0) + _FORGET_TOKENS
        # What is left after the update is noise, but for what was uncertain still.
        left = off * self._noise / total
        self._noise = max(_LEAST_NOISE, 0.98 * self._noise + 0.02 * left * left * total / self._noise)

    def as_data(self) -> list[Any]:
        kinds = [[kind, *part] for kind, part in self._kinds.items()]
        languages = [[language, *part] for language, part in self._languages.items()]
        return [self._slope, languages, kinds, self._overhead, self._covariance, self._noise]

    @classmethod
    def from_data(cls, data: list[Any]) -> "_Vocabulary":
        slope, languages, kinds, overhead, covariance, noise = data
        known = cls(1.0)
        known._slope = [float(each) for each in slope]
        known._languages = {str(name): [float(value), float(variance)] for name, value, variance in languages}
        known._kinds = {str(name): [float(value), float(variance)] for name, value, variance in kinds}
        known._overhead = [float(each) for each in overhead]
        known._covariance = [[float(each) for each in row] for row in covariance]
        known._noise = float(noise)
        if [len(known._overhead), *map(len, known._covariance)] != [_PARTS] * (_PARTS + 1) or len(known._slope) != 2:
            raise ValueError("not a vocabulary")
        return known


def _product(row: Sequence[float], features: _Features) -> float:
    """Of two vectors. Written out, as is the update above: every answer is learned from, and loops over four figures
    cost twice as much."""
    a, b, c, d = row
    template, tools, schema, image = features
    return a * template + b * tools + c * schema + d * image


class Ratios:
    """Of as many models as the catalog has."""

    def __init__(self, token_ratios: Mapping[ModelName, float]) -> None:
        self.token_ratios = token_ratios  # the catalog's: what to expect at first
        self._vocabularies: dict[ModelName, _Vocabulary] = {}
        self._asked: tuple[RequestProfile | None, str, str, _Features] = (
            None,
            "",
            "",
            (0.0, 0.0, 0.0, 0.0),
        )

    def ratio(self, model: ModelName, profile: RequestProfile) -> float | None:
        """Tokens to expect for each that we count; None if nothing has been learned of the model."""
        known = self._vocabularies.get(model)
        if known is None:
            return None
        asked = self._asked
        if asked[0] is not profile:  # the candidates of one decision share all but the model
            asked = self._asked = (profile, profile.language, _kind(profile), _features(profile))
        ratio = known.ratio(asked[1], asked[2], asked[3])
        # Of plain text no vocabulary makes more tokens than it has bytes.
        most = profile.input_bytes / (profile.input_tokens or 1)
        if ratio > most and not (profile.needs or profile.images or profile.has_unbounded_parts):
            return most
        return ratio if ratio > _LEAST_RATIO else _LEAST_RATIO

    def observe(self, model: ModelName, profile: RequestProfile, *, reported: int) -> None:
        """A provider has reported so many input tokens for the request."""
        if profile.input_tokens <= 0 or reported <= 0 or profile.has_unbounded_parts or profile.id_tokens:
            return  # nobody counted what is in a file, and ids are no text
        known = self._vocabularies.get(model)
        if known is None:
            known = self._vocabularies[model] = _Vocabulary(self.token_ratios.get(model, 1.0))
        known.follow(profile.language, _kind(profile), _features(profile), reported / profile.input_tokens)

    def forget(self, model: ModelName) -> None:
        self._vocabularies.pop(model, None)

    def as_data(self) -> Iterator[list[Any]]:
        """JSON-ready, one model after the other; others may be learned meanwhile."""
        for model, known in list(self._vocabularies.items()):
            yield [model, known.as_data()]

    def take(self, data: list[Any]) -> None:
        """A model from `as_data`. Raises ValueError or TypeError if it is none."""
        model, known = data
        self._vocabularies[ModelName(model)] = _Vocabulary.from_data(known)


def _kind(profile: RequestProfile) -> str:
    """What the ratio depends on within a language.

    Bytes per token of ours tell kinds of text apart without reading them: 1.5 for figures, 4.5 for English prose. In
    steps of a fifth, so that texts of one kind are in one or two of them.
    """
    # With pictures the bytes are theirs. (The enums are text themselves; their `value` is a call of Python.)
    step = "" if profile.images else round(4 * log2(max(profile.input_bytes / (profile.input_tokens or 1), 0.01)))
    return f"{profile.language}/{profile.task}/{step}"


def _features(profile: RequestProfile) -> _Features:
    """What is in the prompt beside text, per token counted: template, tools, schema, images."""
    each = 1 / (profile.input_tokens or 1)
    return (
        each,
        each if Capability.TOOLS in profile.needs else 0.0,
        each if Capability.JSON_SCHEMA in profile.needs else 0.0,
        each * profile.images,
    )
