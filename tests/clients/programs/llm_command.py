"""Simon Willison's `llm`, by its command."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

COMMAND = [str(Path(sys.executable).with_name("llm")), "openai", "endpoint", os.environ["BASE_URL"]]
OPTIONS = ["--key", os.environ["KEY"]]


def ask(*arguments, model="auto"):
    with tempfile.TemporaryDirectory() as directory:
        return subprocess.run(
            [*COMMAND, "-m", model, *OPTIONS, *arguments],
            env={**os.environ, "LLM_USER_PATH": directory},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def test_whole():
    answer = ask("--no-stream", "Tell me about tea.")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()


def test_streamed():
    answer = ask("Tell me about tea.")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()


def test_structured_output():
    answer = ask("--schema", "name, inhabitants int", "Name a city.")
    assert answer.returncode == 0, answer.stderr
    json.loads(answer.stdout)


def test_tools():
    answer = ask("--functions", "def weather(city: str) -> str:\n    return 'Rain.'\n", "What is the weather in Paris?")
    assert answer.returncode == 0, answer.stderr


def test_errors():
    answer = ask("Tea?", model="no-such-model")
    assert answer.returncode != 0
    assert "no-such-model" in answer.stderr


def test_responses():
    answer = ask("--responses", "Tell me about tea.")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()
