"""What clients and strangers send that must never be seen again: `Sent`, with a canary in every slot."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.torture.canary_provider import BROKEN, STATUSES, STREAMED, asks_for

# In the order in which they are drawn. What a request says:
CONTENT = (
    "system", "user", "assistant", "tool name", "tool description", "tool schema", "tool arguments", "tool result",
    "image", "file name", "file", "metadata", "user id", "safety identifier", "stop", "cache key", "schema name",
    "message name", "session", "idempotency key", "user agent", "referer", "cookie", "unknown header", "baggage",
    "control", "unknown model", "unknown member", "bad json", "path", "model path", "method", "query", "reason",
    "feedback id", "trace state", "second prompt",
)  # fmt: skip
# What a provider answers:
ANSWERS = ("content", "reasoning", "arguments")
# What lets somebody in:
SECRETS = (
    "wrong key", "foreign key", "key in the query", "key in the user part", "x-api-key", "basic", "provider key",
    "other provider's key", "admin token", "wrong admin token", "wrong admin password", "collector header",
    "redis password", "postgres password", "in a file", "in a broken file", "in a bad URL", "in an exception",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it goes on the wire."""

    name: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    has_key: bool = True
    goes_away: bool = False  # the client hangs up when the answer has begun
    port: str = "data"

    def encoded(self, key: str) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", "host: 127.0.0.1", "connection: close"]
        lines += [f"authorization: Bearer {key}"] if self.has_key else []
        if self.method != "GET" and not any(name == "content-length" for name, _ in self.headers):
            lines.append(f"content-length: {len(self.body)}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + self.body


class Requests:
    """All of them, made of the canaries by name."""

    def __init__(self, canaries: Mapping[str, str]) -> None:
        self._of = canaries
        of = canaries
        self._headers = (
            ("user-agent", of["user agent"]),
            ("referer", f"https://example.com/{of['referer']}"),
            ("cookie", f"session={of['cookie']}"),
            ("x-whatever", of["unknown header"]),
            ("baggage", f"secret={of['baggage']}"),
            ("x-session-id", of["session"]),
            ("x-forwarded-for", of["unknown header"]),
        )

    def chat(self, mood: str, **more: object) -> dict[str, Any]:
        of = self._of
        image = "data:image/png;base64," + b64encode(f"\x89PNG{of['image']}".encode("latin-1")).decode()
        pdf = "data:application/pdf;base64," + b64encode(f"%PDF {of['file']}".encode()).decode()
        file = {"filename": of["file name"], "file_data": pdf}
        arguments = json.dumps({"a": of["tool arguments"]})
        call = {"id": "c1", "type": "function", "function": {"name": of["tool name"], "arguments": arguments}}
        schema = {"type": "object", "properties": {of["tool schema"]: {"type": "string"}}}
        function = {"name": of["tool name"], "description": of["tool description"], "parameters": schema}
        return {
            "model": "runs",
            "max_tokens": 50,
            "messages": [
                {"role": "system", "content": f"Keep {of['system']} to yourself."},
                {
                    "role": "user",
                    "name": of["message name"],
                    "content": [
                        {"type": "text", "text": f"{asks_for(mood)} My name is {of['user']}."},
                        {"type": "image_url", "image_url": {"url": image}},
                        {"type": "file", "file": file},
                    ],
                },
                {"role": "assistant", "content": f"As {of['assistant']} says", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": of["tool result"]},
                {"role": "user", "content": f"Go on with {of['user']}."},
            ],
            "tools": [{"type": "function", "function": function}],
            "metadata": {"customer": of["metadata"], of["metadata"]: "1"},
            "user": of["user id"],
            "safety_identifier": of["safety identifier"],
            "stop": [of["stop"]],
            "prompt_cache_key": of["cache key"],
            of["unknown member"]: of["unknown member"],
            **more,
        }

    def plain(self, mood: str, **more: object) -> dict[str, Any]:
        """What any model takes."""
        text = f"{asks_for(mood)} My name is {self._of['user']}."
        return {"model": "stops", "max_tokens": 50, "messages": [{"role": "user", "content": text}], **more}

    def every(self, *, is_short: bool) -> Iterator[Sent]:
        yield from self._at_models(is_short=is_short)
        yield from self._malformed()
        yield from self._strangers()
        yield from self._at_the_admin_port()

    def posted(self, name: str, body: Mapping[str, Any]) -> Sent:
        """Another chat."""
        return self._post(name, "/v1/chat/completions", body)

    def _at_models(self, *, is_short: bool) -> Iterator[Sent]:
        moods = ("well", *map(str, STATUSES), *BROKEN, *STREAMED)
        for mood in moods:
            yield self._post(f"chat {mood}", "/v1/chat/completions", self.chat(mood))
            yield self._post(f"stream {mood}", "/v1/chat/completions", self.chat(mood, stream=True))
        for mood in ("well", "400", "error_text", "sse_error", "sse_error_later") if is_short else moods:
            prompt = f"{asks_for(mood)} {self._of['second prompt']}"
            for stream in (False, True):
                yield self._post(f"responses {mood}", "/v1/responses", self._responses(mood, stream=stream))
                yield self._post(f"messages {mood}", "/v1/messages", self.plain(mood, stream=stream))
                body = {"model": "stops", "prompt": prompt, "stream": stream, "max_tokens": 9, "user": prompt}
                yield self._post(f"completions {mood}", "/v1/completions", body)
            vectors = {"model": "openai/text-embedding-3-small", "input": [prompt], "user": prompt}
            yield self._post(f"embeddings {mood}", "/v1/embeddings", vectors)
        yield self._post("count", "/v1/messages/count_tokens", self.plain("well"))
        dry = (("x-penstock-dry-run", "1"),)
        yield self._post("dry run", "/v1/chat/completions", self.chat("well"), headers=dry)
        once = (("idempotency-key", self._of["idempotency key"]),)
        yield self._post("refused once", "/v1/chat/completions", self.plain("400"), headers=once)
        yield self._post("goes away", "/v1/chat/completions", self.plain("sse_stall", stream=True), goes_away=True)
        state = (("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01"), ("tracestate", f"bad {self._of['trace state']}"))
        yield self._post("traced", "/v1/chat/completions", self.plain("well"), headers=state)

    def _responses(self, mood: str, *, stream: bool) -> dict[str, Any]:
        of = self._of
        parts = [{"type": "input_text", "text": f"{asks_for(mood)} {of['user']}"}]
        return {
            "model": "stops",
            "instructions": of["system"],
            "input": [{"role": "user", "content": parts}],
            "metadata": {"customer": of["metadata"]},
            "user": of["user id"],
            "stream": stream,
        }

    def _malformed(self) -> Iterator[Sent]:
        of, target = self._of, "/v1/chat/completions"
        bad = of["bad json"]
        for body in (
            f'{{"model": "stops", "messages": [{{"role": "user", "content": "{bad}',
            f'{{"model": "stops", "messages": "{bad}"}}',
            f'{{"model": "stops", "messages": [{{"role": "{bad}", "content": "x"}}]}}',
            f'{{"model": "stops", "messages": [{{"role": "user", "content": "x"}}], "max_tokens": "{bad}"}}',
            f'{{"model": "stops", "messages": [{{"role": "user", "content": "x"}}], "reasoning_effort": "{bad}"}}',
            f'{{"{bad}": 1, "{bad}": NaN}}',
            f'["{bad}"]',
            f'"{bad}"',
            bad,
        ):
            for path in (target, "/v1/responses", "/v1/messages", "/v1/completions", "/v1/embeddings"):
                yield Sent("malformed", "POST", path, self._headers, body.encode())
        yield Sent("not UTF-8", "POST", target, self._headers, b'{"model": "' + bad.encode() + b'\xff\xfe"}')
        yield self._post("unknown model", target, self.chat("well", model=of["unknown model"]))
        yield self._post("model in capitals", target, self.plain("well", model=f"{of['unknown model']}@high"))
        long = (("content-length", "99999999999"),)
        yield Sent("too long", "POST", target, (*self._headers, *long), bad.encode())
        for name, value in (
            ("x-penstock-tags", f"{of['control']} {of['control']}"),
            ("x-penstock-policy", of["control"]),
            ("x-penstock-max-cost-usd", of["control"]),
            (f"x-penstock-{of['control']}", of["control"]),
            ("content-encoding", of["control"]),
            ("idempotency-key", f"{of['idempotency key']} {of['idempotency key']}"),
        ):
            yield self._post("control", target, self.plain("well"), headers=((name, value),))
        score = {"request_id": of["feedback id"], "score": 1, "reason": of["reason"], of["reason"]: of["reason"]}
        yield self._post("feedback", "/v1/feedback", score)
        yield self._post("feedback of nothing", "/v1/feedback", {"request_id": of["feedback id"], "score": 1})

    def _strangers(self) -> Iterator[Sent]:
        of, target = self._of, "/v1/chat/completions"
        key = of["wrong key"]
        well = json.dumps(self.chat("well")).encode()
        for name, headers in (
            ("no key", ()),
            ("wrong key", (("authorization", f"Bearer {key}"),)),
            ("foreign key", (("authorization", f"Bearer sk-{of['foreign key']}"),)),
            ("basic", (("authorization", "Basic " + b64encode(f"a:{of['basic']}".encode()).decode()),)),
            ("no scheme", (("authorization", of["foreign key"]),)),
            ("x-api-key", (("x-api-key", f"psk_{of['x-api-key']}"),)),
            ("two keys", (("authorization", f"Bearer {key}"), ("x-api-key", of["x-api-key"]))),
            ("twice", (("authorization", f"Bearer {key}"), ("authorization", f"Bearer {of['foreign key']}"))),
        ):
            yield Sent(name, "POST", target, (*self._headers, *headers), well, has_key=False)
            yield Sent(name, "POST", "/v1/messages", (*self._headers, *headers), well, has_key=False)
        query = f"?api_key={of['key in the query']}&q={of['query']}"
        yield Sent("query", "POST", target + query, self._headers, well)
        yield Sent("query, no key", "POST", target + query, self._headers, well, has_key=False)
        user_part = f"http://me:{of['key in the user part']}@127.0.0.1{target}"
        yield Sent("absolute form", "POST", user_part, self._headers, well)
        yield Sent("host", "POST", target, (*self._headers, ("host", f"me:{of['key in the user part']}@a")), well)
        for path in (f"/v1/{of['path']}", f"/{of['path']}/../v1/models", f"/v1/models/{of['model path']}"):
            yield Sent("path", "GET", path, self._headers)
            yield Sent("path", "POST", f"{path}{query}", self._headers, well)
        yield Sent("method", of["method"].upper(), target, self._headers, well)
        yield Sent("method", "DELETE", f"{target}{query}", self._headers, well)
        yield Sent("no HTTP", f"{of['method']}\r\n", target, self._headers, well)
        yield Sent("bad header", "POST", target, (*self._headers, (f"{of['control']} x", "y\0")), well)

    def _at_the_admin_port(self) -> Iterator[Sent]:
        of = self._of
        wrong = b64encode(f"admin:{of['wrong admin password']}".encode()).decode()
        right = (("authorization", f"Bearer {of['admin token']}"),)
        form = f"request={of['second prompt']}&mark={of['control']}&body={of['user']}".encode()
        kind = (("content-type", "application/x-www-form-urlencoded"), *right)
        for path in ("/", "/metrics", "/admin/spend", "/requests"):
            for headers in (
                (("authorization", f"Bearer {of['wrong admin token']}"),),
                (("authorization", f"Basic {wrong}"),),
                (("cookie", f"session={of['wrong admin token']}"),),
            ):
                yield Sent("admin", "GET", path, headers, has_key=False, port="admin")
        for path in (
            f"/admin/{of['path']}",
            f"/admin/spend?by={of['query']}",
            f"/admin/requests?limit={of['query']}",
            f"/requests?q={of['query']}&team={of['query']}",
            f"/requests/{of['path']}",
            f"/teams/{of['path']}",
            f"/{of['path']}?token={of['admin token']}",
        ):
            yield Sent("admin", "GET", path, right, has_key=False, port="admin")
        yield Sent("admin", "POST", "/explain", kind, form, has_key=False, port="admin")
        yield Sent("admin", "POST", "/replay", kind, form, has_key=False, port="admin")
        asked = json.dumps(self.chat("well")).encode()
        yield Sent("admin", "POST", "/admin/explain?team=ample", right, asked, has_key=False, port="admin")
        yield Sent("admin", "POST", "/admin/explain", right, of["bad json"].encode(), has_key=False, port="admin")
        yield Sent("admin", of["method"].upper(), "/metrics", right, has_key=False, port="admin")

    def _post(
        self,
        name: str,
        target: str,
        body: Mapping[str, Any],
        *,
        headers: tuple[tuple[str, str], ...] = (),
        goes_away: bool = False,
    ) -> Sent:
        own = {each for each, _ in headers}
        others = tuple(header for header in self._headers if header[0] not in own)
        return Sent(name, "POST", target, (*others, *headers), json.dumps(body).encode(), goes_away=goes_away)
