"""What one run is given: `Setting`."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Stores = Literal["sqlite", "shared"]
"""One process on SQLite, or several on Redis and PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Setting:
    seed: int
    is_short: bool
    stores: Stores
    directory: Path  # empty, and this run's own

    @property
    def replicas(self) -> int:
        """How many processes serve."""
        if self.stores == "sqlite":
            return 1
        return 2 if self.is_short else 4

    def chance(self, purpose: str) -> random.Random:
        """A random source that depends on the seed and the purpose alone."""
        return random.Random(f"{self.seed}/{purpose}")

    def scaled(self, long: int, short: int) -> int:
        return short if self.is_short else long
