"""What OpenRouter sends, byte for byte, in every shape that has been captured; and a plain reader of it.

Written by hand after captures of real traffic of 2025-11 to 2026-08 (cassettes of pydantic-ai and llm-openrouter, and
public issues; docs/reference/openrouter.md): members, their order, nulls, comments and line ends as there; ids, texts
and figures our own. The reader knows nothing of `router`: what it finds is what a client must find behind the proxy.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

COMMENT = b": OPENROUTER PROCESSING\n\n"
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Recording:
    name: str
    body: bytes
    status: int = 200

    @property
    def is_stream(self) -> bool:
        return not self.body.startswith(b"{")


@dataclass(slots=True)
class Said:
    """What an answer says, however it is read: of one choice, as no capture has more."""

    text: str = ""
    reasoning: str = ""
    details: list[Any] = field(default_factory=list)
    calls: list[list[str]] = field(default_factory=list)  # id, name and arguments of each
    cited: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    error: str | None = None


def said_in(recording: Recording) -> Said:
    """What a direct reading of the bytes finds."""
    if not recording.is_stream:
        return _said_in_whole(json.loads(recording.body))
    said = Said()
    for line in recording.body.decode().splitlines():
        if not line.startswith("data: ") or line == "data: [DONE]":
            continue
        chunk = json.loads(line[6:])
        said.usage = chunk.get("usage") or said.usage
        if "error" in chunk:
            said.error = chunk["error"]["message"]
            break
        for choice in chunk["choices"]:
            add(said, choice["delta"], choice["finish_reason"])
    return _in_json(said)


def _in_json(said: Said) -> Said:
    """No arguments at all are meant as an empty object: what nobody sent, and no parser takes, is put in."""
    if said.finish_reason in ("stop", "tool_calls"):
        said.calls = [[name, function, arguments or "{}"] for name, function, arguments in said.calls]
    return said


def add(said: Said, delta: dict[str, Any], finish_reason: str | None) -> None:
    """One delta more."""
    said.text += delta.get("content") or ""
    said.reasoning += delta.get("reasoning") or ""
    said.details += delta.get("reasoning_details") or []
    said.cited += [each["url_citation"]["url"] for each in delta.get("annotations") or ()]
    for call in delta.get("tool_calls") or ():
        while len(said.calls) <= call["index"]:
            said.calls.append(["", "", ""])
        its = said.calls[call["index"]]
        function = call.get("function") or {}
        its[0] = its[0] or call.get("id") or ""
        its[1] = its[1] or function.get("name") or ""
        its[2] += function.get("arguments") or ""
    said.finish_reason = finish_reason or said.finish_reason


def _said_in_whole(body: dict[str, Any]) -> Said:
    if "error" in body:
        return Said(error=body["error"]["message"])
    (choice,) = body["choices"]
    said = Said(usage=body["usage"])
    calls = [{"index": index, **call} for index, call in enumerate(choice["message"].get("tool_calls") or ())]
    add(said, {**choice["message"], "tool_calls": calls}, choice["finish_reason"])
    return _in_json(said)


def _event(data: object) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _old(choices: Sequence[object], *, provider: str, model: str, before: object = None, **after: object) -> bytes:
    """A chunk of 2025: `provider` second, `logprobs` in every choice; an error stands before the model."""
    error = {} if before is None else {"error": before}
    return _event(
        {
            "id": "gen-1762100000-AbCdEfGhIjKlMnOpQrSt",
            "provider": provider,
            **error,
            "model": model,
            "object": "chat.completion.chunk",
            "created": 1762100000,
            "choices": choices,
            **after,
        }
    )


def _old_choice(delta: dict[str, object], finish: str | None = None, native: str | None = None) -> dict[str, object]:
    return {
        "index": 0,
        "delta": {"role": "assistant", "content": "", **delta},
        "finish_reason": finish,
        "native_finish_reason": native or finish,
        "logprobs": None,
    }


def _new(choices: Sequence[object], *, model: str = "openai/gpt-5.4", tier: bool = False, **after: object) -> bytes:
    """A chunk of 2026: `provider` after the model, `service_tier` before the choices where it is told."""
    return _event(
        {
            "id": "gen-1773000000-AbCdEfGhIjKlMnOpQrSt",
            "object": "chat.completion.chunk",
            "created": 1773000000,
            "model": model,
            "provider": "Amazon Bedrock",
            **({"service_tier": "default"} if tier else {}),
            "choices": choices,
            **after,
        }
    )


def _new_choice(delta: dict[str, object], finish: str | None = None, native: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": native or finish}


def _text(text: str) -> bytes:
    return _new([_new_choice({"content": text, "role": "assistant"})])


def _usage(prompt: int, completion: int, cost: float | None = 0.00001, **more: object) -> dict[str, object]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **({} if cost is None else {"cost": cost, "is_byok": False}),
        **more,
    }


_DETAILS = {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0, "video_tokens": 0}
_OLD_COSTS = {"upstream_inference_cost": None, "upstream_inference_prompt_cost": 0.000004}


def _thought(text: str, **more: object) -> dict[str, object]:
    return {"reasoning": text, "reasoning_details": [{"type": "reasoning.text", "text": text, "index": 0, **more}]}


def _minimax() -> bytes:
    """An error after two chunks that say `length`, with a usage, then [DONE] (2025-11)."""
    who = {"provider": "Minimax", "model": "minimax/minimax-m2:free"}
    return b"".join(
        [
            COMMENT * 17,
            _old([_old_choice(_thought("Let me", format=None))], **who),
            _old([_old_choice(_thought(" think about tea", format=None), "length")], **who),
            _old([_old_choice({"reasoning": None, "reasoning_details": []}, "length")], **who),
            _old(
                [_old_choice({})],
                **who,
                before={"code": 400, "message": "Token limit reached"},
                usage=_usage(43, 10, 0, completion_tokens_details={"reasoning_tokens": 11, "image_tokens": 0}),
            ),
            DONE,
        ]
    )


def _o3() -> bytes:
    """Encrypted reasoning; comments between chunks; usage in a chunk with an empty delta (2025-11)."""
    who = {"provider": "OpenAI", "model": "openai/o3"}
    sealed = {
        "type": "reasoning.encrypted",
        "data": "gAAAAABo" + "q7Zt-_" * 190,
        "id": "rs_0123456789abcdef",
        "format": "openai-responses-v1",
        "index": 0,
    }
    words = ["Tea", " isn", "’t", " coffee", ",", " *it* is", " 茶", "."]
    return b"".join(
        [
            COMMENT * 2,
            _old([_old_choice({})], **who),
            COMMENT * 5,
            _old([_old_choice({"reasoning": None, "reasoning_details": [sealed]})], **who),
            *(_old([_old_choice({"content": word})], **who) for word in words),
            _old([_old_choice({}, "stop", "completed")], **who),
            _old([_old_choice({})], **who, usage=_usage(9, 104, 0.00085, cost_details=_OLD_COSTS)),
            DONE,
        ]
    )


def _claude_thinks() -> bytes:
    """Reasoning in pieces, then its signature in a detail of its own; empty details beside the text (2025-12)."""
    who = {"provider": "Google", "model": "anthropic/claude-sonnet-4.5"}
    kind = {"format": "anthropic-claude-v1"}
    signature = {"type": "reasoning.text", "signature": "EpACCkgIChABGAIqQ" + "x" * 200, **kind, "index": 0}
    nothing: dict[str, object] = {"reasoning": None, "reasoning_details": []}
    opening = {"type": "reasoning.text", "text": "", "signature": "", **kind, "index": 0}
    return b"".join(
        [
            COMMENT * 2,
            _old([_old_choice(nothing)], **who),
            _old([_old_choice({"reasoning": None, "reasoning_details": [opening]})], **who),
            _old([_old_choice(_thought("This", **kind))], **who),
            COMMENT * 2,
            _old([_old_choice(_thought(" is about tea.", **kind))], **who),
            _old([_old_choice({"reasoning": None, "reasoning_details": [signature]})], **who),
            _old([_old_choice({"content": "Tea is", **nothing})], **who),
            _old([_old_choice({"content": " a drink.", **nothing})], **who),
            _old([_old_choice(nothing, "stop")], **who),
            _old([_old_choice({})], **who, usage=_usage(43, 36, 0.000669, cost_details=_OLD_COSTS)),
            DONE,
        ]
    )


def _claude() -> bytes:
    """The plain shape since 2026-03: usage with an empty list of choices."""
    return b"".join(
        [
            COMMENT * 3,
            _text("Tea!"),
            _new([_new_choice({"content": "", "role": "assistant"}, "stop")]),
            _new([], usage=_usage(254, 5, 0.000837, prompt_tokens_details=_DETAILS)),
            DONE,
        ]
    )


def _no_arguments() -> bytes:
    """A tool that is called without arguments: `""` and not `{}`; no cost; no blank line at the end (2026-03)."""
    call = {"index": 0, "id": "toolu_bdrk_01", "type": "function", "function": {"name": "list_teas", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": ""}}
    return b"".join(
        [
            _new([_new_choice({"content": None, "role": "assistant", "tool_calls": [call]})]),
            _new([_new_choice({"content": None, "role": "assistant", "tool_calls": [more]})]),
            _new([_new_choice({"content": "", "role": "assistant"}, "tool_calls")]),
            _new([], usage=_usage(25_105, 55, None)),
            DONE.removesuffix(b"\n"),
        ]
    )


def _two_calls() -> bytes:
    """Two calls at once, their arguments in pieces (the shape above, as OpenAI's own models send it)."""

    def piece(index: int, arguments: str, **more: object) -> bytes:
        name = {"name": more.pop("name")} if "name" in more else {}
        call = {"index": index, **more, "function": {**name, "arguments": arguments}}
        return _new([_new_choice({"content": None, "role": "assistant", "tool_calls": [call]})])

    return b"".join(
        [
            piece(0, "", id="call_1", type="function", name="brew"),
            piece(0, '{"tea":'),
            piece(0, ' "earl grey"}'),
            piece(1, "", id="call_2", type="function", name="pour"),
            piece(1, '{"cups": 2}'),
            _new([_new_choice({"content": "", "role": "assistant"}, "tool_calls", "completed")]),
            _new([], usage=_usage(80, 30)),
            DONE,
        ]
    )


def _cited() -> bytes:
    """An annotation a chunk, without `index`; the finish again with the usage; no `is_byok` (2026-08)."""

    def citation(number: int) -> bytes:
        cited = {"url": f"https://tea.example/{number}", "title": "", "start_index": 0, "end_index": 0, "content": "…"}
        annotation = {"type": "url_citation", "url_citation": cited}
        return _new([_new_choice({"content": "", "role": "assistant", "annotations": [annotation]})])

    finish = _new_choice({"content": "", "role": "assistant"}, "stop")
    usage = _usage(2317, 53, 0.0076509169000000005, server_tool_use_details={"web_search_requests": 1})
    del usage["is_byok"]
    return b"".join(
        [
            COMMENT * 23,
            *map(citation, range(5)),
            *map(_text, ["Tea", " is at:  \n\n", "https://tea.example", "/0"]),
            _new([finish]),
            _new([finish], tier=True, usage=usage),
            DONE,
        ]
    )


def _finished_twice() -> bytes:
    """The finish again, with tier and usage; the last word is a blank (2026-08)."""
    finish = _new_choice({"content": "", "role": "assistant"}, "stop", "completed")
    return b"".join(
        [
            COMMENT * 5,
            *map(_text, ["https", "://", "tea", ".example", " "]),
            _new([finish]),
            _new([finish], tier=True, usage=_usage(8174, 30, 0.0133176, prompt_tokens_details=_DETAILS)),
            DONE,
        ]
    )


def _whole(content: str | None, finish: str, native: str, usage: dict[str, object], **message: object) -> bytes:
    body = {
        "id": "gen-1773000000-AbCdEfGhIjKlMnOpQrSt",
        "object": "chat.completion",
        "created": 1773000000,
        "model": "anthropic/claude-4.6-sonnet-20260217",
        "provider": "Anthropic",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "logprobs": None,
                "finish_reason": finish,
                "native_finish_reason": native,
                "message": {"role": "assistant", "content": content, "refusal": None, "reasoning": None, **message},
            }
        ],
        "usage": usage,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


