"""What commands run that need packages of an extra, loaded when one of them is run and not before.

`train` and `evaluate` need numpy, scipy and matplotlib, `import-litellm` needs genai-prices. They may be missing, and
the commands' help must not be; and where they are there, they must not cost every `penstock serve` half a second and
forty megabytes. So the module is imported by its name.
"""

from collections.abc import Callable, Mapping
from importlib import import_module

from router.config.settings import set_if_absent
from router.errors import PenstockError

_EXTRAS: Mapping[str, str] = {
    "numpy": "train",
    "scipy": "train",
    "matplotlib": "train",
    "genai_prices": "litellm",
}


def loaded_late(module: str, function: str, *, command: str) -> Callable[..., None]:
    """That function. Raises PenstockError, which names the command, where what the module needs is not installed."""
    set_if_absent("OMP_NUM_THREADS", "1")  # numpy's threads spin while they wait for each other: twelve times the CPU
    try:
        found = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        raise PenstockError(
            f"penstock {command} needs {error.name}, which is not installed: pip install 'penstock[{_EXTRAS[package]}]'"
        ) from error
    assert callable(found)
    return found  # type: ignore[no-any-return] # the module is known by its name alone
