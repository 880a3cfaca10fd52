"""What OpenAI's specification requires of a response and OpenRouter leaves out: `with_all_counts`."""

import msgspec
from msgspec import Raw

_WRITTEN = "cache_write_tokens"


def with_all_counts(response: bytes) -> bytes:
    """The response, or an event that carries one; its usage says how many tokens were written to a cache: none, if
    nothing was said.

    Required since openai-python 3 (its types, 2026-11); OpenRouter says it only where some were (recordings of
    2026-08). Everything else stays the bytes that came.
    """
    try:
        members = _members(response)
        usage = bytes(_members(members.get("response", response))["usage"])
        details = bytes(_members(usage)["input_tokens_details"])
        counts = _members(details)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):  # another shape: not ours to judge
        return response
    if _WRITTEN in counts:
        return response
    comma = b"," if counts else b""
    mended = usage.replace(details, details[:-1] + comma + b'"cache_write_tokens":0}', 1)
    head, _, tail = response.rpartition(usage)
    return head + mended + tail


def _members(data: bytes | Raw) -> dict[str, Raw]:
    return msgspec.json.decode(data, type=dict[str, Raw])
