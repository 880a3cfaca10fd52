"""The chat requests the load generator sends: realistic text, each request unlike every other.

A proxy may remember what it counted before. The system message repeats, as it does in applications, but each user
message starts with its own number, so nobody is measured answering from memory.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence

_NUMBER_PLACEHOLDER = "#########"
_SYSTEM = (
    "You are the assistant of a regional water authority. Answer in plain language, name the source of every figure, "
    "and say so when the documents you were given do not answer the question. Keep to three short paragraphs."
)
_TEXT = (
    "the of a to in for with on after before under between valley river reservoir inflow spillway turbine gate "
    "engineer report season rainfall measured level metres downstream village budget maintenance pressure "
    "concrete survey autumn snow melt forecast risk section table figure agreed reviewed raised lowered "
    "released stored expected average maximum daily hourly because although while therefore however"
)
WORDS = tuple(_TEXT.split())
_TURN_BYTES = 8_000  # what an agent's tool answers at a time, more or less


class PromptSeries:
    """HTTP requests for one scenario, all of the same length, numbered from zero."""

    def __init__(
        self,
        *,
        prompt_bytes: int,
        is_streamed: bool,
        gap_ms: int,
        api_key: str,
        path: str,
        history_bytes: int = 0,
        history_seed: int = 0,
        headers: Sequence[str] = (),
    ) -> None:
        """`history_bytes` of one conversation, chosen by its seed, stand before every question.

        `headers` are lines to send as well, without their line ends.
        """
        markers = f" [chunks=64] [gap={gap_ms}ms]" if is_streamed else ""
        question = f"Request {_NUMBER_PLACEHOLDER}.{markers} " + _prose(prompt_bytes)
        body = json.dumps(
            {
                "model": "auto",
                "messages": [
                    {"role": "system", "content": _SYSTEM},
                    *_history(history_bytes, history_seed),
                    {"role": "user", "content": question},
                ],
                "temperature": 0.7,
                "max_tokens": 256,
                "stream": is_streamed,
            },
            separators=(",", ":"),
        )
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {api_key}\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
            f"User-Agent: penstock-bench\r\nContent-Length: {len(body)}\r\n"
            f"{''.join(header + chr(13) + chr(10) for header in headers)}\r\n"
        )
        before, _, after = (head + body).partition(_NUMBER_PLACEHOLDER)
        self._before, self._after = before.encode(), after.encode()

    def request(self, number: int) -> bytes:
        """The whole HTTP request with this number in its text."""
        return b"%b%09d%b" % (self._before, number, self._after)


def _history(length: int, seed: int) -> Iterator[dict[str, str]]:
    """A conversation of about `length` bytes, the same on every run: one long document, then turns about it."""
    rng = random.Random(seed)
    if length:
        yield {"role": "user", "content": _words(rng, length // 2)}
        yield {"role": "assistant", "content": _words(rng, _TURN_BYTES)}
    for _ in range(length // 2 // (2 * _TURN_BYTES)):
        yield {"role": "user", "content": _words(rng, _TURN_BYTES)}
        yield {"role": "assistant", "content": _words(rng, _TURN_BYTES)}


def _words(rng: random.Random, length: int) -> str:
    """Words without sentences, which are quicker made than prose, and counted as quickly."""
    mean_bytes = 1 + sum(map(len, WORDS)) / len(WORDS)
    return " ".join(rng.choices(WORDS, k=round(length / mean_bytes)))


def _prose(length: int) -> str:
    """About `length` ASCII characters of made-up sentences, the same on every run."""
    rng = random.Random(7)  # any fixed seed would do
    sentences: list[str] = []
    total = 0
    while total < length:
        sentence = " ".join(rng.choices(WORDS, k=rng.randint(7, 16))).capitalize() + "."
        sentences.append(sentence)
        total += len(sentence) + 1
    return " ".join(sentences)[:length]