_CALL = {
    "type": "function",
    "index": 0,
    "id": "call_1",
    "function": {"name": "brew", "arguments": '{"tea": "earl grey"}'},
}
_REFUSED = {
    "error": {
        "message": "Provider returned error",
        "code": 429,
        "metadata": {"raw": "m is temporarily rate-limited upstream.", "provider_name": "Google"},
    },
    "user_id": "user_0",
}

RECORDINGS: Sequence[Recording] = (
    Recording("error in mid-stream, 2025-11", _minimax()),
    Recording("encrypted reasoning, 2025-11", _o3()),
    Recording("reasoning with a signature, 2025-12", _claude_thinks()),
    Recording("plain, 2026-03", _claude()),
    Recording("a call without arguments, 2026-03", _no_arguments()),
    Recording("two calls", _two_calls()),
    Recording("annotations, 2026-08", _cited()),
    Recording("the finish twice, 2026-08", _finished_twice()),
    Recording(
        "cache written, 2026-03",
        _whole("# Tea\n", "length", "length", _usage(3214, 100, 0.01355025, prompt_tokens_details=_DETAILS)),
    ),
    Recording(
        "more cached and written than there is, 2026-03",
        _whole(
            "**Tea**",
            "length",
            "MAX_TOKENS",
            _usage(
                2168,
                100,
                0.0004970133333333333,
                prompt_tokens_details={**_DETAILS, "cached_tokens": 2161, "cache_write_tokens": 2161},
            ),
        ),
    ),
    Recording(
        "a call with reasoning, 2026-05",
        _whole(None, "tool_calls", "tool_calls", _usage(80, 30), **_thought("Tea!"), tool_calls=[_CALL]),
    ),
    Recording("refused, 2025-11", json.dumps(_REFUSED).encode(), status=429),
)
