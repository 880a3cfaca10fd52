"""What a correction of the forecast may go by: named numbers of a request, in a fixed order, none of them text.

Each is about 0 to 1, or -1 to 1, so that one scale of prior belief suits all. Data kept elsewhere (labels, what was
learned) has the names, never the positions: a kind of task that is added, or a feature that goes, costs nothing but
itself. A feature whose meaning changes gets a new name.
"""

from collections.abc import Iterable, Mapping
from math import log2, sqrt
from types import MappingProxyType
from typing import NamedTuple

from router.catalog.catalog import Capability, Effort, Task
from router.decision.facts import RequestProfile
from router.quality.language import Language
from router.quality.signals import TextSignals

VERSION = 1  # of the list; for people who compare records of different times

ALWAYS = "always"

# How far each may move a forecast, in log-odds, before anything has been learned: one standard deviation of what we
# hold likely. A level may be off by much, how it depends on a single sign by less.
_SPREAD: Mapping[str, float] = MappingProxyType(
    {
        ALWAYS: 0.8,
        "difficulty": 0.5,  # as it looks (quality/difficulty.py), against 0.5
        "difficulty_logit": 0.5,  # as a trained head has it (quality/signals.py)
        "unfamiliar": 0.3,  # share of the words that the head does not know, where one was asked
        "length": 0.3,  # doublings of the prompt beyond 256 tokens, a tenth each
        "depth": 0.3,  # doublings of the messages of the conversation, a fifth each
        "other_language": 0.5,  # than English
        "tools": 0.5,
        "schema": 0.5,
        "images": 0.5,
        "thinking": 0.5,
        "short_answer": 0.3,  # the client limits it to 256 tokens or fewer
        **{f"task:{task.value}": 0.6 for task in Task},  # against all kinds together
        **{f"effort:{effort.value}": 0.4 for effort in Effort},  # against the model at any effort
    }
)

FEATURES: tuple[str, ...] = tuple(_SPREAD)
# Of the variance, what all models of a team have in common: most of how hard a sign makes a request (measured between
# models of one domain: reference quality.md, finding 8), less of the level, which is where catalogs are wrong.
_SHARE = dict.fromkeys(FEATURES, 0.7) | {
    name: 0.0 if name.startswith("effort:") else 0.2
    for name in FEATURES
    if name == ALWAYS or name.startswith(("task:", "effort:"))
}
_LEAST_SHARE = 1e-6  # a variance of 0 would have no inverse
SHARED_SPREADS: tuple[float, ...] = tuple(
    spread * sqrt(max(_SHARE[name], _LEAST_SHARE)) for name, spread in _SPREAD.items()
)
OWN_SPREADS: tuple[float, ...] = tuple(spread * sqrt(1.0 - _SHARE[name]) for name, spread in _SPREAD.items())
_PLACES: Mapping[str, int] = MappingProxyType({name: place for place, name in enumerate(FEATURES)})
_TASKS: Mapping[Task, int] = MappingProxyType({task: _PLACES[f"task:{task.value}"] for task in Task})
_EFFORTS: Mapping[Effort, int] = MappingProxyType({effort: _PLACES[f"effort:{effort.value}"] for effort in Effort})
_LOGIT, _UNFAMILIAR, _LENGTH, _DEPTH = (_PLACES[name] for name in ("difficulty_logit", "unfamiliar", "length", "depth"))
_DIFFICULTY, _LANGUAGE, _SHORT = (_PLACES[name] for name in ("difficulty", "other_language", "short_answer"))
_NEEDS: tuple[tuple[Capability, int], ...] = (
    (Capability.TOOLS, _PLACES["tools"]),
    (Capability.JSON_SCHEMA, _PLACES["schema"]),
    (Capability.IMAGE_INPUT, _PLACES["images"]),
    (Capability.REASONING, _PLACES["thinking"]),
)

_USUAL_TOKENS = 256
_SHORT_TOKENS = 256
_MOST_LOGIT = 3.0


class Sparse(NamedTuple):
    """A vector by its few places that are not 0."""

    places: tuple[int, ...]
    values: tuple[float, ...]


def features_of(profile: RequestProfile, effort: Effort | None) -> Sparse:
    """The features of a request to a model at that effort; None: as the client asks."""
    places, values = [0], [1.0]
    if profile.difficulty != 0.5:
        places.append(_DIFFICULTY)
        values.append(profile.difficulty - 0.5)
    if profile.signals.head:
        places += (_LOGIT, _UNFAMILIAR)
        values += _of_words(profile.signals)
    if profile.input_tokens:
        places.append(_LENGTH)
        values.append(log2(profile.input_tokens / _USUAL_TOKENS) / 10)
    if len(profile.prefix) > 2:
        places.append(_DEPTH)
        values.append(log2(len(profile.prefix) / 2) / 5)
    if profile.language is not Language.EN and profile.language is not Language.OTHER:
        places.append(_LANGUAGE)
        values.append(1.0)
    if profile.needs:
        asked = [place for need, place in _NEEDS if need in profile.needs]
        places += asked
        values += [1.0] * len(asked)
    if profile.max_output_tokens is not None and profile.max_output_tokens <= _SHORT_TOKENS:
        places.append(_SHORT)
        values.append(1.0)
    places.append(_TASKS[profile.task])
    values.append(1.0)
    effort = effort or profile.effort
    if effort is not None:
        places.append(_EFFORTS[effort])
        values.append(1.0)
    return Sparse(tuple(places), tuple(values))


def _of_words(signals: TextSignals) -> tuple[float, float]:
    return max(-_MOST_LOGIT, min(signals.difficulty_logit, _MOST_LOGIT)), 1.0 - signals.familiarity


def named(features: Sparse) -> dict[str, float]:
    """By name, for what is kept: to five digits."""
    return {
        FEATURES[place]: round(value, 5) for place, value in zip(features.places, features.values, strict=True) if value
    }


def unnamed(features: Mapping[str, float]) -> Sparse:
    """The same as the vector that is learned from; names that are not known any more are left out."""
    known: Iterable[tuple[int, float]] = sorted(
        (_PLACES[name], value) for name, value in features.items() if name in _PLACES
    )
    pairs = tuple(known)
    return Sparse(tuple([place for place, _ in pairs]), tuple([value for _, value in pairs]))
