"""The recipes of the cookbook are valid, decide, and stand on its page as they are in their files."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from router.cli.main import penstock
from tests.documentation.cookbook import PAGE, RECIPES, under, with_recipes

NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_valid_without_a_note_and_decides(tmp_path: Path, name: str) -> None:
    config = under(RECIPES / f"{name}.yaml", tmp_path / "config")
    surroundings = {"OPENROUTER_API_KEY": "sk-or-x", "DEEPSEEK_API_KEY": "x", "PENSTOCK_ADMIN_TOKEN": "x"}

    checked = CliRunner().invoke(penstock, ["check", str(config), "--json"], env=surroundings)
    explained = CliRunner().invoke(
        penstock,
        ["explain", "--config", str(config), "--json", "-"],
        input='{"model": "auto", "messages": [{"role": "user", "content": "Write a function that adds."}]}',
        env={**surroundings, "STATE_DIRECTORY": str(tmp_path)},
    )

    assert checked.exit_code == 0
    assert [note for note in json.loads(checked.stdout)["notes"] if "teams/search.yaml" in str(note)] == []
    assert json.loads(explained.stdout)["chosen"] is not None


def test_the_page_has_every_recipe_as_its_file_has_it_and_says_what_it_saves() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert with_recipes(page) == page, "renew it: python -m tests.documentation.cookbook --text"
    assert all(f"| [{name}](#{name}) |" in page for name in NAMES), "renew it: make cookbook"
    assert len(NAMES) >= 10
