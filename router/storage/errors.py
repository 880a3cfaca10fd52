"""What can go wrong with the store, in our words; the errors of sqlite3 and psycopg do not leave this room."""

from router.errors import PenstockError


class StoreUnavailable(PenstockError):
    """The store cannot be read or written now: a file locked, full or damaged, a server out of reach or too busy.

    The same call may succeed later.
    """

    status = 503
    code = "store_unavailable"


class StoreTooNew(PenstockError):
    """A newer version has migrated the store; this one would not understand what is in it."""

    code = "store_too_new"


class BadStoreAddress(PenstockError):
    """The address of the database makes no sense. The message does not repeat it: it may hold a password."""

    code = "bad_store_address"


class UnwritableEntry(PenstockError):
    """The entry holds a value that no column can take. Trying again is of no use."""

    code = "unwritable_entry"

    def __init__(self, message: str, *, request_id: str) -> None:
        super().__init__(message)
        self.request_id = request_id
