"""A small valid configuration that tests write out, break in one place, and load."""

from collections.abc import Callable
from pathlib import Path

import pytest

from router.config.loader import load
from router.config.snapshot import Snapshot
from router.errors import ConfigError

MAIN = """\
listen: 127.0.0.1:8000
admin:
  token_env: ADMIN_TOKEN
providers:
  openrouter:
    kind: openrouter
    base_url: https://openrouter.ai/api/v1
    api_key_env: OPENROUTER_API_KEY
  local:
    kind: openai_compatible
    base_url: http://127.0.0.1:8080/v1/
"""

MODELS = """\
models:
  deepseek/deepseek-v4-flash:
    context_tokens: 1048576
    max_output_tokens: 65536
    quality:
      chat: {score: 0.864, source: a paper, checked: 2026-11-23}
    deployments:
      - provider: openrouter
      - provider: local
        upstream_model: flash-q4
        prices:
          - from: 2026-11-01
            input_usd_per_mtok: 0
            output_usd_per_mtok: 0.10
            source: our machine
            checked: 2026-11-01
"""

TEAM = """\
team: search
baseline: deepseek/deepseek-v4-flash
budgets:
  - {limit_usd: 500, per: month}
aliases:
  auto: {policy: balanced}
policies:
  balanced:
    candidates: [deepseek/deepseek-v4-flash]
    quality: {at_least: 0.92, of: best_candidate}
    rules:
      - name: code
        when: {task: code}
        objective: best
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a configuration and returns its directory, spelled `config` relative to the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(*, main: str = MAIN, models: str = MODELS, team: str = TEAM) -> Path:
        directory = Path("config")
        (directory / "teams").mkdir(parents=True, exist_ok=True)
        (directory / "penstock.yaml").write_text(main, encoding="utf-8")
        (directory / "models.yaml").write_text(models, encoding="utf-8")
        (directory / "teams" / "search.yaml").write_text(team, encoding="utf-8")
        return directory

    return write


def problems_of(directory: Path) -> list[str]:
    """Every problem of a configuration, as an operator reads it."""
    with pytest.raises(ConfigError) as refusal:
        loaded(directory)
    return [str(problem) for problem in refusal.value.problems]


def loaded(directory: Path) -> Snapshot:
    return load(
        directory, environment={"HOME": "/home/penstock", "OPENROUTER_API_KEY": "sk-or-1", "ADMIN_TOKEN": "t" * 20}
    )
