"""A directory becomes a snapshot, or one error that names every fault of every file."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from router.apis import Api
from router.catalog.catalog import SPOKEN, Capability, ModelName, Provider, ProviderName, Score, Task
from router.catalog.prices import Price, PriceEntry, Rates
from router.config.loader import load, warnings
from router.config.snapshot import AdminToken, Listen, Settings, Timeouts, UnixSocket
from router.decision.matching import Match
from router.decision.policy import Objective, Policy, QualityFloor, Rule, pinned
from router.errors import ConfigError
from router.keys import Secret, TeamName
from router.quotas import Budget, Limits, Per, WhenSpent
from router.roles import Role
from tests.config.conftest import MAIN, MODELS, TEAM, Write, loaded, problems_of

FLASH = ModelName("deepseek/deepseek-v4-flash")


def test_penstock_yaml_becomes_the_settings(write: Write) -> None:
    settings = loaded(write()).settings

    assert settings == Settings(
        listen=Listen("127.0.0.1", 8000),
        admin=Listen("127.0.0.1", 8001),
        admin_tokens=settings.admin_tokens,
        state_dir=Path("/home/penstock/.local/state/penstock"),
        durability="fast",
        postgres=None,
        redis=None,
        allowance=None,
        max_body_bytes=33_554_432,
        stop_grace_s=30.0,
        timeouts=Timeouts(connect_s=5.0, first_byte_s=300.0, between_bytes_s=120.0),
        providers=settings.providers,
    )
    assert settings.admin_tokens == (AdminToken("admin", Role.OWNER, Secret("t" * 20), "$ADMIN_TOKEN"),)
    assert settings.asks_for_a_token


def test_a_provider_comes_with_its_key_and_where_the_key_was_found(write: Write) -> None:
    providers = loaded(write()).settings.providers

    openrouter = providers[ProviderName("openrouter")]
    local = providers[ProviderName("local")]

    assert openrouter.provider == Provider(
        ProviderName("openrouter"), "openrouter", "https://openrouter.ai/api/v1", apis=SPOKEN["openrouter"]
    )
    assert local.provider.apis == {Api.CHAT}
    assert openrouter.api_key is not None
    assert openrouter.api_key.reveal() == "sk-or-1"
    assert openrouter.api_key_from == "$OPENROUTER_API_KEY"
    assert local.provider.base_url == "http://127.0.0.1:8080/v1"
    assert (local.api_key, local.api_key_from) == (None, None)


def test_models_yaml_becomes_the_catalog(write: Write) -> None:
    openrouter, local = loaded(write()).catalog.of(FLASH)

    assert openrouter.upstream_model == "deepseek/deepseek-v4-flash"
    assert local.upstream_model == "flash-q4"
    assert local.model.quality == {Task.CHAT: Score(0.864, "a paper", date(2026, 11, 23))}
    assert local.prices.entries == (
        PriceEntry(
            price=Price(Rates.per_mtok(input_usd=Decimal(0), output_usd=Decimal("0.10"))),
            source="our machine",
            starts=datetime(2026, 11, 1, tzinfo=UTC),
            checked=date(2026, 11, 1),
        ),
    )


@pytest.mark.parametrize("task", Task)
def test_a_model_may_be_scored_for_every_kind_of_task(write: Write, task: Task) -> None:
    scored = MODELS.replace("      chat: {score", f"      {task}: {{score")

    deployment, *_ = loaded(write(models=scored)).catalog.of(FLASH)

    assert deployment.model.quality == {task: Score(0.864, "a paper", date(2026, 11, 23))}


def test_a_deployment_may_be_smaller_than_its_model(write: Write) -> None:
    smaller = MODELS.replace(
        "upstream_model: flash-q4",
        "upstream_model: flash-q4\n        context_tokens: 32768\n        max_output_tokens: 8192",
    )

    openrouter, local = loaded(write(models=smaller)).catalog.of(FLASH)

    assert (openrouter.context_tokens, openrouter.max_output_tokens) == (1_048_576, 65_536)
    assert (local.context_tokens, local.max_output_tokens) == (32_768, 8_192)


def test_an_operator_may_say_what_a_name_stands_for_at_a_provider_that_does_not_tell(write: Write) -> None:
    told = MODELS.replace("upstream_model: flash-q4", "upstream_model: flash-q4\n        version: flash-20260915")
    rated = told.replace("      chat: {score", "      version: flash-20260423\n      chat: {score")

    openrouter, local = loaded(write(models=rated)).catalog.of(FLASH)

    assert (openrouter.version, openrouter.rated.is_as_rated) == (None, True)
    assert (local.version, local.rated.is_as_rated) == ("flash-20260915", False)


def test_an_estimated_score_says_so_in_its_source(write: Write) -> None:
    estimated = MODELS.replace("source: a paper", "source: a guess, estimated: true")

    deployment, *_ = loaded(write(models=estimated)).catalog.of(FLASH)

    assert deployment.model.quality[Task.CHAT].source == "estimated: a guess"


def test_an_own_price_wins_over_the_published_one_from_its_start_until_before_its_end(write: Write) -> None:
    own = MODELS.replace(
        "      - provider: openrouter\n",
        "      - provider: openrouter\n"
        "        prices:\n"
        "          - {from: 2026-11-10, until: 2026-11-12, input_usd_per_mtok: 7, output_usd_per_mtok: 8,\n"
        "             source: a bill, checked: 2026-11-12}\n",
    )

    deployment, _ = loaded(write(models=own)).catalog.of(FLASH)
    sources = [deployment.prices.entry_at(datetime(2026, 11, day, tzinfo=UTC)) for day in (9, 10, 11, 12)]

    assert [entry.source if entry else None for entry in sources] == [
        "genai-prices 0.2.3",
        "a bill",
        "a bill",
        "genai-prices 0.2.3",
    ]


def test_tiers_and_hours_of_the_day_may_be_written_too(write: Write) -> None:
    own = MODELS.replace(
        "            source: our machine\n",
        '            daily: {from: "22:00", until: "06:00"}\n'
        "            tiers: [{above_input_tokens: 200000, input_usd_per_mtok: 1, output_usd_per_mtok: 2}]\n"
        "            source: our machine\n",
    )

    _, local = loaded(write(models=own)).catalog.of(FLASH)
    night, noon = datetime(2026, 11, 23, 23, tzinfo=UTC), datetime(2026, 11, 23, 12, tzinfo=UTC)
    price = local.prices.at(night)

    assert price is not None
    assert price.rates(200_000).input == 0
    assert price.rates(200_001).input == Decimal("0.000001")
    assert local.prices.at(noon) is None


def test_a_team_file_becomes_a_team(write: Write) -> None:
    rich = (
        "team: search\n"
        "baseline: deepseek/deepseek-v4-flash\n"
        "time_zone: Europe/Berlin\n"
        "budgets:\n"
        "  - {limit_usd: 0.5, per: month, when_spent: downgrade}\n"
        "limits: {requests_per_minute: 600, tokens_per_minute: 2000000, concurrent: 64}\n"
        "aliases:\n"
        "  auto: {policy: balanced}\n"
        "  flash: {model: deepseek/deepseek-v4-flash}\n"
        "policies:\n"
        "  balanced:\n"
        "    candidates: [deepseek/deepseek-v4-flash]\n"
        "    objective: value\n"
        "    quality: {at_least: 0.8}\n"
        "    max_cost_usd: 0.50\n"
        "    default_max_output_tokens: 1000\n"
        "    banned_models: [deepseek/deepseek-v4-flash]\n"
        "    banned_providers: [local]\n"
        "    rules:\n"
        "      - name: narrow\n"
        "        when: {input_tokens: {over: 10, under: 20}, task: [code, agent], needs: tools, alias: auto,\n"
        "               tags: [a, b]}\n"
        "        candidates: [deepseek/deepseek-v4-flash]\n"
        "        objective: best\n"
        "        quality: {at_least: 0.97, of: best_candidate}\n"
        "        max_cost_usd: 1\n"
    )

    team = loaded(write(team=rich)).teams[TeamName("search")]
    balanced = Policy(
        name="balanced",
        candidates=(FLASH,),
        objective=Objective.VALUE,
        floor=QualityFloor(0.8, "one"),
        max_cost_usd=Decimal("0.50"),
        default_max_output_tokens=1_000,
        banned_models=frozenset({FLASH}),
        banned_providers=frozenset({ProviderName("local")}),
        rules=(
            Rule(
                name="narrow",
                when=Match(
                    input_tokens_over=10,
                    input_tokens_under=20,
                    tasks=frozenset({Task.CODE, Task.AGENT}),
                    needs=frozenset({Capability.TOOLS}),
                    aliases=frozenset({"auto"}),
                    tags=frozenset({"a", "b"}),
                ),
                candidates=(FLASH,),
                objective=Objective.BEST,
                floor=QualityFloor(0.97, "best_candidate"),
                max_cost_usd=Decimal(1),
            ),
        ),
    )

    assert team.baseline == FLASH
    assert team.zone == ZoneInfo("Europe/Berlin")
    assert team.budgets == (Budget(500_000_000, Per.MONTH, WhenSpent.DOWNGRADE),)
    assert team.limits == Limits(requests_per_minute=600, tokens_per_minute=2_000_000, concurrent=64)
    assert team.policies == {"balanced": balanced}
    assert team.aliases == {"auto": balanced, "flash": pinned(FLASH)}


def test_a_broken_configuration_yields_all_its_faults_in_one_error(write: Write) -> None:
    directory = write(
        main=MAIN.replace("kind: openrouter", "kind: opnrouter"),
        models=MODELS.replace("output_usd_per_mtok: 0.10", "output_usd_per_mtok: -0.10"),
        team=TEAM.replace("baseline:", "baselin:")
        .replace("candidates: [deepseek/deepseek-v4-flash]", "candidates: [deepseek/deepseek-v4-flsh]")
        .replace("    quality: {at_least", "    objective: best\n    objective: value\n    quality: {at_least"),
    )

    assert problems_of(directory) == [
        "config/models.yaml:14:34: expected a number of at least 0, got -0.10",
        "config/penstock.yaml:6:11: expected openrouter, deepseek or openai_compatible, got the text 'opnrouter'; "
        "did you mean 'openrouter'?",
        "config/teams/search.yaml:2:1: unknown key 'baselin'; did you mean 'baseline'?",
        "config/teams/search.yaml:9:18: unknown model 'deepseek/deepseek-v4-flsh'; "
        "did you mean 'deepseek/deepseek-v4-flash'?",
        "config/teams/search.yaml:11:5: the key 'objective' is already set in line 10; remove one of the two",
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("candidates: [deepseek/deepseek-v4-flash]", "candidates: [gpt]", "9:18: unknown model 'gpt'"),
        ("baseline: deepseek/", "baseline: deep/", "2:11: unknown model 'deep/deepseek-v4-flash'"),
        ("{policy: balanced}", "{policy: balance}", "6:18: unknown policy 'balance'; did you mean 'balanced'?"),
        ("{policy: balanced}", "{model: gpt}", "6:17: unknown model 'gpt'"),
        ("objective: best", "candidates: [gpt]", "14:22: unknown model 'gpt'"),
        ("    rules:", "    banned_models: [gpt]\n    rules:", "11:21: unknown model 'gpt'"),
        ("    rules:", "    banned_providers: [azure]\n    rules:", "11:24: unknown provider 'azure'"),
        ("task: code", "alias: atuo", "13:23: unknown alias 'atuo'; did you mean 'auto'?"),
        ("team: search", "team: research", "1:7: expected 'search', the name of this file, got 'research'; rename one"),
    ],
)
def test_a_name_that_nothing_answers_to_is_pointed_at(write: Write, before: str, after: str, expected: str) -> None:
    [problem] = problems_of(write(team=TEAM.replace(before, after)))

    assert problem.startswith(f"config/teams/search.yaml:{expected}")


def test_a_deployment_at_an_unknown_provider_is_pointed_at(write: Write) -> None:
    assert problems_of(write(models=MODELS.replace("provider: local", "provider: loacl"))) == [
        "config/models.yaml:9:19: unknown provider 'loacl'; did you mean 'local'?"
    ]


def test_nobody_is_blamed_for_names_of_a_file_that_cannot_be_read(write: Write) -> None:
    assert problems_of(write(models="models: [")) == [
        "config/models.yaml:1:10: this is not YAML: expected the node content, but found '<stream end>' "
        "while parsing a flow node"
    ]


def test_two_files_cannot_define_one_team(write: Write) -> None:
    directory = write()
    (directory / "teams" / "second.yaml").write_text(TEAM, encoding="utf-8")

    assert problems_of(directory) == [
        "config/teams/second.yaml:1:7: expected 'second', the name of this file, got 'search'; rename one",
    ]


def test_a_missing_file_is_named(write: Write) -> None:
    directory = write()
    (directory / "models.yaml").unlink()

    [problem] = problems_of(directory)

    assert problem.startswith("config/models.yaml:1:1: there is no such file")


def test_a_file_that_cannot_be_read_is_named(write: Write) -> None:
    directory = write()
    (directory / "models.yaml").unlink()
    (directory / "models.yaml").mkdir()

    assert problems_of(directory) == ["config/models.yaml:1:1: the file cannot be read: Is a directory"]


def test_a_directory_without_teams_is_refused(write: Write) -> None:
    directory = write()
    (directory / "teams" / "search.yaml").rename(directory / "teams" / "search.yml")

    assert problems_of(directory) == [
        "config/teams:1:1: expected at least one team file NAME.yaml here, got none",
        "config/teams/search.yml:1:1: expected the ending .yaml, got .yml; rename the file, or it is not read",
    ]


def test_a_directory_that_does_not_exist_is_one_problem(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"

    assert problems_of(nowhere) == [f"{nowhere}:1:1: expected a directory with penstock.yaml, got none"]


def test_files_that_editors_leave_behind_are_not_read(write: Write) -> None:
    directory = write()
    (directory / "teams" / ".#search.yaml").write_text("not: [ours", encoding="utf-8")
    (directory / "teams" / "search.yaml~").write_text("not: [ours", encoding="utf-8")

    assert list(loaded(directory).teams) == ["search"]


def test_the_version_changes_with_every_file_and_with_nothing_else(write: Write) -> None:
    first = loaded(write())

    again = load(Path("config"), environment={"OPENROUTER_API_KEY": "another"})
    other_main = loaded(write(main=MAIN + "# a comment\n"))
    other_models = loaded(write(models=MODELS + "# a comment\n"))
    other_team = loaded(write(team=TEAM + "# a comment\n"))

    assert len({first.version, other_main.version, other_models.version, other_team.version}) == 4
    assert again.version == first.version
    assert len(first.version) == 12


def test_a_head_that_was_trained_again_under_the_same_name_is_another_version(write: Write) -> None:
    directory = write(main=MAIN + "text_head: ours.bin\n")
    missing = loaded(directory).version
    (directory / "ours.bin").write_bytes(b"one")
    one = loaded(directory).version
    (directory / "ours.bin").write_bytes(b"two")

    assert len({missing, one, loaded(directory).version}) == 3


def test_the_catalogs_version_changes_with_models_and_providers_alone(write: Write) -> None:
    first = loaded(write()).catalog.version

    assert loaded(write(team=TEAM + "# a comment\n")).catalog.version == first
    assert loaded(write(models=MODELS + "# a comment\n")).catalog.version != first
    assert loaded(write(main=MAIN.replace(":8080", ":8081"))).catalog.version != first


def test_a_complete_configuration_gives_no_warning(write: Write) -> None:
    assert warnings(loaded(write())) == ()


def test_missing_secrets_and_prices_are_warned_of(write: Write) -> None:
    without_price = MODELS.partition("        prices:")[0]

    snapshot = load(write(models=without_price), environment={})

    assert warnings(snapshot) == (
        "$OPENROUTER_API_KEY holds no key for provider openrouter, so its deployments are unavailable",
        "$ADMIN_TOKEN holds no admin token, so the admin port is open to everyone on this machine, and to no other",
        "local:deepseek/deepseek-v4-flash has no price, neither in models.yaml nor in genai-prices 0.2.3, so it is "
        "never chosen; add `prices` to it (zero is a price)",
    )


def test_secrets_may_stand_in_files_beside_the_configuration(write: Write) -> None:
    directory = write(main=MAIN.replace("api_key_env: OPENROUTER_API_KEY", "api_key_file: openrouter.key"))
    (directory / "openrouter.key").write_text("sk-or-2\n", encoding="utf-8")

    access = loaded(directory).settings.providers[ProviderName("openrouter")]

    assert access.api_key is not None
    assert access.api_key.reveal() == "sk-or-2"
    assert access.api_key_from == "config/openrouter.key"


def test_a_state_directory_is_relative_to_the_configuration_or_the_home_directory(write: Write) -> None:
    beside = loaded(write(main=MAIN + "state: {directory: var}\n")).settings.state_dir
    at_home = loaded(write(main=MAIN + "state: {directory: ~/penstock}\n")).settings.state_dir
    absolute = loaded(write(main=MAIN + "state: {directory: /var/lib/penstock}\n")).settings.state_dir

    assert (beside, at_home, absolute) == (
        Path("config/var"),
        Path("/home/penstock/penstock"),
        Path("/var/lib/penstock"),
    )


def test_an_ipv6_address_is_written_in_brackets(write: Write) -> None:
    settings = loaded(write(main=MAIN.replace("listen: 127.0.0.1:8000", 'listen: "[::1]:8000"'))).settings

    assert settings.listen == Listen("::1", 8000)


def test_servers_that_several_processes_share_are_named_by_environment(write: Write) -> None:
    main = MAIN + ("state: {durability: strict}\nredis: {url_env: REDIS_URL}\npostgres: {url_env: POSTGRES_URL}\n")

    settings = loaded(write(main=main)).settings

    assert settings.durability == "strict"
    assert settings.redis is not None
    assert (settings.redis.url, settings.redis.url_from) == (None, "$REDIS_URL")
    assert settings.postgres is not None
    assert settings.postgres.url_from == "$POSTGRES_URL"


def test_the_address_of_a_server_may_stand_in_a_file_as_mounted_secrets_do(write: Write, tmp_path: Path) -> None:
    address = tmp_path / "postgres_url"
    address.write_text("postgresql://penstock:secret@db/penstock\n")
    main = MAIN + f"redis: {{url_file: missing}}\npostgres: {{url_file: {address}}}\n"

    settings = loaded(write(main=main)).settings

    assert settings.postgres is not None
    assert settings.postgres.url is not None
    assert settings.postgres.url.reveal() == "postgresql://penstock:secret@db/penstock"
    assert settings.redis is not None
    assert (settings.redis.url, settings.redis.url_from) == (None, "config/missing")


def test_servers_whose_address_is_missing_are_warned_of(write: Write) -> None:
    main = MAIN + "redis: {url_env: REDIS_URL}\npostgres: {url_env: POSTGRES_URL}\n"

    assert warnings(loaded(write(main=main)))[:2] == (
        "$REDIS_URL holds no URL of Redis, so nothing starts before it does",
        "$POSTGRES_URL holds no URL of PostgreSQL, so nothing starts before it does",
    )


def test_keys_and_projects_may_have_money_of_their_own(write: Write) -> None:
    team = TEAM + (
        "each_key: {budgets: [{limit_usd: 5, per: day}], limits: {concurrent: 2}}\n"
        "projects: {nightly: {budgets: [{limit_usd: 1, per: week}]}}\n"
    )

    (only,) = loaded(write(team=team)).teams.values()

    assert only.each_key.budgets == (Budget(5 * 10**9, Per.DAY),)
    assert only.each_key.limits == Limits(concurrent=2)
    assert only.projects["nightly"].budgets == (Budget(10**9, Per.WEEK),)


@pytest.mark.parametrize(("written", "every_s"), [("0", None), ("60", 60.0), ("3600", 3600.0)])
def test_prices_are_read_as_often_as_is_written_and_never_at_zero(
    write: Write, written: str, every_s: float | None
) -> None:
    main = MAIN + f"prices: {{refresh_s: {written}}}\n"

    assert loaded(write()).settings.prices.every_s == 300.0
    assert loaded(write(main=main)).settings.prices.every_s == every_s


def test_prices_are_read_no_oftener_than_once_a_minute(write: Write) -> None:
    [problem] = problems_of(write(main=MAIN + "prices: {refresh_s: 59.5}\n"))

    assert problem.endswith("expected 0 (never) or at least 60, got 59.5")


# The admin port


def admin_section(text: str) -> str:
    return MAIN.replace("admin:\n  token_env: ADMIN_TOKEN\n", text)


TOKENS = """\
admin:
  token_env: ADMIN_TOKEN
  tokens:
    - {name: grafana, role: viewer, token_file: grafana_token}
    - {name: anna, role: operator, token_env: ANNA}
