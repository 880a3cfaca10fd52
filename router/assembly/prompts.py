"""What keeps prompts of teams that opt in: the package that seals them is loaded where keys are configured."""

import secrets
from importlib import import_module
from typing import Protocol

from router.assembly.clock import utc_now
from router.config.snapshot import PromptSealing, Settings
from router.gateway.prompts import Prompts, Seals
from router.storage.sealed import Prompt, PromptStore, SealedPrompt
from router.telemetry.metrics import Metrics

_MOST_BYTES = 1_048_576  # without keys nothing is kept, and a request that should be is counted


class Opens(Seals, Protocol):
    """Makes unreadable, and readable again."""

    def opened(self, sealed: SealedPrompt, /) -> Prompt:
        """Raises CannotOpen."""
        ...


def seal_of(sealing: PromptSealing) -> Opens:
    """Seals under the configured keys."""
    module = import_module("router.storage.prompts")  # by name: it needs penstock[prompts]
    keys = [(key.id, key.secret) for key in sealing.keys if key.secret is not None]
    seal: Opens = module.Seal(keys, random_bytes=secrets.token_bytes)
    return seal


def make_prompts(settings: Settings, store: PromptStore, metrics: Metrics) -> Prompts:
    sealing = settings.prompts
    return Prompts(
        store,
        None if sealing is None else seal_of(sealing),
        most_bytes=_MOST_BYTES if sealing is None else sealing.most_bytes,
        now=utc_now,
        kept=metrics.prompts_kept,
        lost=metrics.prompts_lost,
    )
