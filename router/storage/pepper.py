"""The pepper that key digests are made with: 32 random bytes in a file of their own, apart from the digests."""

from collections.abc import Callable
from contextlib import suppress
from os import fsync, link
from pathlib import Path
from tempfile import NamedTemporaryFile

from router.errors import PenstockError

_BYTES = 32


class DamagedPepper(PenstockError):
    code = "damaged_pepper"


def pepper(path: Path, random_bytes: Callable[[int], bytes]) -> bytes:
    """The pepper in the file, made on first use and readable by its owner only.

    Raises DamagedPepper if the file holds anything else: a new pepper would silently invalidate every key.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _create(path, random_bytes(_BYTES))
    content = path.read_bytes()
    if len(content) != _BYTES:
        raise DamagedPepper(
            f"{path} should hold {_BYTES} bytes and holds {len(content)}. Restore it from a backup; "
            "or delete it and create all keys anew."
        )
    return content


def _create(path: Path, content: bytes) -> None:
    """The file appears whole or not at all, and the first of several processes wins: a link replaces nothing."""
    with NamedTemporaryFile(dir=path.parent, prefix=".pepper-") as file:  # readable by its owner only
        file.write(content)
        file.flush()
        fsync(file.fileno())
        with suppress(FileExistsError):
            link(file.name, path)
