"""JSON Schemas, compiled by jsonschema-rs, of the extra `verify`. Imported only where a policy checks by them."""

from collections.abc import Callable
from typing import Any

import jsonschema_rs

_PATTERN_BYTES = 100_000  # of a compiled pattern
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES)


def compiled_validator(schema: Any) -> Callable[[object], bool]:  # noqa: ANN401 - foreign JSON
    """What says whether a value satisfies the schema. Raises ValueError, TypeError, OverflowError, RecursionError."""
    return jsonschema_rs.validator_for(schema, retriever=_never, pattern_options=_PATTERNS).is_valid


def _never(uri: str) -> dict[str, Any]:
    raise ValueError(f"{uri[:100]} is not fetched")
