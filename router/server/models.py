"""`GET /v1/models` and `GET /v1/models/{id}`: what the caller's team may write in `model`, and its key.

OpenAI's members come first, then OpenRouter's beside them, in the shape of its own list (openrouter.md §4), at the
prices in force now. A model is shown as at the cheapest deployment that can be asked. An alias that leads to a policy
has no price of its own: it is shown at the most that any of its models costs, so that no client reckons too low, with
the least beside it in `penstock`. What nobody here knows (moderation, default parameters) is null, or false.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from starlette.types import Receive, Scope, Send

from router.apis import Api
from router.catalog.catalog import Capability, Catalog, Deployment, DeploymentId, Effort, Model, ModelName, models_of
from router.catalog.prices import Price, Rates
from router.config.snapshot import Snapshot, Team
from router.decision.policy import Policy
from router.errors import TeamGone, UnknownModel
from router.keys import Caller, KeyScope
from router.server.auth import CALLER
from router.server.replies import send_error, send_json

_INPUTS = {
    Capability.IMAGE_INPUT: "image",
    Capability.FILE_INPUT: "file",
    Capability.AUDIO_INPUT: "audio",
    Capability.VIDEO_INPUT: "video",
}
_OUTPUTS = {Capability.IMAGE_OUTPUT: "image", Capability.AUDIO_OUTPUT: "audio"}
# OpenRouter's names of what the catalog knows of a model; of temperature and the like it knows nothing.
_PARAMETERS = {
    Capability.TOOLS: ("tools", "tool_choice"),
    Capability.JSON_OBJECT: ("response_format",),
    Capability.JSON_SCHEMA: ("response_format", "structured_outputs"),
    Capability.REASONING: ("reasoning", "reasoning_effort", "include_reasoning"),
}
_STRONGEST_FIRST = tuple(reversed(Effort))
_NO_PRICE = "-1"  # OpenRouter's own word for it


class Models:
    """Both endpoints."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        catalog: Callable[[], Catalog],
        now: Callable[[], datetime],
        unavailable: Collection[DeploymentId] = (),
    ) -> None:
        """`catalog` is the configuration's at the prices in force."""
        self._snapshot = snapshot
        self._catalog = catalog
        self._now = now
        self._unavailable = unavailable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller = scope[CALLER]
        team = self._snapshot.teams.get(caller.team)
        if team is None:  # since its key was checked
            await send_error(send, TeamGone(caller.team))
            return
        wanted: str | None = scope.get("path_params", {}).get("model_id")
        names = [name for name in _names(team) if _is_open(team, name, caller.scope)]
        if wanted is None:
            shown = [self._shown(team, name, caller.scope) for name in names]
            await send_json(send, {"object": "list", "data": shown, "total_count": len(shown), "links": {"next": None}})
        elif wanted in names:
            await send_json(send, self._shown(team, wanted, caller.scope))
        else:
            await send_error(
                send,
                UnknownModel(
                    f"Team {team.name} has no alias and may use no model {wanted[:100]!r}, or this API key may not. "
                    "See GET /v1/models."
                ),
            )

    def _shown(self, team: Team, name: str, scope: KeyScope) -> dict[str, Any]:
        policy = team.aliases.get(name)
        models = _models_behind(team, name, scope)
        catalog, now = self._catalog(), self._now()
        offers = [self._offer(catalog.of(model), now) for model in models if catalog.of(model)]
        owner = team.name if policy is not None else name.partition("/")[0]
        return _object(
            name, owner, offers, now, via=None if policy is None or policy.name not in team.policies else policy
        )

    def _offer(self, deployments: Sequence[Deployment], now: datetime) -> Deployment:
        """Where the model would be asked: the cheapest who can be, else the first."""
        able = [each for each in deployments if each.id not in self._unavailable] or deployments
        return min(able, key=lambda each: _cheapness(each.prices.at(now)))


def _names(team: Team) -> list[str]:
    return [*team.aliases, *sorted(team.models() - team.aliases.keys())]


def _is_open(team: Team, name: str, scope: KeyScope) -> bool:
    """Whether the key may write the name, and be answered by any model behind it."""
    is_named = scope.may_name(name, is_alias=name in team.aliases)
    return is_named and (scope.models is None or bool(_models_behind(team, name, scope)))


def _models_behind(team: Team, name: str, scope: KeyScope) -> Sequence[ModelName]:
    policy = team.aliases.get(name)
    models = [ModelName(name)] if policy is None else _models_of(policy)
    return models if scope.models is None else [model for model in models if model in scope.models]