"""


def test_admin_tokens_have_names_and_roles_and_the_one_by_itself_is_the_owner_admin(write: Write) -> None:
    directory = write(main=admin_section(TOKENS))
    (directory / "grafana_token").write_text("g" * 20 + "\n")

    settings = load(directory, environment={"ADMIN_TOKEN": "t" * 20}).settings

    assert settings.admin_tokens == (
        AdminToken("admin", Role.OWNER, Secret("t" * 20), "$ADMIN_TOKEN"),
        AdminToken("grafana", Role.VIEWER, Secret("g" * 20), str(directory / "grafana_token")),
        AdminToken("anna", Role.OPERATOR, None, "$ANNA"),
    )
    assert directory / "grafana_token" in settings.files


def test_a_token_that_is_empty_or_short_is_warned_of(write: Write) -> None:
    directory = write(main=admin_section(TOKENS))
    (directory / "grafana_token").write_text("guessed")

    told = warnings(load(directory, environment={"ADMIN_TOKEN": "t" * 20, "OPENROUTER_API_KEY": "k"}))

    assert told == (
        f"the admin token in {directory / 'grafana_token'} has less than 20 characters and may be guessed; make one "
        "by: openssl rand -hex 24",
        "$ANNA holds no admin token, so anna cannot sign in",
    )


def test_two_names_for_one_token_are_refused(write: Write) -> None:
    directory = write(main=admin_section(TOKENS))
    (directory / "grafana_token").write_text("t" * 20)

    with pytest.raises(ConfigError) as refusal:
        load(directory, environment={"ADMIN_TOKEN": "t" * 20})

    assert [each.message for each in refusal.value.problems] == [
        "expected a token of its own for grafana, got that of admin"
    ]


def test_the_admin_port_may_be_a_socket_in_the_file_system(write: Write) -> None:
    settings = load(
        write(main=admin_section("admin:\n  listen: unix:/run/penstock/admin.sock\n")), environment={}
    ).settings

    assert settings.admin == UnixSocket(Path("/run/penstock/admin.sock"))
    assert str(settings.admin) == "unix:/run/penstock/admin.sock"
