"""Ways to name a host that a proxy must not go to, and places in a request where one might be followed."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

HOSTS = (
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254:80/computeMetadata/v1/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://0xa9.0xfe.0xa9.0xfe/",
    "http://169.254.43518/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1%25lo]/",
    "http://[64:ff9b::169.254.169.254]/",
    "http://127.0.0.1:6379/",
    "http://127.1:8080/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0/",
    "http://0.0.0.0:9200/",
    "http://[::]:80/",
    "http://[::1]:2375/containers/json",
    "http://localhost:5432/",
    "http://10.0.0.1/",
    "http://192.168.0.1:8500/v1/kv/",
    "http://172.16.0.1/",
    "http://100.100.100.200/",
    "http://metadata.google.internal/",
    "http://169.254.169.254.nip.io/",
    "http://openrouter.ai@169.254.169.254/",
    "http://169.254.169.254#@openrouter.ai/",
    "http://openrouter.ai\\@169.254.169.254/",
    "http://169.254.169.254?.openrouter.ai/",
    "http:169.254.169.254/",
    "//169.254.169.254/",
    "https://169.254.169.254/",
    "http://①⑥⑨.②⑤④.①⑥⑨.②⑤④/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "http://169。254。169。254/",
    "http://10.0.0.1:3128/\r\nHost: openrouter.ai",
    "ftp://10.0.0.1/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:11211/stat",
    "ldap://10.0.0.1/",
    "file:///etc/passwd",
    "unix:///run/docker.sock",
    "jar:http://169.254.169.254!/",
)

_TEXT = "Say hello."


class Attempt(NamedTuple):
    """One request as it goes on the wire, less what authenticates it."""

    place: str
    target: str
    body: Mapping[str, Any] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "POST"
    host_header: str = "penstock"

    def encoded(self, key: str) -> bytes:
        body = b"" if self.body is None else json.dumps(self.body).encode()
        lines = [f"{self.method} {self.target} HTTP/1.1", f"host: {self.host_header}", f"authorization: Bearer {key}"]
        lines += ["content-type: application/json", f"content-length: {len(body)}", "connection: close"]
        # A line end within a value is left in: whether that makes two headers of it is the proxy's affair.
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def attempts(model: str, embedding_model: str, url: str) -> Iterator[Attempt]:
    """Every place, with this URL in it."""
    yield from _in_chats(model, url)
    yield from _in_other_apis(model, embedding_model, url)
    yield from _in_heads(model, url)


def _chat(model: str, content: object = _TEXT, **more: object) -> dict[str, Any]:
    return {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": content}], **more}


def _in_chats(model: str, url: str) -> Iterator[Attempt]:
    fields: dict[str, object] = {
        **dict.fromkeys(("api_base", "base_url", "baseURL", "api_url", "endpoint", "host", "url", "proxy"), url),
        **dict.fromkeys(("custom_host", "azure_endpoint", "callback_url", "webhook", "organization", "user"), url),
        "provider": {"order": [url], "only": [url], "base_url": url, "api_base": url},
        "models": [url],
        "route": url,
        "user_config": {"model_list": [{"model_name": model, "litellm_params": {"api_base": url}}]},
        "litellm_params": {"api_base": url},
        "extra_body": {"api_base": url},
        "extra_headers": {"Host": url},
        "extra_query": {"api_base": url},
        "metadata": {"url": url, "api_base": url},
        "plugins": [{"id": "web", "engine": url, "url": url}, {"id": "file-parser", "pdf": {"engine": url}}],
        "web_search_options": {"url": url},
        "transforms": [url],
        "prediction": {"type": "content", "content": url},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": {"$schema": url, "$id": url, "$ref": url}},
        },
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"$ref": url}}},
            {"type": "mcp", "server_label": "a", "server_url": url},
        ],
        "functions": [{"name": "f", "parameters": {"$ref": url}}],
        "$ref": url,
        "__proto__": {"base_url": url},
    }
    for name, value in fields.items():
        yield Attempt(name, "/v1/chat/completions", _chat(model, **{name: value}))
    yield Attempt("model", "/v1/chat/completions", _chat(url))
    parts: dict[str, dict[str, object]] = {
        "image_url": {"image_url": {"url": url}},
        "image_url, as text": {"image_url": url},
        "input_audio": {"input_audio": {"data": url, "format": "wav", "url": url}},
        "video_url": {"video_url": {"url": url}},
        "file": {"file": {"filename": "a.pdf", "file_data": url, "file_id": url}},
        "file_url": {"file_url": {"url": url}},
        "document_url": {"document_url": url},
    }
    for name, part in parts.items():
        content = [{"type": "text", "text": _TEXT}, {"type": name.partition(",")[0], **part}]
        yield Attempt(name, "/v1/chat/completions", _chat(model, content))
    yield Attempt("text", "/v1/chat/completions", _chat(model, f"![a]({url}) <img src='{url}'> {url}"))


def _in_other_apis(model: str, embedding_model: str, url: str) -> Iterator[Attempt]:
    inputs = {"role": "user", "content": [{"type": "input_image", "image_url": url}]}
    files = {"role": "user", "content": [{"type": "input_file", "file_url": url, "filename": url}]}
    mcp = [{"type": "mcp", "server_label": "a", "server_url": url, "headers": {"Host": url}}]
    source = {"type": "image", "source": {"type": "url", "url": url}}
    pages = {"type": "document", "source": {"type": "url", "url": url}}
    yield Attempt("responses: image", "/v1/responses", {"model": model, "input": [inputs]})
    yield Attempt("responses: file", "/v1/responses", {"model": model, "input": [files]})
    yield Attempt("responses: mcp", "/v1/responses", {"model": model, "input": _TEXT, "tools": mcp})
    yield Attempt("responses: previous", "/v1/responses", {"model": model, "input": _TEXT, "previous_response_id": url})
    yield Attempt("messages: image", "/v1/messages", _chat(model, [source]))
    yield Attempt("messages: document", "/v1/messages", _chat(model, [pages]))
    yield Attempt("messages: mcp", "/v1/messages", _chat(model, mcp_servers=[{"type": "url", "url": url, "name": "a"}]))
    yield Attempt("count_tokens", "/v1/messages/count_tokens", _chat(model, [source]))
    yield Attempt("embeddings", "/v1/embeddings", {"model": embedding_model, "input": url, "api_base": url})
    yield Attempt("completions", "/v1/completions", {"model": model, "prompt": url, "api_base": url, "max_tokens": 5})
    yield Attempt("moderations", "/v1/moderations", {"model": model, "input": url, "api_base": url})
    yield Attempt("feedback", "/v1/feedback", {"request_id": url, "score": 1, "callback": url})


def _in_heads(model: str, url: str) -> Iterator[Attempt]:
    bare = url.partition("//")[2].partition("/")[0] or url
    names: tuple[str, ...] = (
        "x-forwarded-host",
        "x-forwarded-for",
        "x-forwarded-server",
        "forwarded",
        "x-host",
        "x-original-url",
    )
    names += ("x-rewrite-url", "x-portkey-custom-host", "x-portkey-config", "x-litellm-api-base", "x-api-base")
    names += ("x-base-url", "x-target-url", "x-upstream", "proxy", "proxy-connection", "via", "referer", "origin")
    names += (
        "location",
        "content-location",
        "destination",
        "link",
        "http-proxy",
        "baggage",
        "tracestate",
        "traceparent",
    )
    names += ("x-penstock-base-url", "x-penstock-provider", "openai-organization", "openai-project", "x-title")
    for name in names:
        yield Attempt(name, "/v1/chat/completions", _chat(model), headers=((name, url), (name, bare)))
    yield Attempt("host header", "/v1/chat/completions", _chat(model), host_header=bare)
    yield Attempt("query", f"/v1/chat/completions?api_base={url.split()[0]}", _chat(model))
    yield Attempt("absolute form", url.split()[0], _chat(model))
    yield Attempt("CONNECT", f"{bare.split()[0]}:80", method="CONNECT")
    yield Attempt("path", f"/v1/models/{url.split()[0]}", method="GET")
    yield Attempt("path with @", f"/v1@{bare.split()[0]}/chat/completions", _chat(model))
    yield Attempt("two slashes", f"//{bare.split()[0]}/v1/chat/completions", _chat(model))