def _models_of(policy: Policy) -> Sequence[ModelName]:
    """Every model that the policy or one of its rules may choose, in the order of the configuration."""
    named = [*policy.candidates, *(model for rule in policy.rules for model in rule.candidates or ())]
    return [model for model in models_of(named) if model not in policy.banned_models]


def _object(
    name: str, owner: str, offers: Sequence[Deployment], now: datetime, *, via: Policy | None
) -> dict[str, Any]:
    """One entry. `offers` are where its models would be asked; several of a policy (`via`), else one."""
    prices = [price for offer in offers if (price := offer.prices.at(now)) is not None]
    capabilities = frozenset[Capability]().union(*(offer.capabilities for offer in offers))
    embeds = bool(offers) and all(Api.EMBEDDINGS in offer.model.apis for offer in offers)
    inputs = ["text", *(word for need, word in _INPUTS.items() if need in capabilities)]
    outputs = ["embeddings"] if embeds else ["text", *(word for need, word in _OUTPUTS.items() if need in capabilities)]
    context_tokens = max((offer.context_tokens for offer in offers), default=None)
    max_output_tokens = max((offer.max_output_tokens for offer in offers), default=0) or None
    only = offers[0] if via is None and offers else None
    shown: dict[str, Any] = {
        "id": name,
        "object": "model",
        "created": max((_second(offer.model.released) for offer in offers), default=0),
        "owned_by": owner,
        "canonical_slug": name if only is None else only.version or only.model.name,
        "name": name,
        "context_length": context_tokens,
        "architecture": {
            "modality": f"{'+'.join(inputs)}->{'+'.join(outputs)}",
            "input_modalities": inputs,
            "output_modalities": outputs,
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": _pricing(prices[0]) if via is None and prices else _bounds(prices, max),
        "top_provider": {
            "context_length": context_tokens,
            "max_completion_tokens": max_output_tokens,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": _parameters(capabilities, writes=max_output_tokens is not None),
        "default_parameters": None,
        "supported_voices": None,
        "knowledge_cutoff": None,
        "expiration_date": None,
        "links": {"details": f"/v1/models/{name}"},
        "penstock": {
            "policy": None if via is None else via.name,
            "models": [offer.model.name for offer in offers],
            "apis": sorted(set[Api]().union(*(offer.apis for offer in offers))),
            "least_pricing": _bounds(prices, min),
        },
    }
    if only is not None and only.model.efforts:
        shown["reasoning"] = _reasoning(only.model)
    return shown


def _cheapness(price: Price | None) -> tuple[bool, Decimal]:
    return (price is None, Decimal(0) if price is None else price.base.input + price.base.output)


def _second(released: date | None) -> int:
    """Midnight UTC of the day, in seconds since the epoch; 0 if nobody has said."""
    return 0 if released is None else int(datetime.combine(released, time(), tzinfo=UTC).timestamp())


def _bounds(prices: Sequence[Price], of: Callable[[Iterable[Decimal]], Decimal]) -> dict[str, str]:
    """The most or the least of several prices, for short prompts."""
    if not prices:
        return {"prompt": _NO_PRICE, "completion": _NO_PRICE}
    return {
        "prompt": _plain(of(price.base.input for price in prices)),
        "completion": _plain(of(price.base.output for price in prices)),
    }


def _pricing(price: Price) -> dict[str, Any]:
    shown: dict[str, Any] = dict(_rates(price.base))
    if price.base.request:
        shown["request"] = _plain(price.base.request)
    if price.base.image:
        shown["image"] = _plain(price.base.image)
    if price.tiers:
        shown["overrides"] = [
            {"min_prompt_tokens": tier.above_input_tokens, **_rates(tier.rates)} for tier in price.tiers
        ]
    return shown


def _rates(rates: Rates) -> Mapping[str, str]:
    return {
        "prompt": _plain(rates.input),
        "completion": _plain(rates.output),
        "input_cache_read": _plain(rates.cached_input),
        "input_cache_write": _plain(rates.cache_write),
    }


def _plain(usd: Decimal) -> str:
    """Without exponent and without trailing zeros: 0.00000009."""
    return f"{usd.normalize():f}"


def _parameters(capabilities: Collection[Capability], *, writes: bool) -> list[str]:
    named = [name for need, names in _PARAMETERS.items() if need in capabilities for name in names]
    return sorted({*named, "max_tokens"}) if writes else []


def _reasoning(model: Model) -> dict[str, Any]:
    efforts = [effort.value for effort in _STRONGEST_FIRST if effort in model.efforts and effort is not Effort.NONE]
    return {
        "mandatory": Effort.NONE not in model.efforts,
        "supported_efforts": efforts,
        "default_effort": None if model.default_effort is None else model.default_effort.value,
    }
