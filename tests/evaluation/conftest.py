"""A store of each kind, as the tests of the stores have it."""

from tests.storage.conftest import any_store, place, places, postgres_server

__all__ = ["any_store", "place", "places", "postgres_server"]
