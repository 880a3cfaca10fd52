"""Every kind of slip has its sentence, at the place where it was made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from router.config import complaints
from router.config.schema.models import ModelsFile
from router.config.schema.penstock import PenstockFile
from router.config.schema.teams import TeamFile
from router.config.schema.values import Section
from router.config.sentences import masked
from router.config.yaml_source import parse
from router.errors import ConfigError
from tests.config.conftest import MAIN, MODELS, TEAM, Write, loaded, problems_of


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("baseline:", "base_line:", "2:1: unknown key 'base_line'; did you mean 'baseline'?"),
        (
            "objective: best",
            "cooldown: 5\n        objective: best",
            "14:9: unknown key 'cooldown'; allowed are name, when, candidates, objective, quality, max_cost_usd, ",
        ),
        ("limit_usd: 500, ", "", "4:5: the key 'limit_usd' is missing"),
        ("limit_usd: 500", "limit_usd: -5", "4:17: expected a number of at least 0, got -5"),
        (
            "limit_usd: 500",
            'limit_usd: "500"',
            "4:17: expected a number, got the text '500'; write it without quotes",
        ),
        ("limit_usd: 500", "limit_usd: true", "4:17: expected a number, got true"),
        (
            "limit_usd: 500",
            "limit_usd: 9007199.254740993",
            "4:17: expected at most 9007199 dollars (2^53 nano-dollars, the largest exact count), "
            "got 9007199.254740993",
        ),
        (
            "limit_usd: 500",
            "limit_usd: 0.0000000001",
            "4:17: expected whole nano-dollars (at most 9 decimals), got 0.0000000001",
        ),
        (
            "per: month",
            "per: monht",
            "4:27: expected minute, hour, day, week or month, got the text 'monht'; did you mean 'month'?",
        ),
        ("at_least: 0.92", "at_least: 92", "10:25: expected a number of at most 1, got 92"),
        ("at_least: 0.92", "at_least: -0.1", "10:25: expected a number of at least 0, got -0.1"),
        (
            "of: best_candidate",
            "of: best",
            "10:35: expected best_candidate, got the text 'best'",
        ),
        ("candidates: [deepseek/deepseek-v4-flash]", "candidates: []", "9:17: expected at least one entry, got none"),
        ("candidates: [deepseek/deepseek-v4-flash]", "candidates:", "9:5: expected a list, got nothing"),
        (
            "candidates: [deepseek/deepseek-v4-flash]",
            "candidates: deepseek/deepseek-v4-flash",
            "9:17: expected a list, got the text 'deepseek/deepseek-v4-flash'",
        ),
        (
            "candidates: [deepseek/deepseek-v4-flash]",
            "candidates: [deepseek/deepseek-v4-flash, deepseek/deepseek-v4-flash]",
            "9:17: expected each candidate once, got 'deepseek/deepseek-v4-flash' twice",
        ),
        ("policies:\n  balanced:", "policies:\n  Balanced:", "8:3: expected a name of a-z, 0-9, _ and -"),
        (
            "team: search",
            "team: search\ntime_zone: Europe/Berln",
            "2:12: expected an IANA time zone such as UTC or Europe/Berlin, got 'Europe/Berln'; did you mean "
            "'Europe/Berlin'?",
        ),
        ("auto: {", "au to: {", "6:3: expected an alias of letters, digits and . _ : / @ - (at most 128), got 'au to'"),
        (
            "{policy: balanced}",
            "{policy: balanced, model: deepseek/deepseek-v4-flash}",
            "6:9: expected either policy or model",
        ),
        ("{policy: balanced}", "{}", "6:9: expected either policy or model"),
        ("  auto: {policy: balanced}", "", "5:1: expected a mapping (key: value), got nothing"),
        (
            "task: code",
            "task: cod",
            "13:22: expected chat, writing, translation, summary, extraction, classification, facts, math, reasoning, "
            "code, tool_call, agent, vision or long_context, got the text 'cod'; did you mean 'code'?",
        ),
        (
            "task: code",
            "task: CODE",
            "13:22: expected chat, writing, translation, summary, extraction, classification, facts, math, reasoning, "
            "code, tool_call, agent, vision or long_context, got the text 'CODE'; did you mean 'code'?",
        ),
        (
            "task: code",
            "task: [code, cod]",
            "13:29: expected chat, writing, translation, summary, extraction, classification, facts, math, reasoning, "
            "code, tool_call, agent, vision or long_context, got the text 'cod'; did you mean 'code'?",
        ),
        (
            "{task: code}",
            "{}",
            "13:15: expected a condition; a rule that always applies belongs into the policy itself",
        ),
        ("task: code", "input_tokens: {}", "13:30: expected over, under or both"),
        (
            "task: code",
            "input_tokens: {over: 5, under: 6}",
            "13:47: no number is over 5 and under 6, so the rule could never apply",
        ),
        (
            "task: code",
            "tags: [a b]",
            "13:23: expected a tag of letters, digits and . _ : / = @ - (at most 64), got 'a b'",
        ),
        (
            "        objective: best\n",
            "",
            "12:9: expected at least one of candidates, objective, quality, max_cost_usd, max_latency_ms, "
            "reasoning_effort, max_reasoning_effort, weights, only_providers, data, verify, confidence, usd_per_point: "
            "the rule changes nothing",
        ),
        (
            "        objective: best\n",
            "        objective: best\n      - {name: code, when: {task: chat}, objective: best}\n",
            "12:7: expected a name of its own for each rule, got 'code' twice",
        ),
        (
            "budgets:",
            "limits: {concurrent: 0}\nbudgets:",
            "3:22: expected a number of at least 1, got 0",
        ),
        ("budgets:", "limits: {concurrent: 1.5}\nbudgets:", "3:22: expected a whole number, got the number 1.5"),
        ("team: search", "team: 5", "1:7: expected text, got the number 5; put it in quotes"),
    ],
)
def test_a_slip_in_a_team_file(write: Write, before: str, after: str, expected: str) -> None:
    problems = problems_of(write(team=TEAM.replace(before, after)))

    assert any(problem.startswith(f"config/teams/search.yaml:{expected}") for problem in problems)


CHECKS = (
    "expected json_schema, tool_arguments, non_empty, not_truncated, agreement, {code: LANGUAGES} or {regex: PATTERN}, "
)
LANGUAGES = "expected python, json, sql or javascript, "


@pytest.mark.parametrize(
    ("written", "column", "message"),
    [
        ("json_shema", 17, CHECKS + "got the text 'json_shema'; did you mean json_schema?"),
        ("aggreement", 17, CHECKS + "got the text 'aggreement'; did you mean agreement?"),
        ("[non_empty, not_trunkated]", 29, CHECKS + "got the text 'not_trunkated'; did you mean not_truncated?"),
        ("code", 17, CHECKS + "got the text 'code'; did you mean {code: LANGUAGES}?"),
        ("[regex]", 18, CHECKS + "got the text 'regex'; did you mean {regex: PATTERN}?"),
        ("guess", 17, CHECKS + "got the text 'guess'"),
        ("5", 17, "expected a list, got the number 5"),
        ("[5]", 18, CHECKS + "got the number 5"),
        ("{regexp: x}", 17, CHECKS + "got a mapping with regexp; did you mean {regex: PATTERN}?"),
        ("{regex: x, flags: i}", 17, CHECKS + "got a mapping with regex, flags; did you mean {regex: PATTERN}?"),
        ("{}", 17, CHECKS + "got a mapping"),
        ("[{code: javascrpt}]", 25, LANGUAGES + "got the text 'javascrpt'; did you mean 'javascript'?"),
        ("[{code: js}]", 25, LANGUAGES + "got the text 'js'; did you mean 'javascript'?"),
        ("[{code: [python, PostgreSQL]}]", 34, LANGUAGES + "got the text 'PostgreSQL'; did you mean 'sql'?"),
        ("[{code: [python, cobol]}]", 34, LANGUAGES + "got the text 'cobol'"),
        ("[{code: [5]}]", 26, LANGUAGES + "got the number 5"),
        ("[{code: []}]", 25, "expected one or more of python, json, sql, javascript, got a list"),
        ("[{regex: 5}]", 26, "expected a regular expression in quotes, got the number 5"),
        (
            "[{regex: '('}]",
            26,
            "expected a regular expression without the slip at its character 1 (missing ), unterminated subpattern), "
            "got the text '('",
        ),
        (
            "[{regex: 'a**'}]",
            None,
            "",  # odd, and an expression to the engine all the same
        ),
        (
            "[{regex: '(?=a)b'}]",
            26,
            "expected a regular expression without look-around ((?= cannot be matched in linear time), got the text "
            "'(?=a)b'",
        ),
        (
            "[{regex: 'b(?<!a)'}]",
            26,
            "expected a regular expression without look-around ((?<! cannot be matched in linear time), got the text "
            "'b(?<!a)'",
        ),
        (
            '[{regex: "(a)\\\\1"}]',
            26,
            "expected a regular expression without back-references (\\1 cannot be matched in linear time), got the "
            "text '(a)\\1'",
        ),
        (
            "[{regex: 'a{1000}{1000}'}]",
            26,
            "expected a regular expression",
        ),
        (
            "[{regex: '(?:a{1000}){1000}'}]",
            26,
            "expected a regular expression that is smaller when compiled, and in the syntax of Rust's regex, got the "
            "text '(?:a{1000}){1000}'",
        ),
        (
            "[non_empty, {regex: a}, {regex: b}, non_empty]",
            53,
            "expected each check once, got 'non_empty' twice; remove one",
        ),
        ("[{regex: a}, {regex: a}]", 30, "expected each check once, got 'regex' twice; remove one"),
        (
            "[{code: [python, json]}, {code: [json, python]}]",
            42,
            "expected each check once, got 'code' twice; remove one",
        ),
        ("[{code: python}, {code: json}, {regex: a}, {regex: b}]", None, ""),
    ],
)
def test_a_slip_in_a_check(write: Write, written: str, column: int | None, message: str) -> None:
    directory = write(team=TEAM.replace("objective: best", f"verify: {written}"))

    if column is None:
        loaded(directory)
        return
    [problem] = problems_of(directory)
    assert problem.startswith(f"config/teams/search.yaml:14:{column}: {message}")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("score: 0.864", "score: 1.1", "6:21: expected a number of at most 1, got 1.1"),
        ("checked: 2026-11-23", "checked: yesterday", "6:54: expected a date such as 2026-04-24, got 'yesterday'"),
        (
            "checked: 2026-11-23",
            "checked: 2026-11-31",
            "6:54: expected a date such as 2026-04-24, got 2026-11-31, which no calendar has",
        ),
        ("output_usd_per_mtok: 0.10", "output_usd_per_mtok: -1", "14:34: expected a number of at least 0, got -1"),
        (
            "max_output_tokens: 65536",
            "max_output_tokens: 65_536",
            "4:24: expected a whole number, got the text '65_536'",
        ),
        (
            "            source: our machine\n",
            "            until: 2026-11-01\n            source: our machine\n",
            "15:20: expected a day after from (2026-11-01), got 2026-11-01",
        ),
        (
            "            source: our machine\n",
            '            daily: {from: "25:00", until: "01:00"}\n            source: our machine\n',
            "15:27: expected a UTC time such as \"01:00\", got '25:00'",
        ),
        (
            "            source: our machine\n",
            '            daily: {from: "01:00", until: "01:00"}\n            source: our machine\n',
            "15:43: expected two different times, got 01:00 twice",
        ),
        (
            "            source: our machine\n",
            "            tiers:\n"
            "              - {above_input_tokens: 200, input_usd_per_mtok: 1, output_usd_per_mtok: 1}\n"
            "              - {above_input_tokens: 200, input_usd_per_mtok: 2, output_usd_per_mtok: 2}\n"
            "            source: our machine\n",
            "16:15: expected ascending thresholds, got 200, 200",
        ),
        (
            "          - from: 2026-11-01\n",
            "          - {from: 2026-10-01, until: 2026-11-02, input_usd_per_mtok: 1, output_usd_per_mtok: 1,\n"
            "             source: x, checked: 2026-11-01}\n"
            "          - from: 2026-11-01\n",
            "12:11: expected prices that do not overlap, got one until 2026-11-02 and the next from 2026-11-01",
        ),
        (
            "          - from: 2026-11-01\n",
            "          - {from: 2026-12-01, input_usd_per_mtok: 1, output_usd_per_mtok: 1,\n"
            "             source: x, checked: 2026-11-01}\n"
            "          - from: 2026-11-01\n",
            "12:11: expected the oldest price first, got 2026-11-01 after 2026-12-01",
        ),
        ("provider: local", "provider: openrouter", "8:7: expected one deployment a provider, got 'openrouter' twice"),
        ("chat: {", "chatt: {", "6:7: unknown key 'chatt'; did you mean 'chat'?"),
        (
            "    quality:",
            "    capabilities: [tool]\n    quality:",
            "5:20: expected tools, json_object, json_schema, reasoning, image_input, audio_input, video_input, "
            "file_input, image_output or audio_output, got the text 'tool'; did you mean 'tools'?",
        ),
        ("  deepseek/deepseek-v4-flash:", "  flash:", "2:3: expected a catalog id like deepseek/deepseek-v4-flash"),
    ],
)
def test_a_slip_in_models_yaml(write: Write, before: str, after: str, expected: str) -> None:
    problems = problems_of(write(models=MODELS.replace(before, after)))

    assert any(problem.startswith(f"config/models.yaml:{expected}") for problem in problems)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "listen: 127.0.0.1:8000",
            "listen: localhost",
            "1:9: expected host:port such as 127.0.0.1:8000, got 'localhost'",
        ),
        ("listen: 127.0.0.1:8000", "listen: h:65536", "1:9: expected host:port such as 127.0.0.1:8000, got 'h:65536'"),
        (
            "https://openrouter.ai",
            "ftp://openrouter.ai",
            "7:15: expected an address such as https://openrouter.ai/api/v1",
        ),
        ("https://openrouter.ai", "https://[::1", "7:15: expected an address such as https://openrouter.ai/api/v1"),
        ("https://openrouter.ai", "https://me:secret@openrouter.ai", "7:15: expected an address without a password"),
        ("    api_key_env: OPENROUTER_API_KEY\n", "", "6:5: expected api_key_env or api_key_file: a provider of kind"),
        (
            "    api_key_env: OPENROUTER_API_KEY\n",
            "    api_key_env: OPENROUTER_API_KEY\n    api_key_file: key\n",
            "9:19: expected api_key_env or api_key_file, got both",
        ),
        (
            "  token_env: ADMIN_TOKEN\n",
            "  token_env: ADMIN_TOKEN\n  token_file: token\n",
            "4:15: expected token_env or token_file, got both",
        ),
        (
            "  local:",
            "  other:",
            "9:3: expected a name of a-z, 0-9, _ and - (at most 63, and not 'other'), got 'other'",
        ),
        ("admin:", "timeouts: {connect_s: 0}\nadmin:", "2:23: expected a number of more than 0, got 0"),
        ("admin:", "max_body_bytes: 1\nadmin:", "2:17: expected a number of at least 1024, got 1"),
        (
            "admin:",
            "redis: {url_env: REDIS_URL}\nadmin:",
            "2:8: expected `postgres` beside it, got none: counters that Redis has lost are rebuilt from the ledger, "
            "and a SQLite file holds only what one machine has spent. Add postgres: {url_env: …}",
        ),
        (
            "admin:",
            "postgres: {url_env: LEDGER_URL, url_file: ledger_url}\nadmin:",
            "2:43: expected url_env or url_file, got both",
        ),
        ("admin:", "postgres: {}\nadmin:", "2:11: expected url_env or url_file, which says where"),
        (MAIN, "- a\n- b\n", "1:1: expected a mapping (key: value), got a list"),
        (MAIN, "", "1:1: the file is empty"),
    ],
)
def test_a_slip_in_penstock_yaml(write: Write, before: str, after: str, expected: str) -> None:
    problems = problems_of(write(main=MAIN.replace(before, after)))

    assert any(problem.startswith(f"config/penstock.yaml:{expected}") for problem in problems)


def test_a_secret_written_where_its_name_belongs_is_not_repeated(write: Write) -> None:
    directory = write(main=MAIN.replace("OPENROUTER_API_KEY", "sk-or-v1-0123456789"))

    [problem] = problems_of(directory)

    assert problem == (
        "config/penstock.yaml:8:18: expected the name of an environment variable such as OPENROUTER_API_KEY; "
        "a secret itself never stands here"
    )


JUNK = ["", "null", "true", "-1", "0", "0.5", "1e9", "9" * 20, "text", "''", "[]", "[1, x]", "{}", "{a: 1}", "~/x"]


@given(
    original=st.sampled_from([(MAIN, PenstockFile), (MODELS, ModelsFile), (TEAM, TeamFile)]),
    line=st.integers(min_value=0, max_value=30),
    key=st.sampled_from(["", "from", "quality", "candidates", "when", "x"]),
    value=st.sampled_from(JUNK),
)
def test_whatever_is_written_gets_a_sentence_and_a_place(
    original: tuple[str, type[Section]], line: int, key: str, value: str
) -> None:
    text, shape = original
    lines = text.splitlines()
    spot = line % len(lines)
    indent, _, rest = lines[spot].partition(lines[spot].lstrip())
    written = key or rest.partition(":")[0] or lines[spot].lstrip().partition(":")[0]
    lines[spot] = f"{indent}{written}: {value}"
    document = parse("f.yaml", "\n".join(lines).encode())

    found = list(document.problems)
    try:
        shape.model_validate(document.data)
    except ValidationError as error:
        found += complaints.problems(error, document, shape)

    assert all(1 <= problem.line <= len(lines) + 1 and problem.column >= 1 for problem in found)
    assert all(problem.message.isprintable() and "input should" not in problem.message for problem in found)


def test_what_the_reader_complained_of_is_not_complained_of_twice(write: Write) -> None:
    assert problems_of(write(team=TEAM.replace("limit_usd: 500", "limit_usd: .nan"))) == [
        "config/teams/search.yaml:4:17: expected a finite number, got .nan"
    ]


def test_a_long_text_is_shown_shortened(write: Write) -> None:
    [problem] = problems_of(write(team=TEAM.replace("limit_usd: 500", f"limit_usd: {'x' * 1_000}")))

    assert problem.endswith(f"got the text '{'x' * 60}…'")


def test_a_rule_name_too_long_for_a_header_is_refused(write: Write) -> None:
    [problem] = problems_of(write(team=TEAM.replace("name: code", f"name: {'x' * 64}")))

    assert problem == "config/teams/search.yaml:12:15: expected at most 63 characters, got 64"


def test_the_largest_exact_budget_is_accepted(write: Write) -> None:
    snapshot = loaded(write(team=TEAM.replace("limit_usd: 500", "limit_usd: 9007199.254740992")))

    [budget] = next(iter(snapshot.teams.values())).budgets

    assert budget.limit_nano_usd == 2**53


def test_the_error_itself_reads_as_its_problems(write: Write) -> None:
    with pytest.raises(ConfigError) as refusal:
        loaded(write(team=TEAM.replace("per: month", "per: year")))

    assert str(refusal.value) == (
        "config/teams/search.yaml:4:27: expected minute, hour, day, week or month, got the text 'year'"
    )


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("expected either, got the text 'sk-or-v1-4f8a'", "expected either, got the text 'sk-***'"),
        ("unknown key 'Qz7WmX2hJpT9vKd4RsYb'; allowed are a, b", "unknown key '***'; allowed are a, b"),
        ("got 'http://me:hunter2@host/v1'", "got 'http://***@host/v1'"),
        ("got 'redis://:a+b/c9d8e7f6a5b4c3@host'", "got 'redis://***@host'"),
        ("got the text 'QzWmXhJpTvKdRsYbLnCf'", "got the text '***'"),
        ("got '0a0b0c0d0e0f0a0b0c0d'", "got '***'"),
    ],
)
def test_what_looks_like_a_secret_is_not_repeated(message: str, shown: str) -> None:
    assert masked(message) == shown


@pytest.mark.parametrize(
    "message",
    [
        "expected a catalog id like deepseek/deepseek-v4-flash, got 'anthropic/claude-opus-4.7-20260424'",
        "expected at most 9007199 dollars (2^53 nano-dollars, the largest exact count), got 123456789012345",
        "PENSTOCK_ADMIN_TOKEN holds no token; allowed are requests_per_minute, default_max_output_tokens",
        "expected an address such as https://openrouter.ai/api/v1, got 'http://127.0.0.1:8000/v1/chat/completions'",
    ],
)
def test_words_names_and_numbers_are_repeated(message: str) -> None:
    assert masked(message) == message
