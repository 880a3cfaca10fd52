"""Which model a name means: the same one is called differently by each provider, and has one name in the catalog.

A model is called as OpenRouter calls it, where it has it: as models.yaml does, and as genai-prices lists. Spellings
below are those of LiteLLM's list of prices (`model_prices_and_context_window_backup.json`, 1.110.2, read 2026-11-30).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from genai_prices.data import providers

_DATE = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2})$")
_CLOUD = re.compile(
    r"^((us|eu|apac|jp|au|ca|sa|us-gov|global)\.)?(anthropic|meta|mistral|amazon|cohere|deepseek|openai|qwen)\."
)
_REVISION = re.compile(r"-v\d+(:\d+)?$|:\d+$")
_FIREWORKS_POINT = re.compile(r"v?(\d)p(\d)")
_DASHED_POINT = re.compile(r"-(\d)-(\d)(?=-|$|@)")
# What hosts of open weights put behind a name for how they serve it, and what says that it was tuned for chat.
_MANNER = re.compile(r"-(turbo|versatile|instant|fp8|fp4|bf16|hf|maas|tee|lite)$")
_TUNED = re.compile(r"-(instruct|chat|it)$")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._:-]+")


class Names:
    """The names of the catalog that models may have: those of the shipped file first, then OpenRouter's."""

    def __init__(self, shipped: Iterable[str], at_openrouter: Iterable[str]) -> None:
        self._shipped = frozenset(shipped)
        self._known = frozenset(at_openrouter) | self._shipped
        self._by_last: dict[str, list[str]] = {}
        self._by_weights: dict[str, list[str]] = {}
        for known in sorted(self._known):
            last = known.rpartition("/")[2]
            self._by_last.setdefault(last, []).append(known)
            self._by_weights.setdefault(_weights(last), []).append(known)

    def is_shipped(self, model: str) -> bool:
        return model in self._shipped

    def is_known(self, model: str) -> bool:
        return model in self._known

    def of_makers(self, makers: Sequence[str]) -> list[str]:
        """The shipped models of these makers; of all, if none is named."""
        return sorted(model for model in self._shipped if not makers or model.partition("/")[0] in makers)

    def meant(self, name: str, makers: Sequence[str] = (), *, by_weights: bool = False) -> str | None:
        """The catalog's name of what a provider calls `name`, if it is known; by one of `makers`, if any are named.

        `by_weights`: a name that differs only in how the weights are served means the same.
        """
        for spelling in spellings(name):
            if (found := _one(self._by_last.get(spelling, ()), makers)) is not None:
                return found
        if not by_weights:
            return None
        return _one(self._by_weights.get(_weights(spellings(name)[0]), ()), makers)


def names(shipped: Mapping[str, object]) -> Names:
    """The names of a catalog file and of genai-prices' list of OpenRouter's models."""
    openrouter = next(provider for provider in providers if provider.id == "openrouter")
    return Names(shipped, (model.id for model in openrouter.models if "/" in model.id and ":" not in model.id))


def spellings(name: str) -> list[str]:
    """How OpenRouter may spell what a provider calls `name`, without the maker: the most exact first."""
    last = name.lower().rpartition("/")[2]
    plain = _REVISION.sub("", _CLOUD.sub("", last))
    return list(dict.fromkeys(_variants(plain)))


def _variants(plain: str) -> Iterator[str]:
    for spelled in (plain, _FIREWORKS_POINT.sub(r"\1.\2", _DASHED_POINT.sub(r"-\1.\2", plain))):
        yield spelled
        undated = _REVISION.sub("", _DATE.sub("", spelled)).removesuffix("-latest")
        yield undated
        # Anthropic's older names end with the size, OpenRouter's begin with it, or not: claude-3-5-sonnet.
        yield _DASHED_POINT.sub(r"-\1.\2", undated)


def _weights(last: str) -> str:
    """A name without how it is served."""
    while (shorter := _MANNER.sub("", last)) != last:
        last = shorter
    return _TUNED.sub("", last).removeprefix("meta-")


def _one(found: Sequence[str], makers: Sequence[str]) -> str | None:
    of_makers = [model for model in found if not makers or model.partition("/")[0] in makers]
    if len(of_makers) == 1:
        return of_makers[0]
    # `llama-3.3-70b-instruct` before whatever else has the same weights.
    tuned = [model for model in of_makers if _TUNED.search(model)]
    return tuned[0] if len(tuned) == 1 else None


def catalog_name(maker: str, name: str) -> str:
    """A name for a model that nobody knows."""
    last = _NOT_IN_A_NAME.sub("-", name.lower().rpartition("/")[2]).strip("-._:")
    return f"{maker}/{last or 'model'}"


def slug(text: str, taken: Iterable[str] = (), *, instead: str = "group") -> str:
    """A name of a-z, 0-9, _ and - that is not taken."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:56] or instead
    plain = f"{plain}-{instead}" if plain == "other" else plain
    used = frozenset(taken)
    numbered = (plain if number == 1 else f"{plain}-{number}" for number in range(1, len(used) + 2))
    return next(each for each in numbered if each not in used)
