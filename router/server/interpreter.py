"""What the interpreter is told before it serves, about garbage, threads and memory; and what it gives back since."""

import ctypes
import gc
import sys
from collections.abc import Awaitable, Callable

import anyio.to_thread

# Containers made, less those gone, before the young are looked through. Python's own 700 is less than one request
# makes: whatever a request holds while it waits for its provider was looked through, and kept, again and again.
_YOUNG_OBJECTS = 20_000

# How long the event loop waits for a thread that counts a long prompt, reads a long body or writes the ledger. Python's
# own 5 ms, taken twice in a request, is more than all the rest of what it waits for.
SWITCH_INTERVAL_S = 0.001


# glibc keeps what is freed for what comes, for each thread that ever allocated. Left alone it moves its own thresholds,
# up to 32 MB, by what it has met. The numbers are those of malloc.h (mallopt(3)).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# What is larger has pages of its own, which go back as soon as it is freed. Asking for them again costs 2 ms for 5 MB,
# and a request makes its body three times: with 256 KB here a prompt of 5 MB took 47 ms of CPU, and takes 37.
_OWN_PAGES_BYTES = 16 * 1024 * 1024
_KEPT_BYTES = 2 * _OWN_PAGES_BYTES  # at the end of each arena
_ARENAS = 2
# What is freed stays, as that end and in holes between what is held: 10 to 30 MB after many requests at once, more
# after prompts of megabytes. Once in a while its pages are given back, and at once where memory is short: 6 ms for
# 30 MB, in a thread.
_GIVEN_BACK_EVERY_S = 60.0
_LOOK_S = 1.0


def prepare_to_serve() -> None:
    """To be called when everything has been built: what there is now is not looked through for garbage any more.

    CPU per 1 KB request, as a multiple of nginx's, in one run (2026-11-30): 48.1 without, 43.2 with it.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)
    _bound_what_is_kept()


def _bound_what_is_kept() -> None:
    """Have the allocator keep what is soon needed again, and no more. Other C libraries than glibc have no such call,
    and are left alone."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_ARENA_MAX, _ARENAS)


def give_holes_back() -> None:
    """Give the memory between what is held back to the system. Blocks for some milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


async def keep_giving_back(is_short: Callable[[], bool], sleep: Callable[[float], Awaitable[None]]) -> None:
    """`give_holes_back` once a minute, and each second while memory is short, until cancelled."""
    while True:
        for _ in range(round(_GIVEN_BACK_EVERY_S / _LOOK_S)):
            await sleep(_LOOK_S)
            if is_short():
                break
        await anyio.to_thread.run_sync(give_holes_back)
