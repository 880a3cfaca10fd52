"""Where traces go is said in penstock.yaml; what the variables of OpenTelemetry do beside it is said, not guessed."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from router.config.loader import load, warnings
from router.config.snapshot import Logs, Snapshot, Traces
from router.errors import ConfigError
from tests.config.conftest import MAIN, Write

_URL = "http://127.0.0.1:4318/v1/traces"
_SECRETS = {"OPENROUTER_API_KEY": "sk-or-1", "ADMIN_TOKEN": "t" * 20, "HOME": "/home/penstock"}
_HERE = f"traces: {{endpoint: '{_URL}'}}\n"


def read(directory: Path, **variables: str) -> Snapshot:
    return load(directory, environment={**_SECRETS, **variables})


def traces_of(directory: Path, **variables: str) -> Traces:
    traces = read(directory, **variables).settings.traces
    assert traces is not None
    return traces


def headers_of(traces: Traces) -> Mapping[str, str]:
    return {name: value.reveal() for name, value in traces.headers.items()}


def problem_of(directory: Path, **variables: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(directory, **variables)
    (problem,) = caught.value.problems
    return str(problem)


def test_without_the_section_there_are_no_traces_whatever_the_environment_says(write: Write) -> None:
    assert read(write(), OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318").settings.traces is None


def test_the_file_says_where_traces_go_and_its_secret_is_elsewhere(write: Write) -> None:
    others = "sample_share: 0.1, to_providers: false, private_network: true"
    main = f"{MAIN}traces: {{endpoint: '{_URL}', headers_env: H, {others}}}\n"

    traces = traces_of(write(main=main), H="authorization=Bearer%20abc, X-Scope = a%3Db")

    assert traces == Traces(
        endpoint=_URL,
        headers=traces.headers,
        sample_share=0.1,
        to_providers=False,
        is_private=True,
        resource={"service.name": "penstock"},
    )
    assert headers_of(traces) == {"authorization": "Bearer abc", "x-scope": "a=b"}


def test_headers_may_stand_in_a_file(write: Write) -> None:
    directory = write(main=f"{MAIN}traces: {{endpoint: '{_URL}', headers_file: headers}}\n")
    (directory / "headers").write_text("a=1\n")

    assert headers_of(traces_of(directory)) == {"a": "1"}


@pytest.mark.parametrize(
    ("variables", "endpoint", "headers"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces", {}),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1/x",
                "OTEL_EXPORTER_OTLP_HEADERS": "a=1",
            },
            "http://t:1/x",
            {"a": "1"},
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
                "OTEL_EXPORTER_OTLP_HEADERS": "a=1",
                "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "b=2",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
            "http://c:4318/v1/traces",
            {"b": "2"},
        ),
    ],
)
def test_where_the_file_names_no_collector_the_standard_variables_do_with_their_headers(
    write: Write, variables: dict[str, str], endpoint: str, headers: dict[str, str]
) -> None:
    traces = traces_of(write(main=f"{MAIN}traces: {{}}\n"), **variables)

    assert (traces.endpoint, headers_of(traces), traces.notes) == (endpoint, headers, ())


def test_headers_of_the_environment_are_not_sent_to_the_collector_of_the_file_and_it_is_said(write: Write) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret",
        "OTEL_TRACES_SAMPLER": "always_off",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    snapshot = read(write(main=MAIN + _HERE), **variables)

    assert snapshot.settings.traces is not None
    assert (snapshot.settings.traces.endpoint, headers_of(snapshot.settings.traces)) == (_URL, {})
    said = "\n".join(warnings(snapshot))
    for variable in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_TRACES_SAMPLER"):
        assert f"${variable} " in said
    assert "secret" not in said


def test_who_we_are_may_come_from_the_environment_and_the_sdks_switch_is_honoured(write: Write) -> None:
    directory = write(main=MAIN + _HERE)

    named = traces_of(directory, OTEL_SERVICE_NAME="gw", OTEL_RESOURCE_ATTRIBUTES="service.name=x,team=a%20b")
    assert named.resource == {"service.name": "gw", "team": "a b"}
    assert traces_of(directory, OTEL_RESOURCE_ATTRIBUTES="service.name=x").resource == {"service.name": "x"}
    assert read(directory, OTEL_SDK_DISABLED="True").settings.traces is None


@pytest.mark.parametrize(
    ("section", "variables", "expected"),
    [
        ("{}", {}, "expected `endpoint` in it, or $OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or"),
        (
            "{}",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "expected $OTEL_EXPORTER_OTLP_PROTOCOL to be http/protobuf, as nothing else is spoken, got 'grpc'",
        ),
        ("{}", {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, "expected a URL such as http://127.0.0.1:4318 in $"),
        (
            "{}",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:secret@c:4318"},
            "expected no password in $OTEL_EXPORTER_OTLP_ENDPOINT; it is not sent: put it into $OTEL_EXPORTER_OTLP_",
        ),
        (
            f"{{endpoint: '{_URL}', headers_env: H}}",
            {"H": "Bearer secret"},
            "expected name=value,… in $H, got something else",
        ),
        ("{endpoint: 'http://127.0.0.1:4318'}", {}, "expected the whole URL, such as http://127.0.0.1:4318/v1/traces"),
        ("{endpoint: 'collector:4317'}", {}, "expected an address such as"),
        (f"{{endpoint: '{_URL}', headers_env: H, headers_file: h}}", {}, "headers_env or headers_file, got both"),
        (f"{{endpoint: '{_URL}', sample_share: 1.5}}", {}, "expected a number of at most 1, got 1.5"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(
    write: Write, section: str, variables: dict[str, str], expected: str
) -> None:
    problem = problem_of(write(main=f"{MAIN}traces: {section}\n"), **variables)

    assert expected in problem
    assert f"penstock.yaml:{MAIN.count(chr(10)) + 1}:" in problem
    assert "secret" not in problem


def test_headers_that_are_configured_and_not_there_are_said_to_be_missing(write: Write) -> None:
    snapshot = read(write(main=f"{MAIN}traces: {{endpoint: '{_URL}', headers_env: H}}\n"))

    assert "$H holds no headers for the collector of traces, so none are sent" in warnings(snapshot)


def test_logs_are_text_or_json_from_a_level_on(write: Write) -> None:
    assert read(write()).settings.logs == Logs("info", None, requests=False)
    main = f"{MAIN}logs: {{level: debug, format: json, requests: true}}\n"
    assert read(write(main=main)).settings.logs == Logs("debug", "json", requests=True)
