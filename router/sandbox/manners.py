"""How a server words things: OpenRouter, DeepSeek's own API, or a model server on one's own machine.

OpenRouter: recorded traffic of 2025-11 to 2026-10. DeepSeek: its API documentation and recordings of 2025-08 (tests of
tidyllm). The local server: the shapes vLLM and llama.cpp have in common; where they differ, vLLM's.
"""

import random
import string
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from router.sandbox.json_text import JsonObject
from router.sandbox.refusals import Refusal

_ID_CHARACTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Manners:
    """What differs from server to server."""

    name: Literal["openrouter", "deepseek", "local"]
    comment: bytes  # what is sent while the first token is waited for; may be nothing
    names_provider: bool  # `provider`, `native_finish_reason`, `refusal`, OpenRouter's headers
    reports_cost: bool
    keeps_records: bool  # whether there is a `/generation`
    usage_goes: Literal["always", "on-finish", "if-asked"]  # in streams
    repeats_role: bool
    reasoning_key: str

    def new_id(self, now: datetime, seed: random.Random) -> str:
        """An id for a generation, in the server's style."""
        match self.name:
            case "openrouter":
                return f"gen-{int(now.timestamp())}-{''.join(seed.choices(_ID_CHARACTERS, k=20))}"
            case "deepseek":
                digits = f"{seed.getrandbits(128):032x}"
                return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
            case "local":
                return f"chatcmpl-{seed.getrandbits(128):032x}"

    def unknown_model(self, model: str) -> Refusal:
        """The error for a model nobody sells."""
        match self.name:
            case "openrouter":
                return Refusal(400, f"{model} is not a valid model ID")
            case "deepseek":
                return Refusal(400, "Model Not Exist")
            case "local":
                return Refusal(404, f"The model `{model}` does not exist.")

    def adapted(self, refusal: Refusal) -> Refusal:
        """The error as this server would have it: only OpenRouter routes, the others find the request wrong."""
        is_routing = refusal.metadata is not None and "failed_routing_step" in refusal.metadata
        return Refusal(400, refusal.message) if is_routing and self.name != "openrouter" else refusal

    def refused(self, refusal: Refusal) -> JsonObject:
        """The body of an error."""
        match self.name:
            case "openrouter":
                return refusal.body()
            case "deepseek":
                kind = _DEEPSEEK_TYPES.get(refusal.status, "unknown_error")
                code = "invalid_request_error" if refusal.status in (400, 401, 402, 404, 422) else None
                return {"error": {"message": refusal.message, "type": kind, "param": None, "code": code}}
            case "local":
                kind = _VLLM_TYPES.get(refusal.status, "InternalServerError")
                return {"error": {"message": refusal.message, "type": kind, "param": None, "code": refusal.status}}


_DEEPSEEK_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "unknown_error",  # "Insufficient Balance"
    404: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "service_unavailable_error",
}
_VLLM_TYPES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    422: "BadRequestError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
}

OPENROUTER = Manners(
    name="openrouter",
    comment=b": OPENROUTER PROCESSING\n\n",
    names_provider=True,
    reports_cost=True,
    keeps_records=True,
    usage_goes="always",
    repeats_role=True,
    reasoning_key="reasoning",
)
DEEPSEEK = Manners(
    name="deepseek",
    comment=b": keep-alive\n\n",
    names_provider=False,
    reports_cost=False,
    keeps_records=False,
    usage_goes="on-finish",
    repeats_role=False,
    reasoning_key="reasoning_content",
)
LOCAL = Manners(
    name="local",
    comment=b"",
    names_provider=False,
    reports_cost=False,
    keeps_records=False,
    usage_goes="if-asked",
    repeats_role=False,
    reasoning_key="reasoning_content",
)
