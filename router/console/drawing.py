"""Drawings as numbers: where bars, points and lines lie, for templates to draw as SVG. No text, no colours.

Lengths are in the units of the drawing's view box, from the left and from the top.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of a line that is `length` long in all."""

    begins: float
    length: float


def bars(parts: Sequence[float], *, whole: float, length: float) -> list[Bar]:
    """One bar after the other, each as long as its part of the whole; what goes beyond the whole is cut off."""
    found: list[Bar] = []
    begins = 0.0
    for part in parts:
        width = min(max(part, 0.0) / whole * length if whole > 0 else 0.0, length - begins)
        found.append(Bar(round(begins, 2), round(width, 2)))
        begins += width
    return found


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float


def steps(
    values: Sequence[tuple[float, float]], *, width: float, height: float, until: float
) -> tuple[str, list[Point]]:
    """The path of figures that each hold from a moment on until the next, oldest first, and where they change."""
    if not values:
        return "", []
    begins, highest = values[0][0], max(value for _, value in values)
    lowest = min(value for _, value in values)
    scale = (width - 4) / (until - begins) if until > begins else 0.0

    def y(value: float) -> float:
        share = (value - lowest) / (highest - lowest) if highest > lowest else 0.5
        return round(height - 3 - share * (height - 6), 2)

    points = [Point(round(2 + (at - begins) * scale, 2), y(value)) for at, value in values]
    path = f"M{points[0].x} {points[0].y}"
    for point in points[1:]:
        path += f"H{point.x}V{point.y}"
    return f"{path}H{width - 2}", points


@dataclass(frozen=True, slots=True)
class Axis:
    """Where figures lie between two ends; evenly, or evenly for each factor of ten."""

    low: float
    high: float
    begins: float
    ends: float
    is_logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high, middle = self.low, self.high, min(max(value, self.low), self.high)
        if self.is_logarithmic:
            low, high, middle = log10(low), log10(high), log10(middle)
        share = (middle - low) / (high - low) if high > low else 0.5
        return round(self.begins + share * (self.ends - self.begins), 2)


def money_axis(values: Sequence[float], *, begins: float, ends: float) -> tuple[Axis, list[float]]:
    """An axis of dollars above nothing, by factors of ten where they lie far apart, and its ticks."""
    known = [value for value in values if value > 0] or [1e-6]
    low, high = min(known), max(known)
    if high / low > 8:
        first, last = _floor_of_ten(low), _floor_of_ten(high) * 10
        ticks = [first]
        while ticks[-1] < last * 0.999:
            ticks.append(ticks[-1] * 10)
        return Axis(first, last, begins, ends, is_logarithmic=True), ticks
    top = _round_above(high)
    return Axis(0.0, top, begins, ends), [0.0, top / 4, top / 2, top * 3 / 4, top]


def _floor_of_ten(value: float) -> float:
    exponent = int(log10(value) // 1)
    return float(f"1e{exponent}")


def _round_above(value: float) -> float:
    unit = _floor_of_ten(value)
    return next(step * unit for step in (1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * unit >= value)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A call on the time line of its request."""

    begins: float
    length: float
    first_token: float | None  # where, from the left


def waterfall(calls: Sequence[tuple[float, float, float | None]], *, whole_s: float, length: float) -> list[Stretch]:
    """Calls by when they began, how long they took and after how long the first token came, in seconds."""
    scale = length / whole_s if whole_s > 1e-9 else 0.0
    found = []
    for began_s, took_s, first_s in calls:
        begins = min(max(began_s, 0.0) * scale, length)
        width = min(max(took_s * scale, 1.5), max(length - begins, 1.5))
        first = None if first_s is None else round(min(begins + first_s * scale, begins + width), 2)
        found.append(Stretch(round(begins, 2), round(width, 2), first))
    return found
