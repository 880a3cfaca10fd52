"""`traces` of penstock.yaml as `Traces`, and what the environment variables of OpenTelemetry do beside it.

The file decides whether there are traces. Where it names no collector, the standard variables do, with their headers.
Where it names one, their headers are not sent to it: they may be the secret of another. What else OpenTelemetry's
packages would read of the environment (samplers, queues, certificates, proxies) does nothing here, and is said so.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from router.config.files import Files
from router.config.schema.penstock import TracesSection
from router.config.sentences import masked
from router.config.settings import secret
from router.config.snapshot import Traces
from router.keys import Secret

# opentelemetry.io/docs/specs/otel/protocol/exporter, read 2026-11-30: the first of two that is set counts.
_ENDPOINT, _ENDPOINT_OF_ALL = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_PROTOCOL = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN = "http/protobuf"
_IGNORED = ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_TRACES_EXPORTER", "OTEL_PROPAGATORS")

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[\x20-\x7e]+")
_SERVICE = "penstock"


def traces(
    section: TracesSection | None, *, headers_file: Path | None, environment: Mapping[str, str], files: Files
) -> Traces | None:
    """Where traces go; None: there are none. What is wrong with it is in its `problems`, not raised."""
    if section is None or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    endpoint, from_environment = section.endpoint, ""
    if endpoint is None:
        endpoint, from_environment = _endpoint_of(environment)
    variable = section.headers_env
    if variable is None and headers_file is None and from_environment:
        variable = _first(_HEADERS, environment)
    text = secret(variable=variable, file=headers_file, environment=environment, files=files)
    headers = _headers("" if text is None else text.reveal())
    problem = _problem(endpoint, from_environment, environment)
    if headers is None:
        problem = (
            problem or f"expected name=value,… in {f'${variable}' if variable else headers_file}, got something else"
        )
    return Traces(
        endpoint=endpoint,
        headers=headers or {},
        headers_missing=_origin(section, headers_file) if text is None else None,
        sample_share=section.sample_share,
        to_providers=section.to_providers,
        is_private=section.private_network,
        resource=_resource(environment),
        problem=problem,
        notes=tuple(_notes(section, environment)),
    )


def _endpoint_of(environment: Mapping[str, str]) -> tuple[str | None, str]:
    """The collector that the environment names, and the variable that does."""
    if environment.get(_ENDPOINT):
        return environment[_ENDPOINT], _ENDPOINT
    if environment.get(_ENDPOINT_OF_ALL):
        return f"{environment[_ENDPOINT_OF_ALL].rstrip('/')}/v1/traces", _ENDPOINT_OF_ALL
    return None, ""


def _problem(endpoint: str | None, from_environment: str, environment: Mapping[str, str]) -> str | None:
    if endpoint is None:
        return f"expected `endpoint` in it, or ${_ENDPOINT} or ${_ENDPOINT_OF_ALL} in the environment, got neither"
    protocol = _first(_PROTOCOL, environment)
    if not from_environment:
        return None  # which protocol the environment speaks of is another collector's
    if protocol is not None and environment[protocol] != _SPOKEN:
        return f"expected ${protocol} to be {_SPOKEN}, as nothing else is spoken, got '{environment[protocol]}'"
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"expected a URL such as http://127.0.0.1:4318 in ${from_environment}, got something else"
    if parts.username or parts.password:
        return f"expected no password in ${from_environment}; it is not sent: put it into ${_HEADERS[0]}"
    return None


def _notes(section: TracesSection, environment: Mapping[str, str]) -> Iterator[str]:
    """What an operator who set a variable might take to be in force."""
    if section.endpoint is not None:
        for variable in (_ENDPOINT, _ENDPOINT_OF_ALL, *_HEADERS):
            if environment.get(variable):
                yield f"${variable} is not used, as `traces` in penstock.yaml names a collector itself"
    for variable in _IGNORED:
        if environment.get(variable):
            yield f"${variable} does nothing: see `traces` in penstock.yaml (docs/tracing.md)"


def _first(variables: tuple[str, ...], environment: Mapping[str, str]) -> str | None:
    return next((variable for variable in variables if environment.get(variable)), None)


def _origin(section: TracesSection, headers_file: Path | None) -> str | None:
    """Where headers should have been, if anywhere."""
    return f"${masked(section.headers_env)}" if section.headers_env else str(headers_file) if headers_file else None


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """`name=value,name=value`, values percent-encoded, as OpenTelemetry writes headers and attributes."""
    for pair in text.split(","):
        if pair.strip():
            name, _, value = pair.partition("=")
            yield name.strip(), unquote(value.strip())


def _headers(text: str) -> Mapping[str, Secret] | None:
    """By lower-case name; None if some is no header."""
    pairs = dict(_pairs(text))
    if not all(_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value) for name, value in pairs.items()):
        return None
    return {name.lower(): Secret(value) for name, value in pairs.items()}


def _resource(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Who we are, as far as the environment says so; OTEL_SERVICE_NAME wins over the list (resource SDK, OTel 1.x)."""
    told = {name: value for name, value in _pairs(environment.get("OTEL_RESOURCE_ATTRIBUTES", "")) if name}
    named = environment.get("OTEL_SERVICE_NAME") or told.get("service.name") or _SERVICE
    return {**told, "service.name": named}
