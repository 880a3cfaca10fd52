"""The simulated OpenRouter, and a configuration that has it in place of the real one."""

from dataclasses import replace

from starlette.types import ASGIApp

from router.assembly.clock import utc_now
from router.assembly.stores import SANDBOX_DIRECTORY
from router.catalog.catalog import ProviderName
from router.config.snapshot import ProviderAccess, Snapshot
from router.keys import Secret
from router.sandbox.app import sandbox_app
from router.tokens.count import TokenCounter
from router.tokens.vocabulary import load_encoding

SANDBOX_KEY = Secret("sk-or-sandbox")


def make_sandbox(
    *, time_scale: float, seed: int, fault_rate: float, spread: float, scenario: bytes | None = None
) -> ASGIApp:
    """The simulated OpenRouter. Raises router.sandbox.refusals.Refusal if the scenario cannot be read."""
    counter = TokenCounter(load_encoding("o200k_base"))
    return sandbox_app(
        count_tokens=counter.count_text,
        clock=utc_now,
        time_scale=time_scale,
        seed=seed,
        fault_rate=fault_rate,
        spread=spread,
        scenario=scenario,
    )


def with_sandbox(snapshot: Snapshot, base_url: str) -> Snapshot:
    """The configuration with the sandbox at `base_url` in place of OpenRouter, and no other paid provider.

    Its books are kept apart, in a directory of their own even where PostgreSQL and Redis are configured: play money
    must not stand among real dollars, nor use up real budgets.
    """
    providers: dict[ProviderName, ProviderAccess] = {}
    for name, access in snapshot.settings.providers.items():
        if access.provider.kind == "openrouter":
            provider = replace(access.provider, base_url=base_url)
            providers[name] = ProviderAccess(provider=provider, api_key=SANDBOX_KEY, api_key_from=None)
        elif access.provider.kind == "deepseek":
            providers[name] = replace(access, api_key=None, api_key_from="its key, as the sandbox answers here,")
        else:
            providers[name] = access
    settings = replace(
        snapshot.settings,
        providers=providers,
        state_dir=snapshot.settings.state_dir / SANDBOX_DIRECTORY,
        postgres=None,
        redis=None,
        allowance=None,
    )
    return replace(snapshot, settings=settings)
