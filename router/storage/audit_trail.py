"""`AuditTrail`: writes the audit log, and watches that nobody else changes it.

The end of the log is kept a second time, in a file of the state directory (`HeadFile`), so that a log whose end was cut
off is seen to be shorter than it was. Every process looks each second at what was added since it looked last; as long
as each row follows from the one before, the file moves on with it, and once one does not, it moves no further.
"""

import fcntl
import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import anyio.to_thread

from router.audit import SYSTEM, Act, Broken, Chain, Entry, Head, Row, head_from, lost_end
from router.errors import PenstockError
from router.storage.errors import StoreUnavailable
from router.storage.rows import moment_text
from router.storage.store import AuditStore

log = logging.getLogger("penstock.audit")

HEAD_FILE = "audit.head"  # in the state directory

_LOOK_S = 1.0
_AT_ONCE = 1_000  # rows read in one go
_MOST_WAITING = 1_000  # notes while the store is away; beyond it the oldest are given up, and that is noted
_BEYOND = 2**62  # any number of a row
_MOST_CHARACTERS = 500  # of each text
_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class DamagedHead(PenstockError):
    """What was to be compared with the log is not what was kept."""

    code = "audit_head_damaged"


class HeadFile:
    """The last head that was seen from this machine. Several processes may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Head | None:
        """None: nothing was seen yet. Raises DamagedHead if what is there is no head, or cannot be read."""
        try:
            return self._head(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DamagedHead(f"{self.path} cannot be read ({error.strerror}).") from None

    def advance(self, head: Head) -> None:
        """Keep it, unless a later one is there. Raises OSError, and DamagedHead: then what is there stays."""
        with self._held() as file:
            kept = self._head(os.pread(file, 200, 0))
            if kept is None or kept.number < head.number:
                # Of one length always, and written in one go: it is never half of one and half of another.
                os.pwrite(file, f"{head.number:020}:{head.mac.hex()}\n".encode(), 0)

    def _head(self, content: bytes) -> Head | None:
        if not content:  # made, and then its process was killed
            return None
        head = head_from(content.decode("ascii", "replace"))
        if head is None:
            raise DamagedHead(
                f"{self.path} holds no head (NUMBER:MAC): it was not Penstock that wrote there, perhaps to hide that "
                "the end of the audit log was cut off. Move the file away, and compare the log with a head from "
                "elsewhere, such as the logs: penstock audit verify --head NUMBER:MAC."
            )
        return head

    @contextmanager
    def _held(self) -> Iterator[int]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)  # which gives the lock up


class AuditTrail:
    """The log, for one process. What blocks is safe to call from any thread."""

    def __init__(
        self,
        store: AuditStore,
        chain: Chain,
        *,
        head_file: HeadFile,
        now: Callable[[], datetime],
        process: str = "",
    ) -> None:
        """`process` is the origin of what nobody sent by a connection."""
        self._store = store
        self._chain = chain
        self._file = head_file
        self._now = now
        self._process = process
        self._waiting: deque[tuple[Entry, bool]] = deque()
        self._given_up = 0
        self._seen: Head | None = None
        self._remembered: Head | None = None  # by the file
        self.is_intact = True  # as far as this process has seen
        self._followers: list[tuple[Act, Callable[[Row], None]]] = []
        self._to_recall: list[tuple[Act, timedelta, Callable[[Row], None]]] = []
        try:
            self._seen = self._remembered = head_file.read()
        except DamagedHead as error:
            self._found_damaged(error)

    @property
    def head(self) -> Head:
        """The end of the log when it was looked at last."""
        return self._seen or Head()

    def follow(self, act: Act, told: Callable[[Row], None], *, back: timedelta) -> None:
        """`told` is called, in a thread, with every row of the act, by whatever process: those so far back, and new
        ones within a second. One may come twice."""
        self._followers.append((act, told))
        self._to_recall.append((act, back, told))

    def entry(self, actor: str, act: Act, *, subject: str = "", detail: str = "", origin: str | None = None) -> Entry:
        """An act of this moment, with texts that can be kept and shown."""
        origin = self._process if origin is None else origin
        return Entry(moment_text(self._now()), _plain(actor), act, _plain(subject), _plain(detail), _plain(origin))

    def write(self, entry: Entry, *, is_news: bool = False) -> Row | None:
        """Append it, and look. Blocks. Raises StoreUnavailable: then nothing is written.

        With `is_news`, nothing is written either if the last of its act says the same.
        """
        row = self._store.append_audit(entry, self._chain, is_news=is_news)
        if row is not None:
            log.info("audit %d:%s %s by %s %s", row.number, row.mac.hex(), entry.act, entry.actor, entry.subject)
        return row

    async def record(self, entry: Entry) -> None:
        """Append it before it is done. Raises StoreUnavailable: what cannot be written down is not to be done."""
        await anyio.to_thread.run_sync(self.write, entry)

    def note(self, entry: Entry, *, is_news: bool = False) -> None:
        """Have it appended soon, when the store can. Returns at once."""
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            self._given_up += 1
        self._waiting.append((entry, is_news))

    async def run(self) -> None:
        """Write what is noted, and look, each second until cancelled."""
        while True:
            await self.drain()
            await anyio.to_thread.run_sync(self.look)
            await anyio.sleep(_LOOK_S)

    async def drain(self) -> None:
        """Write what is noted, as far as the store can be reached."""
        await anyio.to_thread.run_sync(self._write_noted)

    def _write_noted(self) -> None:
        try:
            if self._given_up:
                lost = self.entry(
                    SYSTEM, Act.SIGN_IN_FAILED, detail=f"{self._given_up} entries were given up unwritten"
                )
                self.write(lost)
                self._given_up = 0
            while self._waiting:
                # Taken out first: while it is written, `note` may give up the oldest that waits.
                entry, is_news = self._waiting.popleft()
                try:
                    self.write(entry, is_news=is_news)
                except StoreUnavailable:
                    self._waiting.appendleft((entry, is_news))
                    raise
        except StoreUnavailable as error:
            log.warning("the audit log cannot be written (%s); what is noted waits", type(error).__name__)

    def look(self) -> None:
        """See what was added, and whether it follows. Blocks."""
        try:
            self._recall()
            found = self._added()
        except StoreUnavailable:
            return  # said by those who write
        if isinstance(found, Broken):
            if self.is_intact:
                log.error(
                    "the audit log is not what was written: at row %d, %s. See: penstock audit verify",
                    found.number,
                    found.why,
                )
            self.is_intact = False
            return
        if found:
            self._seen = Head(found[-1].number, found[-1].mac)
        self._remember()
        for row in found:
            for act, told in self._followers:
                if row.entry.act == act:
                    told(row)

    def _remember(self) -> None:
        """Move the file on to what was seen. One that was found damaged stays as it is, to be looked at."""
        if self._seen is None or self._seen == self._remembered or not self._seen.number or not self.is_intact:
            return
        try:
            self._file.advance(self._seen)
            self._remembered = self._seen
        except DamagedHead as error:
            self._found_damaged(error)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._file.path, error.strerror)

    def _found_damaged(self, error: DamagedHead) -> None:
        self.is_intact = False
        log.error("%s", error.message)

    def _recall(self) -> None:
        """Tell those who follow what was before."""
        while self._to_recall:
            act, back, told = self._to_recall[-1]
            for row in self._store.audit_of(act, since=moment_text(self._now() - back)):
                told(row)
            self._to_recall.pop()

    def _added(self) -> list[Row] | Broken:
        """The rows behind the last head, if that one is where it was."""
        if self._seen is None:  # the first look from this machine, at a log that others may keep: it begins at its end
            last = self._store.audit_before(_BEYOND, since="", limit=1)
            self._seen = Head(last[0].number, last[0].mac) if last else Head()
        rows = self._store.audit_after(max(self._seen.number - 1, 0), _AT_ONCE)
        if self._seen.number:
            if not rows or (rows[0].number, rows[0].mac) != (self._seen.number, self._seen.mac):
                return Broken(self._seen.number, "the row that was there is not there any more, or another one is")
            rows = rows[1:]
        end = self._chain.broken(rows, after=self._seen)
        return end if isinstance(end, Broken) else rows


def verified(store: AuditStore, chain: Chain, *, heads: Mapping[str, Head]) -> Broken | Head:
    """Where the log is not what was written, or where it ends. Blocks, about a second for 100,000 rows.

    `heads` are those that somebody remembers, by who that is: without any, a cut off end is not seen.
    """
    remembered = {head.number: head.mac for head in heads.values()}
    there: dict[int, bytes] = {}
    head, after = Head(), -_BEYOND  # a row may have been put before the first
    while rows := store.audit_after(after, _AT_ONCE):
        there.update((row.number, row.mac) for row in rows if row.number in remembered)
        end = chain.broken(rows, after=head)
        if isinstance(end, Broken):
            return end
        head, after = end, end.number
    return lost_end(heads.items(), there, head) or head


def _plain(text: str) -> str:
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)[:_MOST_CHARACTERS]
