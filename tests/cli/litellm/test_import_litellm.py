"""`penstock import-litellm` makes a configuration that is valid and decides, tells what became of every key, and never
repeats a secret.
"""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from router.cli.litellm.findings import leaves
from router.cli.litellm.source import parse
from router.cli.main import penstock
from router.config.loader import load
from router.config.snapshot import Snapshot
from router.keys import TeamName
from tests.cli.litellm.shapes import SECRET, SHAPES


def told(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(penstock, arguments)
    return done.exit_code, str(done.exception) if done.exit_code and not done.output else done.output


def imported(place: Path, config: str, *more: str) -> tuple[Path, str]:
    (place / "litellm.yaml").write_text(config, encoding="utf-8")
    code, output = told("import-litellm", str(place / "litellm.yaml"), str(place / "c"), *more)
    assert code == 0, output
    return place / "c", output


def keys_of(directory: Path) -> dict[str, str]:
    """A key for every provider, as an operator would set them."""
    return dict.fromkeys(re.findall(r"api_key_env: (\w+)", (directory / "penstock.yaml").read_text()), "a-key")


def snapshot_of(directory: Path) -> Snapshot:
    return load(directory, environment=keys_of(directory))


def chosen(directory: Path, alias: str) -> dict[str, str]:
    request = {"model": alias, "messages": [{"role": "user", "content": "What is a weir?"}], "max_tokens": 50}
    done = CliRunner().invoke(
        penstock,
        ["explain", "--config", str(directory), "--json", "-"],
        input=json.dumps(request),
        env={**keys_of(directory), "STATE_DIRECTORY": str(directory.parent)},
    )
    assert done.exit_code == 0, done.output
    decided: dict[str, dict[str, str]] = json.loads(done.stdout)
    return decided["chosen"]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_becomes_a_configuration_that_decides(tmp_path: Path, shape: str) -> None:
    directory, _ = imported(tmp_path, SHAPES[shape])

    assert snapshot_of(directory).teams[TeamName("main")].name == "main"
    assert chosen(directory, "auto")["model"]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_key_is_told_exactly_once_and_no_secret_ever(tmp_path: Path, shape: str) -> None:
    directory, output = imported(tmp_path, SHAPES[shape], "--json")

    findings = json.loads(output)["findings"]
    keys = [each["key"] for each in findings]
    config = parse("", SHAPES[shape].encode())
    assert len(keys) == len(set(keys))
    for path, _ in leaves(config):
        steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
        spelled = ["".join(steps[: end + 1]).removeprefix(".") for end in range(len(steps))]
        assert any(each in keys for each in spelled), path
    written = [path.read_text(encoding="utf-8") for path in directory.rglob("*") if path.is_file()]
    assert not any(SECRET in text for text in [output, *written])


def test_the_table_for_people_repeats_no_secret(tmp_path: Path) -> None:
    _, output = imported(tmp_path, SHAPES["everything"])

    assert SECRET not in output
    assert "a_key_of_tomorrow" in output


def test_the_same_model_at_two_hosts_is_one_model_with_two_deployments(tmp_path: Path) -> None:
    directory, _ = imported(tmp_path, SHAPES["everything"])

    snapshot = snapshot_of(directory)
    llama = [each for each in snapshot.catalog if each.model.name == "meta-llama/llama-3.3-70b-instruct"]
    assert {each.provider.name: each.upstream_model for each in llama} == {
        "groq": "llama-3.3-70b-versatile",
        "together_ai": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    }


def test_prices_and_facts_of_the_config_become_those_of_the_model(tmp_path: Path) -> None:
    directory, _ = imported(tmp_path, SHAPES["everything"])

    (own,) = [each for each in snapshot_of(directory).catalog if each.model.name == "local/qwen3-30b"]
    (entry,) = own.prices.entries
    assert entry.price is not None
    assert (str(entry.price.base.input), str(entry.price.base.output)) == ("1E-7", "4E-7")
    assert (own.model.context_tokens, own.model.max_output_tokens) == (65_536, 16_384)
    assert sorted(own.model.capabilities) == ["image_input", "json_object", "tools"]
    assert own.provider.base_url == "http://10.1.2.3:8000/v1"


def test_who_came_first_in_litellm_comes_first_and_fallbacks_come_after(tmp_path: Path) -> None:
    directory, _ = imported(tmp_path, SHAPES["everything"])

    policy = snapshot_of(directory).teams[TeamName("main")].policies["cheap"]
    assert chosen(directory, "cheap")["model"] == "deepseek/deepseek-v4-flash"
    assert chosen(directory, "gpt-4")["model"] == "deepseek/deepseek-v4-flash"
    assert policy.default_max_output_tokens == 4000
    assert list(policy.candidates) == [
        "deepseek/deepseek-v4-flash",
        "meta-llama/llama-3.3-70b-instruct",
        "local/qwen3-30b",
    ]


def test_budgets_and_limits_become_the_teams(tmp_path: Path) -> None:
    directory, _ = imported(tmp_path, SHAPES["everything"])

    team = (directory / "teams" / "main.yaml").read_text()
    assert "- {limit_usd: 100, per: month, when_spent: reject}" in team
    assert "- {limit_usd: 3.5, per: week, when_spent: reject}" in team  # 5 dollars in ten days
    assert "limits: {concurrent: 40}" in team
    assert "limits: {requests_per_minute: 60}" in team
    assert "cache: {ttl_s: 120, when: always}" in team
    main = (directory / "penstock.yaml").read_text()
    assert "  first_byte_s: 45 # until a stream begins" in main
    assert "max_body_bytes: 8388608\n" in main


def test_a_key_that_is_written_out_becomes_a_variable_of_its_own(tmp_path: Path) -> None:
    directory, output = imported(tmp_path, SHAPES["several keys"], "--json")

    to_do = json.loads(output)["to_do"]
    assert [each.split(" to the key")[0] for each in to_do[:2]] == ["set OPENAI_API_KEY", "set OPENAI_2_API_KEY"]
    providers = {each.provider.name for each in snapshot_of(directory).catalog if each.model.name == "openai/gpt-4o"}
    assert providers == {"openai", "openai-2", "openrouter"}


def test_nobody_is_asked_whom_litellm_did_not_ask(tmp_path: Path) -> None:
    config = "model_list: [{model_name: gpt, litellm_params: {model: openai/gpt-5.4, api_key: os.environ/OUR_KEY}}]\n"

    directory, _ = imported(tmp_path, config)

    assert chosen(directory, "gpt") == {**chosen(directory, "gpt"), "model": "openai/gpt-5.4", "provider": "openai"}
    assert "only_providers: [openai]" in (directory / "teams" / "main.yaml").read_text()
    assert "api_key_env: OUR_KEY" in (directory / "penstock.yaml").read_text()


def test_models_of_other_apis_are_asked_at_openrouter_or_named_as_missing(tmp_path: Path) -> None:
    directory, output = imported(tmp_path, SHAPES["clouds"], "--json")

    findings = {each["key"]: each for each in json.loads(output)["findings"]}
    assert chosen(directory, "sonnet")["model"] == "anthropic/claude-sonnet-4.6"
    assert chosen(directory, "haiku")["provider"] == "openrouter"
    assert findings["model_list[0].litellm_params.model"]["verdict"] == "approximated"
    assert findings["model_list[2]"]["verdict"] == "no equal"


def test_a_pattern_becomes_an_alias_for_each_model_that_is_known(tmp_path: Path) -> None:
    directory, _ = imported(tmp_path, SHAPES["wildcards"])

    assert chosen(directory, "anthropic/claude-opus-4-7")["model"] == "anthropic/claude-opus-4.7"
    assert chosen(directory, "gpt-5.4")["provider"] == "openai"


def test_an_unpriced_model_is_not_free_and_auto_does_without_it(tmp_path: Path) -> None:
    directory, output = imported(tmp_path, SHAPES["fakes"], "--json")

    assert any("has no price" in each for each in json.loads(output)["to_do"])
    assert chosen(directory, "auto")["provider"] == "openrouter"


def test_what_is_included_is_converted_too(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text(SHAPES["one bare model"] + "include: [litellm.yaml]\n")

    directory, _ = imported(tmp_path, "include: [more.yaml]\nmodel_list: []\n")

    assert chosen(directory, "gpt-5-mini")["provider"] == "openai"


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "is empty"),
        (b"model_list: [", "this is not YAML"),
        (b"\tmodel_list: 1", "this is not YAML"),
        (b"- model_list\n", "expected a mapping"),
        (b"services: {web: {image: nginx}}\n", "no LiteLLM config"),
        (b"model_list: []\nmodel_list: []\n", "is there twice"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"model_list: [\x07]", "characters that YAML does not allow"),
        (b"model_list: !!python/object:os.system x\n", "tags"),
        (b"model_list: *a\n", "complete by then"),
        (b"model_list: &a [*a]\n", "complete by then"),
        (b"model_list: " + b"[" * 60 + b"]" * 60, "levels of nesting"),
        (b"model_list:\n" + b" - x\n" * 2_500_000, "too long"),
        (BOMB.encode(), "anchors written out"),
        (b"include: [nowhere.yaml]\n", "there is no such file"),
        (b"include: 5\n", "expected a list of files"),
        (b"---\nmodel_list: []\n---\nmodel_list: []\n", "one document"),
    ],
)
def test_bad_input_gets_one_sentence_and_nothing_is_written(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "litellm.yaml").write_bytes(content)

    code, output = told("import-litellm", str(tmp_path / "litellm.yaml"), str(tmp_path / "c"))

    assert code == 1
    assert said in output
    assert "\n" not in output.strip()
    assert [path.name for path in tmp_path.iterdir()] == ["litellm.yaml"]


def test_a_file_that_is_not_there_and_a_directory_that_is_taken_are_told(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "kept").write_text("")
    (tmp_path / "l.yaml").write_text(SHAPES["one bare model"])

    missing = told("import-litellm", str(tmp_path / "none.yaml"), str(tmp_path / "c"))
    taken = told("import-litellm", str(tmp_path / "l.yaml"), str(tmp_path / "taken"))

    assert (missing[0], taken[0]) == (1, 1)
    assert "No such file" in missing[1]
    assert "is there already" in taken[1]
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["kept"]
