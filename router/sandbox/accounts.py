"""Who is asking, and what they can pay.

OpenRouter takes any `sk-or-` key but one, which stands for a revoked key; a key that begins with `sk-or-mgmt-` is a
management key. DeepSeek takes any key, the local server needs none.

Credits are unlimited until `PATCH /sandbox/account` says otherwise:

    {"credits_usd": "0.05",   what the account has bought; null: it never ends
     "missing_reads": 2}      how often `/generation` answers 404 before it knows a generation

With limited credits every request reserves its prompt and the most output it can have: with no max_tokens, that is the
model's limit. What the credits do not cover is refused with 402; what they would cover but for requests under way, too,
and that passes (OpenRouter's documentation and wire, 2026).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal

from router.sandbox.admission import Admission
from router.sandbox.billing import Bill
from router.sandbox.failures import cannot_afford, in_flight_budget_exhausted
from router.sandbox.json_text import JsonObject, decode
from router.sandbox.manners import Manners
from router.sandbox.orders import Order
from router.sandbox.refusals import Refusal, figure_of, invalid, unauthenticated

_REVOKED_KEYS = ("sk-or-bad", "sk-bad")
_MANAGEMENT_PREFIX = "sk-or-mgmt-"


class Account:
    """The one account there is."""

    def __init__(self, bill: Bill) -> None:
        self._bill = bill
        self._credits_usd: Decimal | None = None
        self._reserved_usd = Decimal(0)
        self.missing_reads = 0

    def check(self, admission: Admission) -> None:
        """Raises Refusal (402) if the credits do not cover the request."""
        if self._credits_usd is None:
            return
        left_usd = self._credits_usd - self._bill.total_usd()
        if admission.reserved_usd > left_usd:
            token_usd = admission.token_usd
            affordable = max(int((left_usd - admission.prompt_usd) / token_usd), 0) if token_usd else 0
            raise cannot_afford(admission.reserved_tokens, affordable=affordable)
        if admission.reserved_usd > left_usd - self._reserved_usd:
            raise in_flight_budget_exhausted()

    @contextmanager
    def reserved(self, order: Order) -> Iterator[None]:
        """Keeps the credits of a request under way from others."""
        usd = order.admission.reserved_usd
        self._reserved_usd += usd
        try:
            yield
        finally:
            self._reserved_usd -= usd

    def change(self, body: bytes) -> None:
        """Everything the wish says, or nothing. Raises Refusal (400) for what cannot be read."""
        try:
            wish = decode(body)
        except ValueError:
            raise invalid("the body is not JSON") from None
        if not isinstance(wish, dict) or wish.keys() - {"credits_usd", "missing_reads"}:
            raise invalid("the body should be an object with `credits_usd` or `missing_reads`")
        reads = wish.get("missing_reads", self.missing_reads)
        if not isinstance(reads, int) or reads < 0:
            raise invalid("`missing_reads` is a count")
        credits_usd = self._credits_usd
        if "credits_usd" in wish:
            credits_usd = None if wish["credits_usd"] is None else _credits(wish["credits_usd"])
        self.missing_reads, self._credits_usd = reads, credits_usd

    def reset(self) -> None:
        """As at the start."""
        self.missing_reads, self._credits_usd = 0, None

    def as_json(self) -> JsonObject:
        """What is set."""
        credits_usd = None if self._credits_usd is None else str(self._credits_usd)
        return {"credits_usd": credits_usd, "missing_reads": self.missing_reads}

    def credits(self) -> JsonObject:
        """The body of `/credits`."""
        used_usd = self._bill.total_usd()
        return {
            "data": {
                "total_credits": used_usd if self._credits_usd is None else self._credits_usd,
                "total_usage": used_usd,
            }
        }

    def describe(self, key: str) -> JsonObject:
        """The body of `/key`: a key without a limit of its own and what the whole bill comes to."""
        used_usd = self._bill.total_usd()
        is_management_key = key.startswith(_MANAGEMENT_PREFIX)
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
                "is_management_key": is_management_key,
                "is_provisioning_key": is_management_key,
                "creator_user_id": None,
                "expires_at": None,
                "rate_limit": {
                    "requests": -1,
                    "interval": "10s",
                    "note": "This field is deprecated and safe to ignore.",
                },
            }
        }


def authenticate(headers: Mapping[str, str], manners: Manners) -> str:
    """The key of the request; may be empty where none is needed. Raises Refusal (401)."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    match manners.name:
        case "local":
            return key
        case "deepseek":
            if scheme.lower() != "bearer" or not key or key in _REVOKED_KEYS:
                raise unauthenticated("Authentication Fails, Your api key is invalid")
            return key
    if scheme.lower() != "bearer" or not key:
        raise unauthenticated("Missing Authentication header")
    if not key.startswith("sk-or-") or key in _REVOKED_KEYS:
        raise unauthenticated("User not found.")
    return key


def require_management_key(key: str) -> None:
    """Raises Refusal (403) for any other key."""
    if not key.startswith(_MANAGEMENT_PREFIX):
        raise Refusal(403, "Only management keys can perform this operation")


def _credits(value: object) -> Decimal:
    return figure_of(value, refused_as=f"the account cannot have {value!r}")
