"""What OpenRouter sends at /responses, through the proxy: each official client makes of it what is in the bytes.

A server replays each recording (`tests/upstream/responses_recordings.py`) over a real socket, whole or in pieces.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.e2e.conftest import Proxy, running_proxy
from tests.e2e.node import needs_node, read_by_node
from tests.e2e.replaying import Replaying
from tests.upstream.recordings import Recording
from tests.upstream.responses_recordings import BAD, FAILURE, GOOD, RESPONSES_RECORDINGS


@dataclass(slots=True)
class Said:
    """What a response says, however it is read."""

    text: str = ""
    calls: list[list[str]] = field(default_factory=list)  # call id, name and arguments of each
    sealed: list[str] = field(default_factory=list)  # encrypted reasoning
    status: str | None = None
    usage: dict[str, Any] | None = None
    error: str | None = None


def response_in(name: str) -> dict[str, Any]:
    """What a direct reading of the bytes finds in the last event."""
    lines = [line for line in GOOD[name].decode().split("\n") if line.startswith("data: {")]
    response: dict[str, Any] = json.loads(lines[-1].removeprefix("data: "))["response"]
    return response


def said_in(name: str) -> Said:
    return said_by(response_in(name))


def said_by(response: dict[str, Any]) -> Said:
    usage = dict(response["usage"])
    # A count that OpenAI's specification requires and OpenRouter leaves out where it is none.
    usage["input_tokens_details"] = {"cache_write_tokens": 0, **usage["input_tokens_details"]}
    said = Said(status=response["status"], usage=usage)
    for item in response["output"]:
        if item["type"] == "message":
            said.text += "".join(part["text"] for part in item["content"])
        elif item["type"] == "function_call":
            said.calls.append([item["call_id"], item["name"], item["arguments"]])
        else:
            said.sealed.append(item["encrypted_content"])
    return said


@pytest.fixture(scope="module")
def provider() -> Iterator[Replaying]:
    whole = [Recording(f"whole {name}", json.dumps(response_in(name)).encode()) for name in GOOD]
    provider = Replaying([*RESPONSES_RECORDINGS, *whole])
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def proxy(provider: Replaying, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy"), provider.base_url) as proxy:
        yield proxy


def asking(name: str) -> dict[str, Any]:
    return {"model": "openai/gpt-5.4", "input": "Tea?", "max_output_tokens": 100, "user": name}


@pytest.mark.parametrize("seed", [None, 1, 2])
@pytest.mark.parametrize("name", GOOD)
def test_a_recorded_stream_says_behind_the_proxy_what_is_in_its_bytes(
    proxy: Proxy, provider: Replaying, name: str, seed: int | None
) -> None:
    provider.seed = seed
    deltas, response = "", None

    for event in proxy.client().responses.create(**asking(name), stream=True):
        if event.type == "response.output_text.delta":
            deltas += event.delta
        if isinstance(ended := getattr(event, "response", None), Response):
            response = ended

    assert response is not None
    assert said_by(response.model_dump(exclude_unset=True)) == said_in(name)
    assert deltas == said_in(name).text


@pytest.mark.parametrize("name", [name for name in GOOD if name != "cut"])  # it waits for `response.completed`
def test_the_stream_helper_of_openai_python_puts_a_recording_together(
    proxy: Proxy, provider: Replaying, name: str
) -> None:
    provider.seed = 7

    with proxy.client().responses.stream(**asking(name)) as stream:
        for _event in stream:
            pass
        response = stream.get_final_response()

    said = said_by(response.to_dict())
    assert (said.text, said.calls, said.status) == (said_in(name).text, said_in(name).calls, said_in(name).status)


@pytest.mark.parametrize("name", BAD)
def test_a_recorded_failure_is_raised(proxy: Proxy, provider: Replaying, name: str) -> None:
    provider.seed = 3
    heard = []

    stream = proxy.client().responses.create(**asking(name), stream=True)
    with pytest.raises(openai.APIError) as raised:
        heard.extend(stream)

    assert FAILURE["message"] in raised.value.message
    assert isinstance(raised.value.code, str)


@pytest.mark.parametrize("name", BAD)
def test_the_stream_helper_raises_a_recorded_failure_too(proxy: Proxy, provider: Replaying, name: str) -> None:
    provider.seed = 4

    with proxy.client().responses.stream(**asking(name)) as stream, pytest.raises(openai.APIError) as raised:
        stream.get_final_response()

    assert FAILURE["message"] in raised.value.message


@pytest.mark.parametrize("name", GOOD)
def test_a_whole_response_passes_byte_for_byte(proxy: Proxy, provider: Replaying, name: str) -> None:
    provider.seed = 8

    raw = proxy.client().responses.with_raw_response.create(**asking(f"whole {name}"))

    assert said_by(raw.http_response.json()) == said_in(name)
    assert raw.http_response.content.startswith(b'{"id": "gen-')  # blanks as they came
    assert raw.headers["x-penstock-cost-usd"] == "0.0000825"


@needs_node
def test_openai_node_makes_of_every_recording_what_is_in_its_bytes(proxy: Proxy, provider: Replaying) -> None:
    provider.seed = 9
    asks = [
        *({"user": name, "stream": True} for name in (*GOOD, *BAD)),
        *({"user": f"whole {name}", "stream": False} for name in GOOD),
    ]

    heard = read_by_node("read_responses.mjs", proxy, model="openai/gpt-5.4", asks=asks)

    for ask, said in zip(asks, heard, strict=True):
        name = str(ask["user"]).removeprefix("whole ")
        if name in BAD:
            assert FAILURE["message"] in said["error"]
        else:
            assert said == asdict(said_in(name)), ask
