"""`penstock init`: three questions, and a configuration of one's own that is valid before it is there.

What is written is the shipped penstock.yaml and models.yaml, whose comments explain every key, and a file for one team.
"""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click

from router.cli.new_config import (
    NewConfig,
    quoted,
    require_free,
    require_team_name,
    shipped_main,
    shipped_models,
    write,
)
from router.config.loader import MODELS_FILE, TEAMS_DIRECTORY
from router.config.settings import MAIN_FILE
from router.errors import InvalidRequest

_LOCAL_URL = "http://127.0.0.1:8080/v1"
_LOCAL_MODEL = "deepseek-v4-flash"


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a team's file says where one provider serves."""

    candidates: tuple[str, ...]
    baseline: str | None
    aliases: tuple[tuple[str, str], ...]  # what clients may write, and the one model they get
    variable: str | None  # that holds the provider's key


_OFFERS = {
    "openrouter": _Offer(
        (
            "deepseek/deepseek-v4-flash",
            "deepseek/deepseek-v4-pro",
            "openai/gpt-5.4",
            "anthropic/claude-opus-4.7",
        ),
        baseline="openai/gpt-5.4",
        aliases=(("opus", "anthropic/claude-opus-4.7"), ("embed", "openai/text-embedding-3-small")),
        variable="OPENROUTER_API_KEY",
    ),
    "deepseek": _Offer(
        ("deepseek/deepseek-v4-flash", "deepseek/deepseek-v4-pro"),
        baseline="deepseek/deepseek-v4-pro",
        aliases=(("flash", "deepseek/deepseek-v4-flash"),),
        variable="DEEPSEEK_API_KEY",
    ),
}


@click.command()
@click.argument("target", default="config", metavar="[DIR]", type=click.Path(path_type=Path))
@click.option("--provider", type=click.Choice([*_OFFERS, "local"]), help="Who serves the models.")
@click.option("--team", help="Name of the first team.")
@click.option("--budget-usd", help="What it may spend in a month, in dollars.")
@click.option("--local-url", default=_LOCAL_URL, show_default=True, help="With --provider local: its base URL.")
@click.option("--local-model", default=_LOCAL_MODEL, show_default=True, help="The name your server knows it by.")
def init(
    target: Path, provider: str | None, team: str | None, budget_usd: str | None, local_url: str, local_model: str
) -> None:
    """Write a configuration of your own into DIR (./config), after three questions. Nothing there is overwritten.

    Example: penstock init /etc/penstock --provider openrouter --team search --budget-usd 500
    """
    require_free(target)
    provider = provider or click.prompt("Who serves the models?", type=click.Choice([*_OFFERS, "local"]))
    team = team or click.prompt("Name of the first team?", default="first")
    budget = _budget(budget_usd or click.prompt("Dollars it may spend in a month?", default="100"))
    require_team_name(team)
    write(target, _config(provider, team, budget, local_url, local_model))
    _say_what_is_next(target, provider, team)


def _budget(text: str) -> Decimal:
    try:
        budget = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        budget = Decimal(0)
    if not budget.is_finite() or budget <= 0:
        raise InvalidRequest(f"{text!r} is no sum of dollars above zero, such as 100 or 99.50.")
    return budget


def _config(provider: str, team: str, budget: Decimal, local_url: str, local_model: str) -> NewConfig:
    main, models = shipped_main(), shipped_models()
    offer = _OFFERS.get(provider)
    if offer is None:
        name = f"local/{re.sub('[^a-z0-9._-]+', '-', local_model.lower()).strip('-') or 'model'}"
        main += f"\n  local:\n    kind: openai_compatible\n    base_url: {quoted(local_url)}\n"
        models += _local_model(name, local_model)
        offer = _Offer((name,), baseline=None, aliases=(), variable=None)
    return NewConfig(main, models, team, _team_file(team, budget, offer))


def _local_model(name: str, model: str) -> str:
    return f"""
  # Your own. Put in the window you started the server with, and what the machine costs you if savings are to be honest.
  {name}:
    context_tokens: 32768
    max_output_tokens: 8192
    capabilities: [tools, json_object, json_schema]
    deployments:
      - provider: local
        upstream_model: {quoted(model)}
        prices:
          - from: 2026-01-01
            input_usd_per_mtok: 0
            output_usd_per_mtok: 0
            source: "our own machine"
            checked: 2026-01-01
"""


def _team_file(team: str, budget: Decimal, offer: _Offer) -> str:
    candidates = "".join(f"      - {name}\n" for name in offer.candidates)
    aliases = "".join(f"  {name}: {{model: {model}}}\n" for name, model in offer.aliases)
    baseline = (
        f"\n# What the team used before, or would without Penstock: savings are measured against it.\n"
        f"baseline: {offer.baseline}\n"
        if offer.baseline
        else ""
    )
    # Of one candidate nothing is to be asked: it is as good as it is.
    quality = "    quality: {at_least: 0.92, of: best_candidate}\n" if len(offer.candidates) > 1 else ""
    return f"""# yaml-language-server: $schema=../schemas/team.json
#
# Team {team}. `penstock explain --team {team}` shows what would be chosen for a request, and why.
team: {team}
{baseline}
# downgrade: once it is spent, the cheapest models only, then 429. reject: 429 at once.
budgets:
  - {{limit_usd: {budget:f}, per: month, when_spent: downgrade}}

limits: {{requests_per_minute: 600, concurrent: 64}}

# What clients write in `model`.
aliases:
  auto: {{policy: balanced}}
{aliases}
# The cheapest that is good enough for the request at hand: docs/policies.md has all that can be said here.
policies:
  balanced:
    candidates:
{candidates}    objective: cheapest
{quality}    max_cost_usd: 5.00 # of one request, at worst
"""


def _say_what_is_next(target: Path, provider: str, team: str) -> None:
    click.echo(f"{target} is written: {MAIN_FILE}, {MODELS_FILE}, {TEAMS_DIRECTORY}/{team}.yaml. Next:")
    offer = _OFFERS.get(provider)
    steps = [
        *([f"export {offer.variable}=…"] if offer is not None else []),
        f"penstock doctor --config {target}",
        f"penstock keys create --team {team} --config {target}",
        f"penstock serve --config {target}",
    ]
    click.echo("\n".join(f"  {step}" for step in steps))
