"""Deployments, prompts and finished requests for the tests of what is learned."""

from datetime import UTC, datetime, timedelta

import msgspec

from router.catalog.catalog import Catalog, Deployment, Model, Provider, ProviderKind, ProviderName
from router.decision.explain import profile_as_data
from router.decision.facts import Conditions, PrefixMark, RequestProfile
from router.keys import TeamName
from router.ledger import LedgerEntry
from router.units import Usage
from tests.decision.builders import CHAT, always, catalog, model, per_mtok
from tests.replacing import replace
from tests.storage.entries import attempt, entry

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
READ_S = 2.0  # from a request to the end of its answer, as the entries of these tests have it

PRICE = always(per_mtok("1", "4", cached_input_usd="0.1"))


def deployment(what: Model, kind: ProviderKind = "openrouter") -> Deployment:
    return Deployment(
        model=what,
        provider=Provider(ProviderName(kind), kind=kind, base_url=f"http://{kind}.example/v1"),
        upstream_model=what.name,
        prices=PRICE,
        max_output_tokens=what.max_output_tokens,
        context_tokens=what.context_tokens,
    )


GPT = deployment(model("openai/gpt"))
CLAUDE = deployment(model("anthropic/claude-sonnet-4.6", token_ratio=1.25))
GEMINI = deployment(model("google/gemini-3-flash"))
FLASH = deployment(model("deepseek/flash"), "deepseek")
ALL: Catalog = catalog(GPT, CLAUDE, GEMINI, FLASH)


def prompt(*ends: int, fork: int = 0, breakpoints: tuple[int, ...] = ()) -> RequestProfile:
    """A prompt whose messages end after so many tokens; prompts of two forks have no digest in common."""
    marks = tuple(PrefixMark(digest=1_000_000 * fork + tokens, tokens=tokens) for tokens in ends)
    return replace(CHAT, team="search", input_tokens=ends[-1] + 3, prefix=marks, cache_breakpoints=breakpoints)


def at(seconds: float) -> Conditions:
    return Conditions(now=NOON + timedelta(seconds=seconds))


def answered(
    profile: RequestProfile, by: Deployment, *, after_s: float = 0.0, cached: int = 0, input_tokens: int | None = None
) -> LedgerEntry:
    """The entry of a request that was answered; by default the provider counts as the model's ratio says."""
    counted = round(profile.input_tokens * by.model.token_ratio) if input_tokens is None else input_tokens
    usage = Usage(input_tokens=counted, output_tokens=50, cached_tokens=cached)
    call = attempt(model=by.model.name, provider=by.provider.name, usage=usage)
    finished = entry("req_1", call, at=NOON + timedelta(seconds=after_s))
    return replace(
        finished,
        team=TeamName(profile.team),
        alias=profile.alias,
        profile_json=msgspec.json.encode(profile_as_data(profile)),
        first_token_s=None,
        duration_s=READ_S,
    )
