"""Server-sent events as bytes, whatever API they belong to: where one ends, what it carries, how one is written.

What comes of a stream never depends on where the provider's bytes were cut.
"""

# An event longer than this is not one: image output comes as base64 in one event, a few MB at most.
MAX_EVENT_BYTES = 16 * 1024 * 1024


_KEPT = (b"data:", b"event:", b":")


class EventTooLong(Exception):
    """The provider sent more than `MAX_EVENT_BYTES` without ending the event."""


class EventSplitter:
    """Gives what has arrived up to the last blank line, with CRLF as LF, and keeps the rest."""

    __slots__ = ("_carriage_return", "_kept", "_kept_bytes")

    def __init__(self) -> None:
        self._kept: list[bytes] = []  # the beginning of an event, as it came
        self._kept_bytes = 0
        self._carriage_return = b""

    def whole_events(self, data: bytes) -> bytes:
        """The events that have ended, each with its blank line. Raises EventTooLong.

        An event of megabytes comes in hundreds of pieces: they are joined once, when it has ended.
        """
        if not self._kept and not self._carriage_return and data.endswith(b"\n\n") and b"\r" not in data:
            return data  # as most of it comes
        if self._carriage_return:
            data, self._carriage_return = self._carriage_return + data, b""
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
            if data.endswith(b"\r"):  # its line feed comes with the next bytes
                data, self._carriage_return = data[:-1], b"\r"
        is_split = bool(self._kept) and self._kept[-1].endswith(b"\n") and data.startswith(b"\n")
        if not is_split and b"\n\n" not in data:
            self._keep(data)
            return b""
        if self._kept:
            data = b"".join([*self._kept, data])
            self._kept, self._kept_bytes = [], 0
        cut = data.rfind(b"\n\n") + 2
        self._keep(data[cut:])
        return data[:cut]

    def _keep(self, rest: bytes) -> None:
        if not rest:
            return
        self._kept_bytes += len(rest)
        if self._kept_bytes > MAX_EVENT_BYTES:
            raise EventTooLong
        self._kept.append(rest)


def data_event(payload: bytes) -> bytes:
    """An event with this payload and nothing else."""
    return b"data: " + payload.replace(b"\n", b"\ndata: ") + b"\n\n"


def payload_of(event: bytes) -> bytes | None:
    """The data of an event, or None if it has none (a comment)."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def without_others(event: bytes) -> bytes:
    """The names, data and comments of an event as they came, and no line else, nor one with NUL in it; nothing if that
    leaves nothing, or nobody can read it.

    What other lines say, readers are to ignore (HTML, section 9.2.6) but for `id:` and `retry:`.
    """
    kept = [line for line in event.split(b"\n") if line.startswith(_KEPT) and b"\0" not in line]
    return b"\n".join([*kept, b"", b""]) if kept and is_utf8(event) else b""


def is_named_error(event: bytes) -> bool:
    """Whether the event says that it is an error by its name."""
    return any(line.partition(b":")[2].strip() == b"error" for line in event.split(b"\n") if line.startswith(b"event:"))


def is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def on_one_line(data: bytes) -> bytes:
    """JSON that may hold members as somebody has printed them, over several lines: an event's `data:` is one."""
    return b" ".join(data.splitlines()) if b"\n" in data or b"\r" in data else data
