"""Rows are what the plain way of making them gives, however it is hurried."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from router.ledger import LedgerEntry
from router.storage import statements
from router.storage.rows import entry_row, moment_text
from tests.replacing import replace
from tests.storage.entries import entries

_texts = st.text(st.sampled_from("aZ 0\0é漢\ud800\udfff\U0001f375"), max_size=8)
_zones = st.sampled_from([UTC, timezone.utc, timezone(timedelta(0)), timezone(timedelta(hours=-9, minutes=30))])  # noqa: UP017 - the other name


def keepable(text: str) -> str:
    return re.sub("[\0\ud800-\udfff]", "\ufffd", text)


@given(each=entries, alias=_texts, tags=st.lists(_texts, max_size=3))
def test_only_what_no_store_can_keep_is_replaced(each: LedgerEntry, alias: str, tags: list[str]) -> None:
    row = dict(zip(statements.ENTRY_COLUMNS, entry_row(replace(each, alias=alias, tags=tuple(tags))), strict=True))

    assert row["alias"] == keepable(alias)
    assert row["tags"] == json.dumps([keepable(tag) for tag in dict.fromkeys(tags)], separators=(",", ":"))
    assert (row["outcome"], type(row["outcome"])) == (each.outcome.value, str)
    assert row["held_at"] == moment_text(each.held_at)
    assert row["at"] == each.at.astimezone(UTC).isoformat(timespec="microseconds")


@given(moment=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=_zones))  # noqa: DTZ001 - made aware
def test_a_moment_is_written_in_utc_with_microseconds(moment: datetime) -> None:
    text = moment_text(moment)

    assert datetime.fromisoformat(text) == moment
    assert (len(text), text[-6:]) == (32, "+00:00")
