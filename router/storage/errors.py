"""What can go wrong with the store, in our words; sqlite3's own errors do not leave this room."""

from router.errors import PenstockError


class StoreUnavailable(PenstockError):
    """The file cannot be read or written now: locked, full, read-only, or damaged. The same call may succeed later."""

    status = 503
    code = "store_unavailable"


class StoreTooNew(PenstockError):
    """A newer version has migrated the file; this one would not understand what is in it."""

    code = "store_too_new"


class UnwritableEntry(PenstockError):
    """The entry holds a value that no column can take. Trying again is of no use."""

    code = "unwritable_entry"

    def __init__(self, message: str, *, request_id: str) -> None:
        super().__init__(message)
        self.request_id = request_id
