"""What may be sent to OpenRouter by its own OpenAPI file, and what is drawn for tests of that: orders of every kind.

Each schema beside this file says from where in OpenRouter's it comes, and what was left out.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import jsonschema_rs
from hypothesis import strategies as st

from router.catalog.catalog import Effort
from router.decision.data_rules import DataRules
from router.upstream.orders import Orders

ORDERS = st.builds(
    Orders,
    effort=st.sampled_from([None, *Effort]),
    data=st.builds(
        DataRules,
        zdr=st.booleans(),
        deny_collection=st.booleans(),
        only=st.sampled_from([None, frozenset({"azure", "deepinfra/fp8"})]),
        ignore=st.sampled_from([frozenset[str](), frozenset({"novita"})]),
    ),
    session_id=st.sampled_from([None, "0123456789abcdef"]),
)


def faults_by(name: str) -> Callable[[Mapping[str, object]], list[str]]:
    """What is wrong with a body by the schema of this name."""
    schema = jsonschema_rs.Draft202012Validator(json.loads(Path(__file__).with_name(name).read_text()))

    def faults(body: Mapping[str, object]) -> list[str]:
        return [f"{each.instance_path}: {each.message}" for each in schema.iter_errors(body)]

    return faults
