"""Traffic in which everything happens that a metric counts, by teams of its own, at a sandbox."""

import itertools
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2

FLASH, PRO = "deepseek/deepseek-v4-flash", "deepseek/deepseek-v4-pro"
GPT, NANO, OPUS = "openai/gpt-5.4", "openai/gpt-5.4-nano", "anthropic/claude-opus-4.7"
LITE, GEMINI = "google/gemini-3.1-flash-lite", "google/gemini-3-flash-preview"
UNPRICED = "test/without-a-price"
SILENT = "test/silent"  # at a provider that has no records to ask for

TEAM = f"""
team: every
baseline: {GPT}
budgets:
  - {{limit_usd: 500, per: month}}
  - {{limit_usd: 200, per: week}}
  - {{limit_usd: 50, per: day, when_spent: downgrade}}
  - {{limit_usd: 20, per: hour}}
projects:
  ads: {{budgets: [{{limit_usd: 100, per: month}}]}}
cache: {{ttl_s: 3600, when: temperature_zero}}
aliases:
  auto: {{policy: plain}}
  shadowed: {{policy: shadowed}}
  checked: {{policy: checked}}
  silent: {{model: {SILENT}}}
  lite: {{model: {LITE}}}
  flash: {{model: {FLASH}}}
  opus: {{model: {OPUS}}}
  down: {{model: {NANO}}}
policies:
  plain:
    candidates: [{FLASH}, {PRO}, {GPT}, {UNPRICED}]
  shadowed:
    candidates: [{FLASH}]
    shadow: {{model: {GEMINI}, share: 1.0, budget_usd: 2.00, per: day}}
  checked:
    candidates: [{FLASH}, {PRO}, {GPT}@xhigh]
    verify: json_schema
    rules:
      - {{name: code, when: {{task: code}}, quality: {{at_least: 0.85, of: best_candidate}}}}
"""

POOR = f"""
team: poor
budgets:
  - {{limit_usd: 0.000001, per: day}}
aliases:
  auto: {{model: {FLASH}}}
"""

_MODELS = f"""
  {UNPRICED}:
    context_tokens: 128000
    max_output_tokens: 8192
    deployments:
      - provider: openrouter
  {SILENT}:
    context_tokens: 128000
    max_output_tokens: 8192
    deployments:
      - provider: silent
        upstream_model: qwen3-8b
        prices: [{{from: 2026-11-01, input_usd_per_mtok: 0, output_usd_per_mtok: 0, source: test, checked: 2026-11-01}}]
"""

_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
_JSON_WANTED = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": _SCHEMA}}
_LONG = "You know everything about gates. " + "It is a long story. " * 1_000


def with_everything(config: Path) -> None:
    """Put the teams, a model without a price, and a provider that keeps no records into a copy of what is shipped."""
    (config / "teams" / "every.yaml").write_text(TEAM)
    (config / "teams" / "poor.yaml").write_text(POOR)
    models = config / "models.yaml"
    models.write_text(models.read_text().rstrip("\n") + "\n" + _MODELS)
    main = config / "penstock.yaml"
    text = main.read_text()
    (openrouter,) = re.findall(r"base_url: (http://127\S+)/api/v1\n", text)
    silent = f"  silent:\n    kind: openai_compatible\n    base_url: {openrouter}/local/v1\n"
    main.write_text(text.replace("\nproviders:\n", f"\nproviders:\n{silent}"))


class Clients:
    """Clients of one server: `round` asks once for everything."""

    def __init__(self, base_url: str, keys: Mapping[str, str], http: httpx2.Client, *, is_exact: bool = False) -> None:
        """`is_exact` leaves out what nobody can know the cost of, so that the books equal the provider's bill."""
        self._base_url = base_url
        self._keys = keys
        self._http = http
        self._faults = ("no-cost", "no-usage") if is_exact else ("no-cost", "no-usage", "drop-before-headers")
        self._numbers = itertools.count()

    def round(self) -> None:
        """Some forty requests, one after the other."""
        self._answered()
        self._fail_and_fall_back()
        self._check()
        self._stream()
        self._refuse()
        self._converse()
        self._book()

    def break_down(self) -> None:
        """Ask a model that fails until its breaker opens, and again."""
        for _ in range(6):
            self._chat("down", "[sandbox:fault=503]")

    def _answered(self) -> None:
        for score in (0.0, 0.5, 1.0):
            reply = self._chat("auto", "Which city is the capital of Portugal?")
            self._post("feedback", {"request_id": reply.headers["x-request-id"], "score": score})
        for _ in range(2):
            self._post("chat/completions", {**_body("auto", "What is a sluice?"), "temperature": 0})
        self._chat("shadowed", "Tell me about rain.")
        self._chat("opus", "Tell me about snow.")  # above the baseline
        self._chat("auto", "Tell me about wind.", headers={"x-penstock-tags": "ads"})

    def _fail_and_fall_back(self) -> None:
        self._chat("auto", f"[sandbox:fault=503@{FLASH}]")
        self._chat("flash", "Tell me about tea.")  # so that it does not fail five times in a row
        self._chat("lite", "[sandbox:fault=502]")  # and nobody else to ask
        for _ in range(2):
            self._chat("lite", "Tell me about tea.")

    def _check(self) -> None:
        body = _body("checked", f"[sandbox:fault=bad-json@{FLASH}] Which city is this about: the fog of Lisbon.")
        self._post("chat/completions", {**body, "response_format": _JSON_WANTED})

    def _stream(self) -> None:
        self._chat("auto", "Tell me about rivers.", stream=True)
        self._chat("lite", "[sandbox:fault=mid-stream-error]", stream=True)  # cut
        self._hang_up()

    def _hang_up(self) -> None:
        body = _body("flash", "[sandbox:fault=stall]") | {"stream": True}
        with (
            suppress(httpx2.TransportError),
            self._http.stream("POST", f"{self._base_url}/chat/completions", json=body, headers=self._head()) as reply,
        ):
            next(reply.iter_raw())

    def _refuse(self) -> None:
        self._chat("auto", "Tell me about money.", team="poor")  # more than it has
        self._http.post(f"{self._base_url}/chat/completions", headers={"authorization": "Bearer psk_no"}, json={})
        self._chat("no such model", "Hm?")

    def _converse(self) -> None:
        """The second turn is in the prompt cache."""
        number = next(self._numbers)
        first = [{"role": "system", "content": f"{number} {_LONG}"}, {"role": "user", "content": "What is a gate?"}]
        second = [*first, {"role": "assistant", "content": "A door."}, {"role": "user", "content": "And a sluice?"}]
        for messages in (first, second):
            self._post("chat/completions", {"model": "lite", "messages": messages, "max_tokens": 50})

    def _book(self) -> None:
        """Costs that are known by other means than the answer, or not at all."""
        for fault in self._faults:
            self._chat("lite", f"[sandbox:fault={fault}]")
        self._chat("silent", "[sandbox:fault=no-usage]")

    def _chat(
        self,
        model: str,
        text: str,
        *,
        team: str = "every",
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> httpx2.Response:
        body = {**_body(model, f"{text} ({next(self._numbers)})"), **members}
        return self._post("chat/completions", body, team=team, headers=headers)

    def _post(
        self,
        path: str,
        body: Mapping[str, object],
        *,
        team: str = "every",
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        return self._http.post(f"{self._base_url}/{path}", json=body, headers={**self._head(team), **(headers or {})})

    def _head(self, team: str = "every") -> dict[str, str]:
        return {"authorization": f"Bearer {self._keys[team]}"}


def _body(model: str, text: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 200}
