"""How many input tokens a provider reports for those we count: `Ratios`, by model and kind of text.

Only OpenAI's vocabulary is local. Another one makes more or fewer tokens of the same text, by a factor that depends on
the language; and each provider adds tokens of its own, for its template and most of all for tools (549 at Claude). So
what is learned is a straight line, `reported = slope x counted + constant`.

The line is fitted as `reported / counted = slope + constant / counted`, so that a long prompt counts no more than a
short one: it is the relative error that matters. Old requests fade, and one that lies far off the line counts little.
A kind of text that has been seen rarely leans on all that the model has been sent, and that on the catalog's ratio.
"""

from collections.abc import Iterator, Mapping
from math import log2
from typing import Any

from router.catalog.catalog import Capability, ModelName
from router.decision.facts import RequestProfile

_Key = tuple[ModelName, str]  # a model and a kind of text; an empty one stands for all

_FADE = 0.995  # the last 200 requests make up two thirds of all weight
# How much a line leans on the wider one: in requests for its slope, in requests of a thousand tokens for its constant.
_SLOPE_LEAN, _CONSTANT_LEAN = 0.2, 0.2e-6
_FAR_OFF = 3.0  # times the usual distance from the line: from here on a request counts less
_FIRST_DISTANCE = 0.1  # what is taken for usual at first
_LEAST_DISTANCE = 0.002
_SLOPES = (0.1, 10.0)  # no vocabulary is known to be outside


class _Line:
    """A line that follows what it is shown."""

    __slots__ = ("_r", "_u", "_ur", "_uu", "_weight", "constant", "distance", "slope")

    def __init__(self, slope: float, constant: float, distance: float) -> None:
        self.slope = slope
        self.constant = constant
        self.distance = distance  # usual, of reported / counted
        self._weight = self._u = self._uu = self._r = self._ur = 0.0

    def follow(self, counted: int, reported: int, *, wider: "tuple[float, float]") -> None:
        u, r = 1 / counted, reported / counted
        off = abs(r - self.slope - self.constant * u)
        far = _FAR_OFF * self.distance
        weight = 1.0 if off <= far else far / off
        self.distance = max(_LEAST_DISTANCE, 0.95 * self.distance + 0.05 * min(off, 2 * far))
        self._weight = self._weight * _FADE + weight
        self._u = self._u * _FADE + weight * u
        self._uu = self._uu * _FADE + weight * u * u
        self._r = self._r * _FADE + weight * r
        self._ur = self._ur * _FADE + weight * u * r
        self._fit(wider)

    def _fit(self, wider: tuple[float, float]) -> None:
        """Least squares, as if the wider line had been seen a few times."""
        weight, uu = self._weight + _SLOPE_LEAN, self._uu + _CONSTANT_LEAN
        r, ur = self._r + _SLOPE_LEAN * wider[0], self._ur + _CONSTANT_LEAN * wider[1]
        determinant = weight * uu - self._u * self._u  # positive: the two leans see to it
        slope = (r * uu - self._u * ur) / determinant
        self.slope = min(max(slope, _SLOPES[0]), _SLOPES[1])
        self.constant = (ur - self._u * self.slope) / uu

    def as_data(self) -> list[float]:
        return [
            self.slope, self.constant, self.distance, self._weight, self._u, self._uu, self._r, self._ur
        ]  # fmt: skip

    @classmethod
    def from_data(cls, data: list[Any]) -> "_Line":
        slope, constant, distance, weight, u, uu, r, ur = (float(each) for each in data)
        line = cls(slope, constant, distance)
        line._weight, line._u, line._uu, line._r, line._ur = weight, u, uu, r, ur
        return line


class Ratios:
    """Bounded: of more than `most_lines` the one unheard of longest goes."""

    def __init__(self, token_ratios: Mapping[ModelName, float], *, most_lines: int = 3_000) -> None:
        self._token_ratios = token_ratios  # the catalog's: what to expect at first
        self._most_lines = most_lines
        self._lines: dict[_Key, _Line] = {}  # the one heard of last is the last
        self._asked: tuple[RequestProfile | None, str] = (None, "")

    def __len__(self) -> int:
        return len(self._lines)

    def ratio(self, model: ModelName, profile: RequestProfile) -> float | None:
        """Tokens to expect for each that we count; None if nothing has been learned of the model."""
        asked = self._asked
        if asked[0] is not profile:  # the candidates of one decision share all but the model
            asked = self._asked = (profile, _kind(profile))
        line = self._lines.get((model, asked[1])) or self._lines.get((model, ""))
        if line is None:
            return None
        counted = profile.input_tokens or 1
        ratio = line.slope + line.constant / counted
        # Of plain text no vocabulary makes more tokens than it has bytes, nor one for very many of ours.
        most = profile.input_bytes / counted
        if ratio > most and not (profile.needs or profile.images or profile.has_unbounded_parts):
            return most
        return ratio if ratio > _SLOPES[0] else _SLOPES[0]

    def observe(self, model: ModelName, profile: RequestProfile, *, reported: int) -> None:
        """A provider has reported so many input tokens for the request."""
        counted = profile.input_tokens
        if counted <= 0 or reported <= 0:
            return
        at_first = (self._token_ratios.get(model, 1.0), 0.0)
        of_model = self._line((model, ""), *at_first, distance=_FIRST_DISTANCE)
        of_kind = self._line((model, _kind(profile)), of_model.slope, of_model.constant, distance=of_model.distance)
        of_kind.follow(counted, reported, wider=(of_model.slope, of_model.constant))
        of_model.follow(counted, reported, wider=at_first)
        while len(self._lines) > self._most_lines:
            del self._lines[next(iter(self._lines))]

    def forget(self, model: ModelName) -> None:
        for key in [key for key in self._lines if key[0] == model]:
            del self._lines[key]

    def as_data(self) -> Iterator[list[Any]]:
        """JSON-ready, one line after the other, the one heard of last at the end; others may be learned meanwhile."""
        for (model, kind), line in list(self._lines.items()):
            yield [model, kind, line.as_data()]

    def take(self, data: list[Any]) -> None:
        """A line from `as_data`. Raises ValueError or TypeError if it is none."""
        model, kind, line = data
        self._lines[(ModelName(model), str(kind))] = _Line.from_data(line)

    def _line(self, key: _Key, slope: float, constant: float, *, distance: float) -> _Line:
        line = self._lines.pop(key, None) or _Line(slope, constant, distance)
        self._lines[key] = line
        return line


def _kind(profile: RequestProfile) -> str:
    """What the ratio depends on beside the model: the kind of text, and what else is in the prompt.

    Bytes per token of ours tell scripts and kinds of text apart without reading them: 1.5 for figures, 4.5 for English
    prose, 5.5 for Chinese, 8 for Hindi. Steps of a twelfth: texts of one kind are in one or two of them.
    """
    density = profile.input_bytes / max(profile.input_tokens, 1)
    extras = (
        ("t" if Capability.TOOLS in profile.needs else "")
        + ("j" if Capability.JSON_SCHEMA in profile.needs else "")
        + (f"i{profile.images}" if profile.images else "")
        + ("f" if profile.has_unbounded_parts else "")
    )
    # With pictures the bytes are theirs.
    return f"{profile.task.value}/{extras}/{'' if profile.images else round(8 * log2(max(density, 0.01)))}"
