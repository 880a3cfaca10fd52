"""The life of a process that serves: what is done before the first request, beside the requests, and after the last."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import anyio

Step = Callable[[], Awaitable[object]]


class Life:
    """`lived` is the lifespan of the data app. It may be lived once."""

    def __init__(
        self,
        *,
        starting: Sequence[Step],
        beside: Sequence[Step],
        stopping: Sequence[Step],
        settling: Sequence[Step] = (),
    ) -> None:
        """`starting` and `stopping` are done one after the other, in order; `beside` run until the stop begins.

        `settling` is the last of the start: what has to wait for those beside.
        """
        self._starting = starting
        self._beside = beside
        self._stopping = stopping
        self._settling = settling
        self._has_begun = False
        self.is_stopping = False

    @property
    def is_ready(self) -> bool:
        """Whether requests are welcome."""
        return self._has_begun and not self.is_stopping

    def stop(self) -> None:
        """The process has been told to stop: no request is welcome from now on, though those that come are served."""
        self.is_stopping = True

    @asynccontextmanager
    async def lived(self, _: object) -> AsyncIterator[None]:
        for step in self._starting:
            await step()
        async with anyio.create_task_group() as tasks:
            for task in self._beside:
                tasks.start_soon(_done, task)
            for step in self._settling:
                await step()
            self._has_begun = True
            try:
                yield
            finally:
                self.stop()
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    for step in self._stopping:
                        await step()


async def _done(task: Step) -> None:
    await task()
