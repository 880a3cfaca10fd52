"""A LiteLLM config as a Penstock configuration and a report: a pure function of the config and the shipped files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from router.apis import Api
from router.catalog.catalog import TEXT_APIS
from router.cli.litellm import prices
from router.cli.litellm.accounts import Account, Accounts
from router.cli.litellm.deployments import Deployments, NewDeployment, NewModel, Shipped, distinct
from router.cli.litellm.findings import Finding, Findings, spelled
from router.cli.litellm.names import names
from router.cli.litellm.settings import Terms, credentials_in, terms_of
from router.cli.litellm.team import plan, team_file
from router.cli.new_config import quoted
from router.config.yaml_source import Document, KeyPath, parse

# What `auto` chooses from if the config has no text model; `penstock init` offers the same.
_INSTEAD = ("deepseek/deepseek-v4-flash", "deepseek/deepseek-v4-pro", "openai/gpt-5.4", "anthropic/claude-opus-4.7")


@dataclass(frozen=True, slots=True)
class Conversion:
    """The files, and what is to be told."""

    main: str
    models: str
    team_file: str
    findings: tuple[Finding, ...]
    to_do: tuple[str, ...]


def convert(config: Mapping[str, object], *, team: str, source: str, main: str, models: str, today: date) -> Conversion:
    """The conversion of `config`, whose file is called `source`; `main` and `models` are the shipped files."""
    shipped_main, shipped_models = parse("penstock.yaml", main.encode()), parse("models.yaml", models.encode())
    catalog = _mapping(shipped_models.data, "models")
    findings = Findings()
    accounts = Accounts(_shipped_accounts(shipped_main))
    taken = Deployments(names(catalog), _shipped(catalog), accounts, findings, today=today, source=source)
    taken.take_all(config.get("model_list"), credentials_in(config, findings))
    variables = frozenset(account.variable for account in accounts.used() if account.variable is not None)
    terms = terms_of(config, findings, variables=variables)
    rated = frozenset(name for name, model in catalog.items() if isinstance(model, dict) and "quality" in model)
    text = [each for servings in taken.groups.values() for each in servings if each.api == Api.CHAT]
    usable = [model for model in distinct(text) if model in taken.priced]
    planned = plan(taken.groups, terms, rated=rated, auto=usable or _INSTEAD)
    providers = sorted({account.name for account in accounts.used()} | (set() if usable else {"openrouter"}))
    return Conversion(
        main=_main(main, shipped_main, accounts.used(), terms),
        models=_models(models, shipped_models, taken.models, today),
        team_file=team_file(team, planned, terms, providers=providers, source=source),
        findings=findings.all_of(config),
        to_do=(*_to_do(accounts, taken, has_text=bool(usable)), *planned.to_do),
    )


def _mapping(data: object, key: str) -> Mapping[str, object]:
    value = data.get(key) if isinstance(data, dict) else None
    assert isinstance(value, dict)
    return value


def _shipped_accounts(main: Document) -> dict[str, Account]:
    providers = _mapping(main.data, "providers")
    return {
        name: Account(name, section["kind"], section["base_url"], section["api_key_env"], is_shipped=True)
        for name, section in providers.items()
        if isinstance(section, dict)
    }


def _shipped(catalog: Mapping[str, object]) -> Shipped:
    upstream: dict[str, dict[str, str]] = {}
    apis: dict[str, Api] = {}
    for name, model in catalog.items():
        assert isinstance(model, dict)
        spoken = [Api(word) for word in model.get("apis", [])]
        apis[name] = Api.CHAT if not spoken or not TEXT_APIS.isdisjoint(spoken) else spoken[0]
        upstream[name] = {each["provider"]: each.get("upstream_model", name) for each in model["deployments"]}
    return Shipped(upstream, apis)


# penstock.yaml


def _main(text: str, shipped: Document, accounts: Sequence[Account], terms: Terms) -> str:
    values: dict[KeyPath, str] = {
        ("providers", account.name, "api_key_env"): account.variable
        for account in accounts
        if account.is_shipped and account.variable is not None
    }
    if terms.first_byte_s is not None:
        values["timeouts", "first_byte_s"] = f"{terms.first_byte_s.normalize():f}"
    if terms.max_body_bytes is not None:
        values["max_body_bytes",] = str(terms.max_body_bytes)
    added = [line for account in accounts if not account.is_shipped for line in _provider(account)]
    return _with_values(text, shipped, values) + "\n".join(["", *added] if added else []) + ("\n" if added else "")


def _provider(account: Account) -> list[str]:
    lines = [f"  {account.name}:" + (f" # {account.comment}" if account.comment else "")]
    lines += [f"    kind: {account.kind}", f"    base_url: {quoted(account.base_url)}"]
    if account.variable is not None:
        lines.append(f"    api_key_env: {account.variable}")
    if account.apis != {Api.CHAT} and account.kind == "openai_compatible":
        lines.append(f"    apis: [{', '.join(api.value for api in Api if api in account.apis)}]")
    return [*lines, ""]


def _with_values(text: str, document: Document, values: Mapping[KeyPath, str]) -> str:
    """The text with single plain values replaced where they stand; comments stay."""
    lines = text.split("\n")
    for path, value in values.items():
        line, column = document.values[path]
        old = lines[line - 1][column - 1 :].split(" ")[0]
        lines[line - 1] = lines[line - 1][: column - 1] + value + lines[line - 1][column - 1 + len(old) :]
    return "\n".join(lines)


# models.yaml


def _models(text: str, shipped: Document, models: Mapping[str, NewModel], today: date) -> str:
    lines = text.split("\n")
    additions = []  # at which line of the shipped file, and what
    for model in models.values():
        if model.is_shipped and model.deployments:
            line, _ = shipped.values["models", model.name, "deployments", 0]
            added = [row for each in model.deployments.values() for row in _deployment(each, model, today)]
            additions.append((line - 1, added))
    for line, added in sorted(additions, reverse=True):
        lines[line:line] = added
    new = [row for model in models.values() if not model.is_shipped for row in ("", *_model(model, today))]
    return "\n".join(lines) + "\n".join([*new, ""] if new else [])


def _model(model: NewModel, today: date) -> list[str]:
    check = f"  # Imported. Check: {', '.join(model.guessed)}." if model.guessed else "  # Imported."
    lines = [check, f"  {quoted(model.name)}:"]
    if model.api != Api.CHAT:
        lines.append(f"    apis: [{model.api.value}]")
    lines.append(f"    context_tokens: {model.context_tokens}")
    if model.api == Api.CHAT:
        lines.append(f"    max_output_tokens: {model.max_output_tokens}")
        lines.append(f"    capabilities: [{', '.join(model.capabilities)}]")
    lines.append("    deployments:")
    return [*lines, *(row for each in model.deployments.values() for row in _deployment(each, model, today))]


def _deployment(deployment: NewDeployment, model: NewModel, today: date) -> list[str]:
    lines = [f"      - provider: {deployment.provider}"]
    if deployment.upstream_model != model.name:
        lines.append(f"        upstream_model: {quoted(deployment.upstream_model)}")
    if deployment.prices:
        lines.append("        prices:")
    for price in deployment.prices:
        lines += [f"          {row}" for row in prices.price_lines(price, today=today)]
    return lines


# What is left to do by hand


def _to_do(accounts: Accounts, taken: Deployments, *, has_text: bool) -> list[str]:
    told = []
    for account in accounts.used():
        if account.variable in accounts.literals:
            where = spelled(accounts.literals[account.variable])
            told.append(f"set {account.variable} to the key that stands in {where}: it is not copied")
        elif account.variable is not None:
            told.append(f"set {account.variable}, the key of provider {account.name}")
        if account.comment:
            told.append(f"write the address of provider {account.name} into penstock.yaml: {account.comment}")
    told += [
        f"{each} has no price, so it is never chosen: add `prices` to it in models.yaml" for each in taken.unpriced
    ]
    guessed = [model.name for model in taken.models.values() if model.guessed and not model.is_shipped]
    if guessed:
        told.append(f"check in models.yaml what was not known (it says which) of {', '.join(guessed)}")
    if not has_text:
        told.append(
            "nothing that writes text and has a price could be converted: `auto` chooses among shipped models at "
            "OpenRouter; set OPENROUTER_API_KEY"
        )
    return told
