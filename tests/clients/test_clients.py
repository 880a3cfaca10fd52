"""The clients that run with every test: both official ones, and `llm`. The rest: `make test-clients`."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.table import ran, stage
from tests.e2e.conftest import CHECKOUT

_NODE = CHECKOUT / ".venv" / "node"


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    with stage() as environment:
        yield environment


@pytest.mark.parametrize(("program", "features"), [("openai_python.py", 14), ("llm_command.py", 6)])
def test_a_python_client_works(program: str, features: int, environment: dict[str, str]) -> None:
    wrong = ran(program, CHECKOUT, environment, python=Path(sys.executable))

    assert len(wrong) == features
    assert {name: why for name, why in wrong.items() if why} == {}


def test_the_official_client_for_node_works(environment: dict[str, str]) -> None:
    if shutil.which("node") is None or not (_NODE / "node_modules" / "zod").is_dir():
        pytest.skip("the OpenAI client for Node.js is not installed (sh tests/node/install.sh)")

    wrong = ran("openai_node.mjs", _NODE, environment)

    assert len(wrong) == 14
    assert {name: why for name, why in wrong.items() if why} == {}
