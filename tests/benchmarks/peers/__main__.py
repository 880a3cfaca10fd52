"""The command line of the comparison: nginx, Penstock, LiteLLM and Portkey in one run, under the same load.

    python -m tests.benchmarks.peers .venv/peers

One process each, plain relaying to the same mock, nothing logged, no database; whoever needs a key checks it. Penstock
does all of its work meanwhile, the others those parts of it that they have. Their defaults are kept otherwise.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from functools import partial
from pathlib import Path

from tests.benchmarks.comparison import compared
from tests.benchmarks.contestants import Command, Prepare, Upstream, available
from tests.benchmarks.processes import free_port
from tests.benchmarks.rounds import Plan
from tests.benchmarks.scenarios import SCENARIOS

_ROUNDS = 3
# The others are so slow that a fixed rate would only measure their queues.
_COMPARED = tuple(one for one in SCENARIOS if one.name in ("request_1kb", "stream_no_gaps", "stream_gaps"))
_KEY = "sk-bench"

_LITELLM_CONFIG = """
model_list:
  - model_name: auto
    litellm_params:
      model: openai/deepseek/deepseek-v4-flash
      api_base: http://127.0.0.1:{port}/api/v1
      api_key: sk-or-bench
litellm_settings:
  telemetry: false
general_settings:
  master_key: {key}
"""


def litellm(directory: Path, upstream: Upstream, *, installed: Path) -> Command:
    """LiteLLM's proxy with one worker and one model."""
    port = free_port()
    (directory / "config.yaml").write_text(_LITELLM_CONFIG.format(port=upstream.port, key=_KEY))
    binary = str(installed.resolve() / "litellm" / "bin" / "litellm")
    ports = ("--host", "127.0.0.1", "--port", str(port))
    environment = {
        "PATH": os.defpath,
        "HOME": str(directory),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would be fetched from the internet at the start
    }
    argv = (binary, "--config", str(directory / "config.yaml"), *ports, "--num_workers", "1")
    return Command(argv, port, api_key=_KEY, env=environment)


def portkey(directory: Path, upstream: Upstream, *, installed: Path) -> Command:
    """Portkey's gateway, told in every request whom to ask, which is how it is used; it checks no key."""
    port = free_port()
    node = shutil.which("node")
    assert node is not None, "npm installed it"
    script = installed.resolve() / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    headers = ("x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{upstream.port}/api/v1")
    environment = {"PATH": os.defpath, "HOME": str(directory), "NODE_ENV": "production"}
    return Command((node, str(script), f"--port={port}", "--headless"), port, headers=headers, env=environment)


def installed_peers(directory: Path) -> dict[str, Prepare]:
    """Those peers that `install.sh` could install there."""
    found: dict[str, Prepare] = {}
    if (directory / "litellm" / "version").exists():
        found["litellm"] = partial(litellm, installed=directory)
    if (directory / "portkey" / "installed.json").exists():
        found["portkey"] = partial(portkey, installed=directory)
    return found


def main() -> int:
    """Measures and prints the table; 0 when every scenario was answered."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description="Beside other gateways.")
    parser.add_argument("directory", type=Path, help="where install.sh put them")
    options = parser.parse_args()
    contestants = available() | installed_peers(options.directory)
    plan = Plan(rounds=_ROUNDS, scenarios=_COMPARED, has_extras=False)
    return compared(contestants, plan)


if __name__ == "__main__":
    sys.exit(main())
