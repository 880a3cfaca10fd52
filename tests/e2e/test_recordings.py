"""What OpenRouter really sends, through the proxy, to the official clients: each makes of it what is in the bytes.

A server replays each recording (`tests/upstream/recordings.py`) over a real socket, whole or in pieces of any size.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import openai
import pytest

from tests.e2e.conftest import Proxy, running_proxy
from tests.e2e.node import needs_node, read_by_node
from tests.e2e.replaying import Replaying
from tests.upstream.recordings import RECORDINGS, Recording, Said, add, said_in

_MODEL = "openai/gpt-5.4"
_OTHER_MODEL = "deepseek/deepseek-v4-flash"  # for the refusal: a provider that says 429 is left alone for a while
_MESSAGES: list[Any] = [{"role": "user", "content": "Tea?"}]


@pytest.fixture(scope="module")
def provider() -> Iterator[Replaying]:
    provider = Replaying(RECORDINGS)
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def proxy(provider: Replaying, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy"), provider.base_url) as proxy:
        yield proxy


def named(recording: Recording) -> str:
    return recording.name


STREAMS = [each for each in RECORDINGS if each.is_stream]
GOOD_STREAMS = [each for each in STREAMS if said_in(each).error is None]
WHOLE = [each for each in RECORDINGS if not each.is_stream and each.status == 200]


def streamed(proxy: Proxy, recording: Recording, *, shows_usage: bool = True) -> tuple[Said, list[dict[str, Any]]]:
    """What openai-python makes of the stream, and its chunks."""
    said, chunks = Said(), []
    stream = proxy.client().chat.completions.create(
        model=_MODEL,
        messages=_MESSAGES,
        max_tokens=100,
        user=recording.name,
        stream=True,
        stream_options={"include_usage": shows_usage},
    )
    try:
        for chunk in stream:
            read = chunk.model_dump(exclude_unset=True)
            chunks.append(read)
            said.usage = read.get("usage") or said.usage
            for choice in read["choices"]:
                add(said, choice["delta"], choice["finish_reason"])
    except openai.APIError as error:
        said.error = error.message
    return said, chunks


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@pytest.mark.parametrize("recording", STREAMS, ids=named)
def test_a_recorded_stream_says_behind_the_proxy_what_is_in_its_bytes(
    proxy: Proxy, provider: Replaying, recording: Recording, seed: int | None
) -> None:
    provider.seed = seed
    expected = said_in(recording)

    said, chunks = streamed(proxy, recording)

    if expected.error is not None:
        assert said.error is not None
        assert expected.error in said.error
        expected.error, expected.usage, said.error = None, None, None  # an error is the last that is sent
    assert said == expected
    roles = [choice["delta"] for each in chunks for choice in each["choices"] if "role" in choice["delta"]]
    assert len(roles) == 1
    assert [each for each in chunks[:-1] if each.get("usage")] == []


@pytest.mark.parametrize("recording", GOOD_STREAMS, ids=named)
def test_the_usage_is_not_told_to_a_client_that_did_not_ask(
    proxy: Proxy, provider: Replaying, recording: Recording
) -> None:
    provider.seed = None

    said, chunks = streamed(proxy, recording, shows_usage=False)

    assert said.usage is None
    assert all(each["choices"] for each in chunks)


@pytest.mark.parametrize("recording", GOOD_STREAMS, ids=named)
def test_the_stream_helper_of_openai_python_puts_a_recording_together(
    proxy: Proxy, provider: Replaying, recording: Recording
) -> None:
    provider.seed = 7
    expected = said_in(recording)

    with proxy.client().chat.completions.stream(
        model=_MODEL,
        messages=_MESSAGES,
        max_tokens=100,
        user=recording.name,
        stream_options={"include_usage": True},
    ) as stream:
        for _event in stream:
            pass
        completion = stream.get_final_completion()

    (choice,) = completion.choices
    calls = choice.message.tool_calls or []
    assert choice.message.role == "assistant"
    assert (choice.message.content or "") == expected.text
    assert [[each.id, each.function.name, each.function.arguments] for each in calls] == expected.calls
    assert choice.finish_reason == expected.finish_reason
    assert completion.usage is not None
    assert completion.usage.model_dump(exclude_unset=True) == expected.usage
    assert len(choice.message.annotations or []) == len(expected.cited)


@pytest.mark.parametrize("recording", WHOLE, ids=named)
def test_a_recorded_whole_answer_passes_byte_for_byte(proxy: Proxy, provider: Replaying, recording: Recording) -> None:
    provider.seed = 8

    raw = proxy.client().chat.completions.with_raw_response.create(
        model=_MODEL, messages=_MESSAGES, max_tokens=100, user=recording.name
    )

    assert raw.http_response.content == recording.body
    assert raw.parse().choices[0].finish_reason == said_in(recording).finish_reason


def test_a_recorded_refusal_is_a_refusal(proxy: Proxy, provider: Replaying) -> None:
    provider.seed = None
    (recording,) = (each for each in RECORDINGS if each.status != 200)

    with pytest.raises(openai.APIStatusError) as raised:
        proxy.client().chat.completions.create(
            model=_OTHER_MODEL, messages=_MESSAGES, max_tokens=100, user=recording.name
        )

    assert raised.value.status_code in (429, 503)
    assert isinstance(raised.value.code, str)


@needs_node
@pytest.mark.parametrize("seed", [None, 9])
def test_openai_node_makes_of_every_recording_what_is_in_its_bytes(
    proxy: Proxy, provider: Replaying, seed: int | None
) -> None:
    provider.seed = seed
    recordings = [*STREAMS, *WHOLE]
    asks = [{"user": each.name, "stream": each.is_stream} for each in recordings]

    heard = read_by_node("read.mjs", proxy, model=_MODEL, asks=asks)

    for recording, said in zip(recordings, heard, strict=True):
        expected = asdict(said_in(recording))
        helper = said.pop("helper", None)
        if expected["error"] is not None:
            assert expected["error"] in said["error"]
            expected["error"], expected["usage"], said["error"] = None, None, None
        elif recording.is_stream:
            assert helper == {"text": expected["text"], "role": "assistant", "finish": expected["finish_reason"]}
        assert said == expected, recording.name
