"""The environments that the programs run in, each with what it needs from the registries: `Environment`."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"


class CannotInstall(Exception):
    """There is no registry, or it does not have what is wanted."""


@dataclass(frozen=True, slots=True)
class Environment:
    """`requirements` are installed into a directory of its own, once; the exact versions stand in docs/clients.md."""

    name: str
    requirements: Sequence[str]
    is_node: bool = False

    def ready(self, place: Path) -> Path:
        """The directory with everything installed. Raises CannotInstall."""
        directory, done = place / self.name, place / self.name / ".installed"
        if done.exists() and done.read_text() == "\n".join(self.requirements):
            return directory
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        if self.is_node:
            (directory / "package.json").write_text('{"private": true, "type": "module"}')
            _run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *self.requirements], directory)
        else:
            _run([sys.executable, "-m", "venv", "."], directory)
            pip = ["bin/python", "-m", "pip", "--disable-pip-version-check", "-qq", "install", "pytest"]
            _run([*pip, *self.requirements], directory)
        done.write_text("\n".join(self.requirements))
        return directory

    def versions(self, place: Path) -> dict[str, str]:
        """What is installed of what was asked for."""
        directory = self.ready(place)
        names = [each.partition("[")[0].split("==")[0].split("<")[0].split(">")[0] for each in self.requirements]
        if self.is_node:
            names = [f"@{each.lstrip('@').split('@')[0]}" if each[0] == "@" else each.split("@")[0]
                     for each in self.requirements]  # fmt: skip
            return {name: _node_version(directory, name) for name in names}
        code = "import sys; from importlib.metadata import version; print(*[version(n) for n in sys.argv[1:]])"
        found = subprocess.run(
            [directory / "bin" / "python", "-c", code, *names], capture_output=True, text=True, check=True
        )
        return dict(zip(names, found.stdout.split(), strict=True))


NEWEST = Environment("newest", ["openai>=3", "langchain-openai", "pydantic-ai-slim[openai]", "anthropic", "llm"])
ONE_BACK = Environment("one-back", ["openai<3", "llama-index-llms-openai-like", "llama-index-embeddings-openai"])
NODE = Environment("node", ["openai", "zod", "ai@6", "@ai-sdk/openai-compatible@2"], is_node=True)


def _node_version(directory: Path, name: str) -> str:
    found = subprocess.run(
        ["node", "-p", f"require('./node_modules/{name}/package.json').version"],
        cwd=directory, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return found.stdout.strip()


def _run(command: Sequence[str], directory: Path) -> None:
    try:
        ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotInstall(f"{command[0]}: {error.strerror}") from error
    if ended.returncode != 0:
        raise CannotInstall(f"{' '.join(command)}\n{ended.stdout[-500:]}{ended.stderr[-1500:]}")
