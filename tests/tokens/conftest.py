"""What the token tests share: the encodings, which take a fifth of a second each to build, and a reader of requests."""

from typing import Any

import msgspec
import pytest
from splintr import Tokenizer

from router.tokens.count import TokenCounter
from router.tokens.vocabulary import load_encoding
from router.wire.requests import ChatReader, ModelRequest


@pytest.fixture(scope="session")
def o200k() -> Tokenizer:
    return load_encoding("o200k_base")


@pytest.fixture(scope="session")
def cl100k() -> Tokenizer:
    return load_encoding("cl100k_base")


@pytest.fixture(scope="session")
def counter(o200k: Tokenizer) -> TokenCounter:
    return TokenCounter(o200k)


class RequestMaker:
    """Chat requests as a client would send them, through the real reader."""

    def __init__(self) -> None:
        self._reader = ChatReader()

    def __call__(self, messages: list[dict[str, Any]], members: dict[str, Any] | None = None) -> ModelRequest:
        return self._reader.read(msgspec.json.encode({"model": "auto", "messages": messages, **(members or {})}))

    def asking(self, text: str) -> ModelRequest:
        return self([{"role": "user", "content": text}])


@pytest.fixture(scope="session")
def request_of() -> RequestMaker:
    return RequestMaker()
