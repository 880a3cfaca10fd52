"""OpenAI's client for Node.js, which asks the proxy what it is told to and says what it has read."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from tests.e2e.conftest import CHECKOUT, Proxy

_NODE = CHECKOUT / ".venv" / "node"

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (_NODE / "node_modules" / "openai").exists(),
    reason="the OpenAI client for Node.js is not installed (sh tests/node/install.sh)",
)


def read_by_node(program: str, proxy: Proxy, *, model: str, asks: Sequence[dict[str, object]]) -> list[Any]:
    """What the client made of each answer, as the program of this name in `tests/node` tells it."""
    wish = {"base_url": proxy.base_url, "key": proxy.keys["search"], "model": model, "asks": asks}
    process = subprocess.run(
        ["node", str(_NODE / program)], input=json.dumps(wish), capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == 0, process.stderr
    said: list[Any] = json.loads(process.stdout)
    return said
