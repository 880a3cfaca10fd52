"""`/v1/embeddings`: what is asked, and vectors in the form that was asked for.

OpenAI's clients ask for base64 unless told otherwise: little-endian 32-bit floats. Servers that know nothing of it
answer with numbers all the same, and openai-node makes an empty vector of those; so what comes in the other form is
converted. What comes as it was asked for is relayed as it came, and read no further than where its first vector begins.
"""

import re
import struct
from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64

import msgspec
from msgspec import Raw

from router.apis import Api
from router.errors import InvalidRequest
from router.wire.prompts import PromptReader, refuse_stream
from router.wire.requests import ChatReader, ModelRequest, is_given

_FLOAT, _BASE64 = "float", "base64"
_UNTRANSLATABLE = "texts are to be embedded, and a chat embeds nothing"
_FLOAT_BYTES = 4
_NULL = Raw(b"null")


class EmbeddingReader:
    """Reads requests for embeddings."""

    def __init__(self, chats: ChatReader) -> None:
        self._reader = PromptReader(chats)

    def read(self, body: bytes) -> ModelRequest:
        """The request in `body`. Raises InvalidRequest naming the member at fault and what was expected there."""
        members = self._reader.members(body)
        prompts = self._reader.prompts(members, "input")
        request = self._reader.request(
            Api.EMBEDDINGS,
            members,
            prompts,
            without=("input", "n", "best_of"),
            untranslatable=_UNTRANSLATABLE,
            body_bytes=len(body),
        )
        refuse_stream(request, "embeddings")
        _encoding(request)
        return request


def as_asked(body: bytes, request: ModelRequest) -> bytes:
    """The answer with its vectors in the encoding asked for. Raises ValueError if it is no answer with vectors."""
    wanted = _encoding(request)
    first = _FIRST_VECTOR.search(body)
    if first is None:
        raise ValueError("there is no vector in it")
    if (first[1] == b'"') == (wanted == _BASE64):
        return body
    answer = msgspec.json.decode(body, type=dict[str, Raw])
    vectors = msgspec.json.decode(answer.get("data", _NULL), type=list[dict[str, Raw]])
    for vector in vectors:
        if "embedding" in vector:
            vector["embedding"] = _converted(vector["embedding"], wanted)
    answer["data"] = Raw(msgspec.json.encode(vectors))
    return msgspec.json.encode(answer)


# Within a string it would stand with backslashes.
_FIRST_VECTOR = re.compile(rb'"embedding"\s*:\s*(["\[])')


def _converted(vector: Raw, wanted: str) -> Raw:
    is_text = bytes(memoryview(vector)[:1]) == b'"'
    if is_text == (wanted == _BASE64):
        return vector
    return Raw(_numbers(vector) if is_text else _packed(vector))


def _packed(vector: Raw) -> bytes:
    figures = msgspec.json.decode(vector, type=list[float])
    try:
        packed = struct.pack(f"<{len(figures)}f", *figures)
    except (OverflowError, struct.error) as error:
        raise ValueError("a figure is no 32-bit float") from error
    return b'"' + b2a_base64(packed, newline=False) + b'"'


def _numbers(vector: Raw) -> bytes:
    try:
        packed = a2b_base64(msgspec.json.decode(vector, type=str), strict_mode=True)
    except NotBase64 as error:
        raise ValueError("a vector is no base64") from error
    if len(packed) % _FLOAT_BYTES:
        raise ValueError("a vector is cut within a figure")
    return msgspec.json.encode(struct.unpack(f"<{len(packed) // _FLOAT_BYTES}f", packed))


def _encoding(request: ModelRequest) -> str:
    """What the client asks for; numbers if it does not say."""
    given = request.members.get("encoding_format")
    if given is None or not is_given(given):
        return _FLOAT
    for encoding in (_FLOAT, _BASE64):
        if bytes(given) == b'"%b"' % encoding.encode():
            return encoding
    raise InvalidRequest("`encoding_format` must be 'float' or 'base64'.", param="encoding_format", code="invalid_type")
