"""Whatever a client asks of OpenAI's chat and Responses APIs is what the provider is asked, but for documented edits.

Over real sockets; the members come as texts, so that also their numbers, escapes and blanks must arrive as they were.
"""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from tests.e2e.conftest import Proxy, running_proxy
from tests.e2e.hostile import HostileProvider
from tests.upstream import test_openrouter_responses_schema as responses
from tests.upstream import test_openrouter_schema as chat

_MODEL = "openai/gpt-5.4"
# Refused, each by a 400 that names it (docs/clients.md), where it says anything at all.
_REFUSED = {
    "chat/completions": {"web_search_options"},
    "responses": {"previous_response_id", "conversation", "prompt", "context_management", "background_options"},
}
# Known to openai-python and in no generator elsewhere, with a value: forwarded untouched.
_FURTHER: dict[str, dict[str, object]] = {
    "chat/completions": {
        "audio": {"format": "mp3", "voice": "alloy"},
        "function_call": "auto",
        "functions": [{"name": "weather", "parameters": {"type": "object"}}],
        "moderation": {"model": "omni-moderation-latest"},
        "prompt_cache_retention": "24h",
    },
    "responses": {
        "access_programs": ["x"],
        "image": {"x": 1},
        "moderation": {"model": "omni-moderation-latest"},
        "prompt_cache_retention": "24h",
    },
}
# What we set, or leave out as it means the same.
_EDITED = {
    "chat/completions": {*chat.OURS, "models", "plugins", "route"},
    "responses": {*responses.OURS, "models", "plugins"},
}
_ANSWERS = {
    "chat/completions": {
        "id": "gen-1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Tea."}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "cost": 0.00001},
    },
    "responses": {
        "id": "gen-1",
        "object": "response",
        "status": "completed",
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Tea."}]}],
        "usage": {"input_tokens": 9, "output_tokens": 5, "cost": 0.00001},
    },
}


class Listening(HostileProvider):
    """Answers every request well, and remembers the last body."""

    def __init__(self) -> None:
        super().__init__()
        self.body = b""

    def _speak(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as received:
            line, length = received.readline(), 0
            for header in iter(received.readline, b"\r\n"):
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            if line.startswith(b"GET "):
                connection.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                return
            self.body = received.read(length)
            api = line.split()[1].decode().removeprefix("/api/v1/")
            content = json.dumps(_ANSWERS[api]).encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"
            connection.sendall(f"{head}connection: close\r\n\r\n".encode() + content)


@pytest.fixture(scope="module")
def provider() -> Iterator[Listening]:
    provider = Listening()
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def proxy(provider: Listening, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    def without_limits(config: Path) -> None:
        team = config / "teams" / "search.yaml"
        text = team.read_text().replace("requests_per_minute: 600", "requests_per_minute: 600000")
        text = text.replace("max_reasoning_effort: high", "")  # which would be a reason to edit
        team.write_text(text.replace("max_cost_usd: 5.00", "max_cost_usd: 30.00"))  # files are held for a whole window
        models = config / "models.yaml"
        before, found, after = models.read_text().partition(f"  {_MODEL}:\n")
        models.write_text(
            before
            + found
            + after.replace(
                "capabilities: [",
                "capabilities: [file_input, audio_input, video_input, image_output, audio_output, ",
                1,
            )
        )

    with running_proxy(tmp_path_factory.mktemp("proxy"), provider.base_url, edit=without_limits) as proxy:
        yield proxy


def written(value: object) -> st.SearchStrategy[str]:
    """The value as JSON, in any of the ways that clients write it."""
    return st.builds(
        lambda separators, ascii_only: json.dumps(value, separators=separators, ensure_ascii=ascii_only),
        st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]),
        st.booleans(),
    )


def texts(members: dict[str, st.SearchStrategy[Any]]) -> dict[str, st.SearchStrategy[str]]:
    """A member that is null is left out of this: what becomes of null depends on the provider (docs/wire.md)."""
    return {name: each.filter(lambda value: value is not None).flatmap(written) for name, each in members.items()}


_UNKNOWN = st.dictionaries(
    st.sampled_from(["tomorrow", "x_own", "été"]),
    st.sampled_from(["1e2", "1.10", "-0.0", '"\\u00e9\\/"', '[ 1 , {"a":null} ]', "12345678901234567890"]),
)
_CHAT = {
    **{name: each for name, each in chat.MEMBERS.items() if name not in ("stream", "route", "n", "modalities")},
    **{name: st.just(value) for name, value in _FURTHER["chat/completions"].items()},
}
_RESPONSES = {
    **{
        name: each
        for name, each in responses.MEMBERS.items()
        if name not in ("stream", *_REFUSED["responses"], "background", "modalities")
    },
    **{name: st.just(value) for name, value in _FURTHER["responses"].items()},
}


@pytest.mark.parametrize(
    ("api", "fields", "generated"),
    [
        ("chat/completions", CompletionCreateParamsBase, {*chat.MEMBERS, "messages"}),
        ("responses", ResponseCreateParamsBase, {*responses.MEMBERS, "input"}),
    ],
)
def test_every_field_that_the_sdk_knows_is_generated_or_refused(api: str, fields: type, generated: set[str]) -> None:
    known = get_type_hints(fields).keys() - {"model"}

    assert known - generated - _FURTHER[api].keys() - _REFUSED[api] == set()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    members=st.fixed_dictionaries({"messages": chat.MESSAGES.flatmap(written)}, optional=texts(_CHAT)),
    unknown=_UNKNOWN,
)
def test_a_chat_arrives_as_it_was_sent(
    proxy: Proxy, provider: Listening, members: dict[str, str], unknown: dict[str, str]
) -> None:
    check(proxy, provider, "chat/completions", {**members, **unknown})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    members=st.fixed_dictionaries(
        {"input": st.one_of(st.text(min_size=1, max_size=20), responses.ITEMS).flatmap(written)},
        optional=texts(_RESPONSES),
    ),
    unknown=_UNKNOWN,
)
def test_a_responses_request_arrives_as_it_was_sent(
    proxy: Proxy, provider: Listening, members: dict[str, str], unknown: dict[str, str]
) -> None:
    check(proxy, provider, "responses", {**members, **unknown})


def check(proxy: Proxy, provider: Listening, api: str, members: dict[str, str]) -> None:
    provider.body = b""
    sent = ", ".join(f"{json.dumps(name)}: {text}" for name, text in {"model": json.dumps(_MODEL), **members}.items())
    headers = {"authorization": f"Bearer {proxy.keys['search']}"}

    answer = proxy.http.post(f"{proxy.base_url}/{api}", content=f"{{{sent}}}".encode(), headers=headers)

    assert answer.status_code == 200, answer.text
    received = msgspec.json.decode(provider.body, type=dict[str, msgspec.Raw])
    kept = {name: text for name, text in members.items() if name not in _EDITED[api]}
    assert {name: bytes(received[name]).decode() for name in kept} == kept
    assert [name for name in received if name in kept] == list(kept)
    assert received.keys() - members.keys() <= {*_EDITED[api], "model"}
