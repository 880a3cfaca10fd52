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


# glibc keeps what is freed for what comes: for each thread that ever allocated, and in ever larger pieces (its
# threshold for giving back at once grows to 32 MB by itself). Prompts of megabytes, read in threads, then cost more
# than what is held of them, for ever after. The numbers are those of malloc.h (mallopt(3)).
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
# What is larger has pages of its own, which go back as soon as it is freed. To ask for them again is 10 of the 47 ms of
# a prompt of 5 MB. With 16 MB here these are saved, and memory grew by 5 MiB in ten minutes of the soak, in holes
# between what is held, where it else grows by 0.2 (1 December 2026).
_OWN_PAGES_BYTES = 256 * 1024
_ARENAS = 2
# What is smaller stays in holes between what is held, 10 to 30 MB after many requests at once. Once in a while the
# pages of these holes are given back, and every second where memory is short: 6 ms for 30 MB, in a thread.
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
    _give_memory_back()


def _give_memory_back() -> None:
    """Have the allocator keep less. Other C libraries than glibc have no such call, and are left alone."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES_BYTES)
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
