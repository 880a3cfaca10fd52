"""Runs the programs and says which feature works with which client: `Row`."""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clients.environments import NEWEST, NODE, ONE_BACK, PROGRAMS, Environment
from tests.e2e.conftest import Proxy, Sandbox, running_proxy, running_sandbox

FEATURES = (
    "whole", "streamed", "usage of a stream", "tools", "structured output", "image", "errors", "retries",
    "cancellation", "timeouts", "models", "embeddings", "completions", "responses", "token counts",
)  # fmt: skip
_PATIENCE_S = 300


@dataclass(frozen=True, slots=True)
class Client:
    name: str
    package: str
    program: str
    environment: Environment


CLIENTS = (
    Client("openai-python", "openai", "openai_python.py", NEWEST),
    Client("openai-python, one major back", "openai", "openai_python.py", ONE_BACK),
    Client("openai-node", "openai", "openai_node.mjs", NODE),
    Client("anthropic-python", "anthropic", "anthropic_python.py", NEWEST),
    Client("llm", "llm", "llm_command.py", NEWEST),
    Client("langchain-openai", "langchain-openai", "langchain_openai_.py", NEWEST),
    Client("llama-index", "llama-index-llms-openai-like", "llama_index_.py", ONE_BACK),
    Client("pydantic-ai", "pydantic-ai-slim", "pydantic_ai_.py", NEWEST),
    Client("AI SDK", "ai", "ai_sdk.mjs", NODE),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one client: of each feature that it was tried with, nothing, or what went wrong."""

    client: Client
    version: str
    wrong: Mapping[str, str]

    @property
    def failed(self) -> list[str]:
        return [f"{self.client.name}, {feature}: {why}" for feature, why in self.wrong.items() if why]


@contextmanager
def stage() -> Iterator[dict[str, str]]:
    """A proxy in front of a sandbox; what programs find in their environment."""
    with tempfile.TemporaryDirectory(prefix="penstock-clients-") as directory:
        place = Path(directory)
        with (
            running_sandbox(place / "sandbox.log") as sandbox,
            running_proxy(place, sandbox.base_url, edit=_impatiently) as proxy,
        ):
            yield surroundings(sandbox, proxy)


def _impatiently(config: Path) -> None:
    """Clients give up on a provider that never answers: at the end nobody should wait for it."""
    main = config / "penstock.yaml"
    main.write_text(main.read_text().replace("stop_grace_s: 30", "stop_grace_s: 1"))


def surroundings(sandbox: Sandbox, proxy: Proxy) -> dict[str, str]:
    return {
        **os.environ,  # noqa: TID251 - a child inherits our surroundings
        "BASE_URL": proxy.base_url,
        "KEY": proxy.keys["search"],
        "SANDBOX_URL": sandbox.base_url,
    }


def tried(client: Client, place: Path, environment: Mapping[str, str]) -> Row:
    """Raises CannotInstall."""
    version = client.environment.versions(place)[client.package]
    directory = client.environment.ready(place)
    return Row(client, version, ran(client.program, directory, environment))


def ran(program: str, directory: Path, environment: Mapping[str, str], *, python: Path | None = None) -> dict[str, str]:
    """What went wrong with each feature that the program has, run with what is installed in the directory."""
    with tempfile.TemporaryDirectory() as results:
        report = Path(results, "report.xml")
        ended = subprocess.run(
            _command(program, directory, report, python or directory / "bin" / "python"),
            cwd=directory,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        if not report.exists():
            raise RuntimeError(f"{program} did not run:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")
        return dict(_results(report))


def _command(program: str, directory: Path, report: Path, python: Path) -> list[str | Path]:
    if program.endswith(".mjs"):
        for each in PROGRAMS.glob("*.mjs"):  # node looks for packages beside the program
            (directory / each.name).write_bytes(each.read_bytes())
        return ["node", "--test", "--test-reporter=junit", f"--test-reporter-destination={report}", program]
    options: list[str | Path] = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        PROGRAMS,
        f"--junitxml={report}",
    ]
    return [python, "-B", "-m", "pytest", *options, PROGRAMS / program]


def _results(report: Path) -> Iterator[tuple[str, str]]:
    for case in ET.parse(report).getroot().iter("testcase"):
        name = case.get("name", "").removeprefix("test_").replace("_", " ")
        wrong = case.find("failure") if case.find("failure") is not None else case.find("error")
        yield name, "" if wrong is None else (wrong.get("message") or wrong.text or "it failed")[:300]


def as_markdown(rows: Sequence[Row]) -> str:
    """As docs/clients.md has it."""
    lines = [f"| | {' | '.join(FEATURES)} |", f"|---|{'---|' * len(FEATURES)}"]
    for row in rows:
        cells = [_cell(row.wrong.get(feature)) for feature in FEATURES]
        lines.append(f"| {row.client.name} {row.version} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(wrong: str | None) -> str:
    return "–" if wrong is None else "**fails**" if wrong else "✓"


def main() -> int:
    place = Path(sys.argv[1]).resolve()
    with stage() as environment:
        rows = [tried(client, place, environment) for client in CLIENTS]
    sys.stdout.write(as_markdown(rows) + "\n")
    failed = [each for row in rows for each in row.failed]
    for each in failed:
        sys.stderr.write(f"{each}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
