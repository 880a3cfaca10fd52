"""API keys in a store, as `penstock keys create` makes them, without starting a process for each."""

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

from router.keys import ApiKey, PresentedKey, TeamName, digest, mint
from router.storage.store import Store


def made_keys(store: Store, pepper: bytes, teams: Iterable[str], *, each: int = 1) -> dict[str, list[PresentedKey]]:
    """New keys of each team."""
    now = datetime.now(UTC)  # noqa: TID251 - the keys' date of birth; nothing here depends on it
    made = {team: [mint(secrets.token_bytes) for _ in range(each)] for team in teams}
    for team, keys in made.items():
        for key in keys:
            store.add(ApiKey(key.id, TeamName(team), "test", digest(key, pepper), created_at=now))
    return made
