"""What was spent by the hour and by the day, kept beside the entries, so that nobody has to read all of them to see it.

A batch of entries adds to a few rows in its own transaction, and a call that is booked anew moves them: their sums are
those of the entries at any moment. Requests, and what they saved, stand with the model that answered ("" if none did),
tokens and cost with the model that was called, as in `penstock spend --by model`.
"""

from collections.abc import Iterable
from operator import itemgetter

from router.keys import KeyId
from router.ledger import Outcome
from router.storage.rows import KeptEntry, Row, keepable

COLUMNS = (
    "requests",
    "failed",
    "refused",
    "cached",
    "calls",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "cost_nano_usd",
    "baseline_nano_usd",
    "saved_nano_usd",
)
_KEY = ("span", "starts", "team", "model")

# A provider may report any number of tokens. A sum that has grown so large stays as it is: beyond 64 bits no row could
# be written, and with it none of the entries that it is the sum of.
_FULL = 2**62
_MOST_ADDED = 2**61


def _grown(column: str) -> str:
    added = f"totals.{column} + excluded.{column}"
    return f"{column} = CASE WHEN totals.{column} BETWEEN -{_FULL} AND {_FULL} THEN {added} ELSE totals.{column} END"


# Whoever adds to several rows does so in the order of their keys: two processes would else wait for each other.
ADD = f"""
    INSERT INTO totals ({", ".join((*_KEY, *COLUMNS))}) VALUES ({", ".join("?" * (len(_KEY) + len(COLUMNS)))})
    ON CONFLICT ({", ".join(_KEY)}) DO UPDATE SET {", ".join(map(_grown, COLUMNS))}
"""  # noqa: S608 - constants only
SAW_KEY = """
    INSERT INTO key_uses (key_id, last_at) VALUES (?, ?)
    ON CONFLICT (key_id) DO UPDATE SET last_at = excluded.last_at WHERE excluded.last_at > key_uses.last_at
"""

_FAILED = frozenset({Outcome.FAILED, Outcome.CUT, Outcome.LOST})
_NOTHING = (0,) * len(COLUMNS)
_NO_MODEL = ""


def added(kept: Iterable[KeptEntry], *, taken_away: Iterable[KeptEntry] = ()) -> list[Row]:
    """The values of ADD for these entries, less those that they take the place of."""
    hours: dict[tuple[str, str, str], list[int]] = {}
    for each in kept:
        _count(hours, each, 1)
    for each in taken_away:
        _count(hours, each, -1)
    days: dict[tuple[str, str, str], list[int]] = {}
    for (hour, team, model), sums in hours.items():
        day = days.setdefault((hour[:10], team, model), [*_NOTHING])
        for place, value in enumerate(sums):
            day[place] += value
    found = [("day", f"{day}T00:00:00.000000+00:00", *names, *_held(sums)) for (day, *names), sums in days.items()]
    found += [("hour", f"{hour}:00:00.000000+00:00", *names, *_held(sums)) for (hour, *names), sums in hours.items()]
    return sorted((row for row in found if any(row[len(_KEY) :])), key=itemgetter(0, 1, 2, 3))


def _held(sums: list[int]) -> list[int]:
    if max(sums) <= _MOST_ADDED and min(sums) >= -_MOST_ADDED:  # as ever: one by one takes more than all the rest here
        return sums
    return [max(-_MOST_ADDED, min(each, _MOST_ADDED)) for each in sums]


class KeyUses:
    """What has been written of keys' last use, so that it is written once a minute and not with every batch.

    A batch that is rolled back leaves it a minute ahead of the store.
    """

    def __init__(self) -> None:
        self._minutes: dict[KeyId, str] = {}

    def news(self, kept: Iterable[KeptEntry]) -> list[Row]:
        """The values of SAW_KEY."""
        last: dict[KeyId, str] = {}
        for each in kept:
            key, at = each.value.key_id, each.at
            if self._minutes.get(key, "") < at[:16] and last.get(key, "") < at:
                last[key] = at
        for key, at in last.items():
            self._minutes[key] = at[:16]
        return [(keepable(key), last[key]) for key in sorted(last)]


def _count(hours: dict[tuple[str, str, str], list[int]], kept: KeptEntry, sign: int) -> None:
    entry = kept.value
    hour, team, outcome = kept.at[:13], keepable(entry.team), entry.outcome
    cost = 0
    for call in entry.attempts:
        cost += call.cost_nano_usd
        model = keepable(call.model)
        sums = hours.get((hour, team, model))
        if sums is None:
            sums = hours[hour, team, model] = [*_NOTHING]
        sums[4] += sign
        sums[8] += sign * call.cost_nano_usd
        usage = call.usage
        if usage is not None:
            sums[5] += sign * usage.input_tokens
            sums[6] += sign * usage.cached_tokens
            sums[7] += sign * usage.output_tokens
    if outcome is Outcome.SHADOW:  # no request of a client's
        return
    served = entry.served_by
    model = _NO_MODEL if served is None else keepable(served.model)
    sums = hours.get((hour, team, model))
    if sums is None:
        sums = hours[hour, team, model] = [*_NOTHING]
    sums[0] += sign
    if outcome is not Outcome.OK:
        sums[1] += sign * (outcome in _FAILED)
        sums[2] += sign * (outcome is Outcome.REFUSED)
        sums[3] += sign * (outcome is Outcome.CACHED)
    if entry.baseline is not None and entry.baseline_nano_usd is not None:
        sums[9] += sign * entry.baseline_nano_usd
        sums[10] += sign * (entry.baseline_nano_usd - cost)
