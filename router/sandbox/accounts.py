"""Who is asking: OpenRouter API keys. Any `sk-or-` key is good but one, which stands for a revoked key."""

from collections.abc import Mapping
from decimal import Decimal

from router.sandbox.json_text import JsonObject
from router.sandbox.refusals import unauthenticated

_REVOKED_KEY = "sk-or-bad"


def authenticate(headers: Mapping[str, str]) -> str:
    """The key of the request. Raises Refusal (401)."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise unauthenticated("Missing Authentication header")
    if not key.startswith("sk-or-") or key == _REVOKED_KEY:
        raise unauthenticated("User not found.")
    return key


def describe(key: str, *, used_usd: Decimal) -> JsonObject:
    """The body of `/key`: an unlimited key with what the whole bill comes to."""
    return {
        "data": {
            "label": f"{key[:12]}...{key[-3:]}",
            "limit": None,
            "limit_remaining": None,
            "limit_reset": None,
            "include_byok_in_limit": False,
            "usage": used_usd,
            "usage_daily": used_usd,
            "usage_weekly": used_usd,
            "usage_monthly": used_usd,
            "byok_usage": 0,
            "byok_usage_daily": 0,
            "byok_usage_weekly": 0,
            "byok_usage_monthly": 0,
            "is_free_tier": False,
            "is_management_key": False,
            "is_provisioning_key": False,
            "creator_user_id": None,
            "expires_at": None,
            "rate_limit": {
                "requests": -1,
                "interval": "10s",
                "note": "This field is deprecated and safe to ignore.",
            },
        }
    }
