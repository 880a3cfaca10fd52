"""What is made with psycopg, of the extra `shared`. Imported by name, where PostgreSQL is configured (stores.py)."""

from router.keys import Secret
from router.storage.postgres import PostgresStore
from router.storage.store import Store


def postgres_store(url: Secret) -> Store:
    return PostgresStore(url)
