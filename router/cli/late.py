"""What `train` and `evaluate` run, loaded when one of them is run and not before.

It needs numpy, scipy and matplotlib, which are in the extra `penstock[train]`. They may be missing, and their help must
not be; and where they are there, they must not cost every `penstock serve` half a second and thirty megabytes. So the
module is imported by its name.
"""

from collections.abc import Callable
from importlib import import_module

from router.config.settings import set_if_absent
from router.errors import PenstockError

_EXTRA = ("numpy", "scipy", "matplotlib")


def loaded_late(module: str, function: str, *, command: str) -> Callable[..., None]:
    """That function. Raises PenstockError, which names the command, where what the module needs is not installed."""
    set_if_absent("OMP_NUM_THREADS", "1")  # numpy's threads spin while they wait for each other: twelve times the CPU
    try:
        found = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        raise PenstockError(
            f"penstock {command} needs {error.name}, which is not installed: pip install 'penstock[train]'"
        ) from error
    assert callable(found)
    return found  # type: ignore[no-any-return] # the module is known by its name alone
