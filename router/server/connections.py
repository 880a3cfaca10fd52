"""One client's connection, as uvicorn's own but for one thing: a client that takes nothing is not waited for."""

import asyncio
from typing import cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# What may wait for a client before whoever writes to it is made to wait. The kernel's own buffer comes on top.
_HIGH_WATER_BYTES, _LOW_WATER_BYTES = 32 * 1024, 8 * 1024


UNREAD_S = 300.0


class ServerConfig(uvicorn.Config):
    """uvicorn's, and how long a client may take nothing of what waits for it."""

    unread_s: float = UNREAD_S


class PatientConnection(HttpToolsProtocol):
    """Closed when none of what waits for the client has been taken for `unread_s`, while or after it is written.

    uvicorn waits for ever: for room in the buffer while an answer is written, and then for the buffer to empty.
    """

    _timer: asyncio.TimerHandle | None = None
    _unread_bytes = 0  # when they were last counted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES, low=_LOW_WATER_BYTES)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:  # also when the connection is lost
        super().resume_writing()
        self._cancel_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_reader()

    def _watch_reader(self) -> None:
        unread_bytes = self.transport.get_write_buffer_size()
        if self._timer is None and unread_bytes:
            self._unread_bytes = unread_bytes
            self._timer = self.loop.call_later(cast("ServerConfig", self.config).unread_s, self._timer_rang)

    def _timer_rang(self) -> None:
        self._timer = None
        is_taken = self.transport.get_write_buffer_size() < self._unread_bytes
        if is_taken:
            self._watch_reader()
        elif self.flow.write_paused or self.cycle.response_complete:
            self.transport.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
