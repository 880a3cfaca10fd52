"""The pepper that key digests are made with: 32 random bytes in a file of their own, apart from the digests."""

from collections.abc import Callable
from os import O_CREAT, O_EXCL, O_WRONLY, close, write
from os import open as open_descriptor
from pathlib import Path

from router.errors import PenstockError

_BYTES = 32


class DamagedPepper(PenstockError):
    code = "damaged_pepper"


def pepper(path: Path, random_bytes: Callable[[int], bytes]) -> bytes:
    """The pepper in the file, made on first use and readable by its owner only.

    Raises DamagedPepper if the file holds anything else: a new pepper would silently invalidate every key.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = open_descriptor(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
    except FileExistsError:
        content = path.read_bytes()
    else:
        content = random_bytes(_BYTES)
        write(descriptor, content)
        close(descriptor)
    if len(content) != _BYTES:
        raise DamagedPepper(
            f"{path} should hold {_BYTES} bytes and holds {len(content)}. Restore it from a backup; "
            "or delete it and create all keys anew."
        )
    return content
