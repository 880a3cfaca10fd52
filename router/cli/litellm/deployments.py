"""`model_list`: each entry becomes a deployment of a model of the catalog, or a finding that says why not.

Keys are those of `LiteLLMParamsTypedDict`, `GenericLiteLLMParams` and `ModelInfo` in LiteLLM 1.110.2
(`types/router.py`, read 2026-11-30).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from router.apis import Api
from router.catalog.catalog import Effort
from router.cli.litellm import prices
from router.cli.litellm.accounts import Account, Accounts, address_in, key_in
from router.cli.litellm.findings import Findings, Path, Verdict, name
from router.cli.litellm.known import OF_DEPLOYMENTS, OF_INFO, Note, note_on
from router.cli.litellm.names import Names, catalog_name
from router.cli.litellm.prices import OwnPrice
from router.cli.litellm.providers import ELSEWHERE, SPOKEN, Spoken, prefix_and_name

ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")

# Our choices where nothing is known; the same that `penstock init` writes for a server of one's own.
_CONTEXT_TOKENS = 32_768
_OUTPUT_TOKENS = 8_192
_MOST_TOKENS = 1_000_000_000
_LONGEST_FIRST_TOKEN_S = 600

# Families whose models see pictures, or think: held against `supports_vision` and `supports_reasoning` of LiteLLM's
# list of prices (1.110.2, read 2026-11-30). What is not listed here may still do so: the entry says to check.
_SEES = re.compile(
    r"anthropic/claude-(?!2|instant)|google/gemini-|openai/(gpt-(4o|4\.1|4-turbo|5|6)(?!.*audio)|o1$|o1-pro|o3$|o3-pro|o4)"
)
_THINKS = re.compile(
    r"anthropic/claude-(opus-|sonnet-|haiku-|fable-|mythos-|3\.7)|google/gemini-(2\.5|3|4)|openai/(gpt-[56]|o[134])"
)
_CAPABILITIES: Mapping[str, str] = {
    "supports_function_calling": "tools",
    "supports_response_schema": "json_schema",
    "supports_vision": "image_input",
    "supports_reasoning": "reasoning",
}
_TEXT_CAPABILITIES = ("tools", "json_object", "json_schema")

_MODES: Mapping[str, Api] = {
    "chat": Api.CHAT,
    "completion": Api.CHAT,
    "responses": Api.CHAT,
    "embedding": Api.EMBEDDINGS,
    "moderation": Api.MODERATIONS,
}
_MODE_BY_NAME = (
    (re.compile(r"embed|(^|/)bge-|(^|/)e5-|voyage"), "embedding"),
    (re.compile(r"moderation"), "moderation"),
    (re.compile(r"rerank"), "rerank"),
    (re.compile(r"whisper|transcri"), "audio_transcription"),
    (re.compile(r"(^|[-/])tts"), "audio_speech"),
    (re.compile(r"dall-e|stable-diffusion|imagen|flux|gpt-image|sora"), "image_generation"),
    (re.compile(r"realtime"), "realtime"),
)


@dataclass(frozen=True, slots=True)
class Serving:
    """A deployment of a group: what the group's clients may be served by."""

    model: str  # of the catalog
    provider: str
    api: Api
    weight: Decimal | None = None
    order: int | None = None
    max_output_tokens: int | None = None  # where a client names none
    first_token_s: Decimal | None = None
    effort: Effort | None = None


@dataclass(slots=True)
class NewDeployment:
    provider: str
    upstream_model: str
    prices: tuple[OwnPrice, ...] = ()


@dataclass(slots=True)
class NewModel:
    """An entry of models.yaml, or what is added to the shipped one."""

    name: str
    api: Api = Api.CHAT
    context_tokens: int = _CONTEXT_TOKENS
    max_output_tokens: int = _OUTPUT_TOKENS
    capabilities: tuple[str, ...] = _TEXT_CAPABILITIES
    is_shipped: bool = False
    guessed: tuple[str, ...] = ()
    deployments: dict[str, NewDeployment] = field(default_factory=dict)  # by provider; beside the shipped ones


@dataclass(frozen=True, slots=True)
class Shipped:
    """The shipped models.yaml, as far as it matters here."""

    upstream: Mapping[str, Mapping[str, str]]  # model → provider → what it calls the model
    apis: Mapping[str, Api]


@dataclass(slots=True)
class _Entry:
    """One entry of `model_list` on its way."""

    path: Path
    group: str
    params: dict[str, object]
    info: dict[str, object]
    beside: tuple[str, ...]  # keys beside model_name, litellm_params and model_info
    prefix: str
    upstream: str
    api: Api
    said: set[Path] = field(default_factory=set)


class Deployments:
    """Takes the entries one after the other; what they come to is in its fields."""

    def __init__(
        self, names: Names, shipped: Shipped, accounts: Accounts, findings: Findings, *, today: date, source: str
    ) -> None:
        self._names = names
        self._shipped = shipped
        self._accounts = accounts
        self._findings = findings
        self._today = today
        self._source = source
        self.groups: dict[str, list[Serving]] = {}
        self.models: dict[str, NewModel] = {}
        self.unpriced: list[str] = []  # deployments that would never be chosen
        self.priced: set[str] = set()  # models that can be

    def take_all(self, entries: object, credentials: Mapping[str, Mapping[str, object]]) -> None:
        if not isinstance(entries, list):
            if entries is not None:
                self._findings.no_equal(("model_list",), "expected a list of deployments")
            return
        for number, entry in enumerate(entries):
            self._take(("model_list", number), entry, credentials)

    def _take(self, path: Path, raw: object, credentials: Mapping[str, Mapping[str, object]]) -> None:
        entry = self._read(path, raw, credentials)
        if isinstance(entry, str):
            self._findings.no_equal(path, entry)
        elif "*" in entry.group or "*" in entry.upstream:
            self._wildcard(entry)
        else:
            self._single(entry)

    def _read(self, path: Path, raw: object, credentials: Mapping[str, Mapping[str, object]]) -> "_Entry | str":
        """The entry, or why it has no equal."""
        if not isinstance(raw, dict) or not isinstance(raw.get("model_name"), str):
            return "expected a mapping with model_name and litellm_params"
        params, info = raw.get("litellm_params"), raw.get("model_info") or {}
        model = params.get("model") if isinstance(params, dict) else None
        if not isinstance(params, dict) or not isinstance(model, str) or not model:
            return "it names no litellm_params.model, so nobody knows what it serves"
        if not isinstance(info, dict):
            return "expected a mapping as model_info"
        group = raw["model_name"]
        if not all(map(str.isprintable, (group, model))):
            return "its names hold characters that cannot be shown"
        credential = params.get("litellm_credential_name")
        params = {**(credentials.get(credential, {}) if isinstance(credential, str) else {}), **params}
        custom = params.get("custom_llm_provider")
        prefix, upstream = prefix_and_name(model, custom if isinstance(custom, str) else None)
        if model == "*":  # whatever a client names, at whoever LiteLLM takes it for
            prefix = "openrouter"
        if prefix not in SPOKEN and prefix not in ELSEWHERE:
            return _why_unknown(prefix, model, is_at_openrouter=self._names.is_known(model))
        mode = self._mode(info, upstream)
        if mode not in _MODES:
            return f"{name(mode)} is not served: text, embeddings and moderations are (docs/clients.md)"
        if "*" not in group and not ALIAS.fullmatch(group):
            return (
                f"the name {name(group)!r} cannot be an alias: letters, digits and . _ : / @ - are allowed, 128 at most"
            )
        beside = tuple(key for key in raw if key not in ("model_name", "litellm_params", "model_info"))
        return _Entry(path, group, params, info, beside, prefix, upstream, _MODES[mode])

    @staticmethod
    def _mode(info: Mapping[str, object], upstream: str) -> str:
        told = info.get("mode")
        if isinstance(told, str):
            return told
        return next((mode for pattern, mode in _MODE_BY_NAME if pattern.search(upstream.lower())), "chat")

    # One deployment

    def _single(self, entry: _Entry) -> None:
        found = self._elsewhere(entry) if entry.prefix in ELSEWHERE else self._spoken(entry)
        if isinstance(found, str):
            self._findings.no_equal(entry.path, found)
            return
        model, account = found
        serving = self._serving(entry, model, account)
        is_again = any((each.model, each.provider) == (serving.model, serving.provider) for each in self._of(entry))
        if is_again:
            self._say(
                entry,
                ("model_name",),
                Verdict.APPROXIMATED,
                "the same model, address and key as another one of its group: one deployment",
            )
        else:
            self._of(entry).append(serving)
            self._say(entry, ("model_name",), Verdict.CONVERTED, f"alias {name(entry.group)}")
        self._say_rest(entry, model)

    def _of(self, entry: _Entry) -> list[Serving]:
        return self.groups.setdefault(entry.group, [])

    def _elsewhere(self, entry: _Entry) -> tuple[NewModel, Account] | str:
        """A model of a provider whose API is not spoken, as OpenRouter has it."""
        base = entry.info.get("base_model")
        called = base if isinstance(base, str) else entry.upstream
        found = self._names.meant(called, ELSEWHERE[entry.prefix])
        if found is None or self._shipped.apis.get(found, entry.api) != entry.api:
            return (
                f"Penstock does not speak the API of {entry.prefix}, and what OpenRouter calls {name(called)} is not "
                "known; find it there and add it to models.yaml, or put a server that speaks the OpenAI API before it"
            )
        spoken = SPOKEN["openrouter"]
        address = address_in(spoken.base_url, "openrouter")
        assert address is not None
        account = self._accounts.at("openrouter", spoken, address, key_in(f"os.environ/{spoken.key_env}"), entry.path)
        model = self._model(found, entry, account, found)
        self._say(
            entry,
            ("litellm_params", "model"),
            Verdict.APPROXIMATED,
            f"Penstock does not speak the API of {entry.prefix}: {found} is asked at OpenRouter, by its contract and "
            f"prices, once {spoken.key_env} is set",
        )
        if "base_model" in entry.info:
            self._say(entry, ("model_info", "base_model"), Verdict.CONVERTED, f"which model it is: {found}")
        for key in ("api_key", "api_base"):
            if key in entry.params:
                self._say(entry, ("litellm_params", key), Verdict.NO_EQUAL, "not needed at OpenRouter, and not copied")
        return model, account

    def _spoken(self, entry: _Entry) -> tuple[NewModel, Account] | str:
        spoken = SPOKEN[entry.prefix]
        account = self._account(entry, spoken)
        if isinstance(account, str):
            return account
        model = self._model(self._called(entry, spoken, account), entry, account, entry.upstream)
        what = f"{model.name} at {account.name}"
        if account.is_own_machine and not model.is_shipped:
            self._say(
                entry, ("litellm_params", "model"), Verdict.CONVERTED, f"{what}, for nothing: put in what it costs"
            )
        else:
            self._say(entry, ("litellm_params", "model"), Verdict.CONVERTED, what)
        if "base_model" in entry.info:
            self._say(entry, ("model_info", "base_model"), Verdict.CONVERTED, f"which model it is: {model.name}")
        return model, account

    def _account(self, entry: _Entry, spoken: Spoken) -> Account | str:
        base = next((key for key in ("api_base", "base_url") if entry.params.get(key)), None)
        written = spoken.base_url if base is None else entry.params[base]
        if written is None:
            return f"{entry.prefix} has no address of its own, and the entry names none in api_base"
        address = address_in(written, entry.prefix)
        if address is None:
            return "its api_base is no address such as https://example.com/v1"
        account = self._accounts.at(
            entry.prefix,
            spoken,
            address,
            key_in(entry.params.get("api_key")),
            (*entry.path, "litellm_params", "api_key"),
        )
        account.apis.add(entry.api)
        if base is not None:
            self._say_address(entry, base, account, address.lost, is_placeholder=address.is_placeholder)
        if "api_key" in entry.params:
            self._say_key(entry, account)
        return account

    def _say_address(self, entry: _Entry, key: str, account: Account, lost: str, *, is_placeholder: bool) -> None:
        where = ("litellm_params", key)
        if is_placeholder:
            self._say(
                entry,
                where,
                Verdict.APPROXIMATED,
                f"addresses are not read from variables: write it into penstock.yaml, provider {account.name}",
            )
        elif lost:
            self._say(entry, where, Verdict.APPROXIMATED, f"base_url of provider {account.name}, without {lost}")
        else:
            self._say(entry, where, Verdict.CONVERTED, f"base_url of provider {account.name}")

    def _say_key(self, entry: _Entry, account: Account) -> None:
        where = ("litellm_params", "api_key")
        if account.variable is None:
            self._say(entry, where, Verdict.APPROXIMATED, f"provider {account.name} is asked without a key")
        elif account.variable in self._accounts.literals:
            self._say(entry, where, Verdict.APPROXIMATED, f"a secret is not copied: put it into {account.variable}")
        else:
            self._say(entry, where, Verdict.CONVERTED, f"api_key_env: {account.variable} of provider {account.name}")

    def _called(self, entry: _Entry, spoken: Spoken, account: Account) -> str:
        """The catalog's name of the model that a server calls `entry.upstream`."""
        base = entry.info.get("base_model")
        called = base if isinstance(base, str) else entry.upstream
        if account.kind == "openrouter":
            return called if "/" in called else self._names.meant(called) or catalog_name("openrouter", called)
        if account.kind == "deepseek":
            same = (model for model, at in self._shipped.upstream.items() if at.get("deepseek") == called)
            return next(same, None) or catalog_name("deepseek", called)
        if account.is_own_machine and not isinstance(base, str):
            return catalog_name("local", called)  # its weights are likely quantised, so its quality is its own
        makers = (spoken.maker,) if spoken.maker is not None else ()
        found = self._names.meant(called, makers, by_weights=spoken.serves_open_weights)
        if found is not None and self._shipped.apis.get(found, entry.api) == entry.api:
            return found
        return catalog_name(spoken.maker if spoken.maker and account.name == entry.prefix else account.name, called)

    def _model(self, called: str, entry: _Entry, account: Account, upstream: str) -> NewModel:
        """The entry of models.yaml, with a deployment at the provider."""
        model = self.models.get(called)
        if model is not None and (model.api != entry.api or self._is_taken(model, account, upstream)):
            model = None  # another version of it, or another thing altogether: it gets a name of its own
            called = catalog_name(account.name, upstream.replace("/", "-"))
        model = model or self.models.get(called) or self._new(called, entry, upstream)
        self.models[model.name] = model
        if self._shipped.upstream.get(model.name, {}).get(account.name) != upstream:
            if account.name not in model.deployments:
                model.deployments[account.name] = self._deployment(model, entry, account, upstream)
        else:
            self.priced.add(model.name)
        return model

    def _is_taken(self, model: NewModel, account: Account, upstream: str) -> bool:
        shipped = self._shipped.upstream.get(model.name, {}).get(account.name)
        here = model.deployments.get(account.name)
        other = shipped if here is None else here.upstream_model
        return other is not None and other != upstream

    def _new(self, called: str, entry: _Entry, upstream: str) -> NewModel:
        if self._names.is_shipped(called):
            return NewModel(called, api=entry.api, is_shipped=True)
        guessed = []
        spoken = SPOKEN.get(entry.prefix)
        at = prices.model_at("openrouter", called) if "/" in called else None
        at = (
            at
            if at is not None and at.context_window
            else prices.model_at(spoken.prices or "", upstream)
            if spoken
            else None
        )
        context = _tokens(entry.info.get("max_input_tokens")) or (at.context_window if at is not None else None)
        if context is None:
            context = _CONTEXT_TOKENS
            guessed.append("context_tokens")
        output = _tokens(entry.info.get("max_output_tokens")) or _tokens(entry.info.get("max_tokens"))
        if output is None:
            output = min(_OUTPUT_TOKENS, context)
            guessed.append("max_output_tokens")
        return NewModel(
            called,
            api=entry.api,
            context_tokens=context,
            max_output_tokens=output,
            capabilities=self._capabilities(called, entry),
            guessed=(*guessed, "capabilities"),
        )

    @staticmethod
    def _capabilities(called: str, entry: _Entry) -> tuple[str, ...]:
        if entry.api != Api.CHAT:
            return ()
        known = dict.fromkeys(_TEXT_CAPABILITIES, True)
        known |= {"image_input": bool(_SEES.match(called)), "reasoning": bool(_THINKS.match(called))}
        for key, capability in _CAPABILITIES.items():
            if isinstance(entry.info.get(key), bool):
                known[capability] = bool(entry.info[key])
        return tuple(capability for capability, has in known.items() if has)

    # Prices

    def _deployment(self, model: NewModel, entry: _Entry, account: Account, upstream: str) -> NewDeployment:
        found = self._price(entry, account, upstream)
        if found is None and account.kind == "openai_compatible":
            self.unpriced.append(f"{model.name} at {account.name}")
        else:
            self.priced.add(model.name)
        return NewDeployment(account.name, upstream, () if found is None else (found,))

    def _price(self, entry: _Entry, account: Account, upstream: str) -> OwnPrice | None:
        writes_text = entry.api == Api.CHAT
        rates = {
            at: number
            for source in (entry.info, entry.params)
            for key, value in source.items()
            if (at := prices.rate_and_threshold(key)) is not None and (number := _number(value)) is not None
        }
        own = prices.from_config(rates, source=f"LiteLLM config {self._source}", writes_text=writes_text)
        if own is not None:
            return own
        if account.kind != "openai_compatible":
            return None  # its prices are known while running, and from genai-prices
        if account.is_own_machine:
            return prices.free("our own machine; put in what it costs")
        spoken = SPOKEN[entry.prefix]
        if spoken.prices is None:
            return None
        base = entry.info.get("base_model")
        called = base if isinstance(base, str) else upstream
        return prices.published(spoken.prices, called, today=self._today, writes_text=writes_text)

    # Findings of the keys of an entry

    def _serving(self, entry: _Entry, model: NewModel, account: Account) -> Serving:
        params = entry.params
        limit = _tokens(params.get("max_tokens")) or _tokens(params.get("max_completion_tokens"))
        weight, order, first = (_number(params.get(key)) for key in ("weight", "order", "stream_timeout"))
        effort = params.get("reasoning_effort")
        return Serving(
            model=model.name,
            provider=account.name,
            api=entry.api,
            weight=weight if weight is not None and weight > 0 else None,
            order=None if order is None else int(order),
            max_output_tokens=limit if entry.api == Api.CHAT else None,
            first_token_s=first if first is not None and 0 < first <= _LONGEST_FIRST_TOKEN_S else None,
            effort=Effort(effort) if isinstance(effort, str) and effort in {each.value for each in Effort} else None,
        )

    def _say(self, entry: _Entry, where: Path, verdict: Verdict, what: str) -> None:
        entry.said.add(where)
        self._findings.add((*entry.path, *where), verdict, what)

    def _say_rest(self, entry: _Entry, model: NewModel) -> None:
        for key in entry.params:
            if ("litellm_params", key) not in entry.said:
                note = self._price_note(key, model) or note_on(key, OF_DEPLOYMENTS)
                self._say(entry, ("litellm_params", key), note.verdict, note.what)
        for key in entry.beside:
            note = note_on(key, OF_DEPLOYMENTS)
            self._say(entry, (key,), note.verdict, note.what)
        for key in entry.info:
            if ("model_info", key) not in entry.said:
                note = self._price_note(key, model) or self._fact_note(key, model) or note_on(key, OF_INFO)
                self._say(entry, ("model_info", key), note.verdict, note.what)

    def _price_note(self, key: str, model: NewModel) -> Note | None:
        if prices.rate_and_threshold(key) is None:
            return None
        own = [price for each in model.deployments.values() for price in each.prices if self._source in price.source]
        if own:
            return Note(
                Verdict.CONVERTED, f"prices of {model.name} in models.yaml, per million tokens, from {self._today} on"
            )
        return Note(Verdict.APPROXIMATED, f"the price of {model.name} that its provider publishes is used instead")

    @staticmethod
    def _fact_note(key: str, model: NewModel) -> Note | None:
        is_fact = key in ("max_input_tokens", "max_output_tokens", "max_tokens", "mode", *_CAPABILITIES)
        if not is_fact:
            return None
        if model.is_shipped and key != "mode":
            return Note(Verdict.APPROXIMATED, f"what models.yaml says of {model.name} stands")
        return Note(Verdict.CONVERTED, f"said of {model.name} in models.yaml")

    # Wildcards

    def _wildcard(self, entry: _Entry) -> None:
        """The shipped models that the pattern means get an alias each."""
        if not entry.upstream.endswith("*") or entry.group.count("*") != 1 or not entry.group.endswith("*"):
            self._findings.no_equal(entry.path, "Penstock knows models by name: list those that are meant")
            return
        is_spoken = entry.prefix in SPOKEN
        maker = SPOKEN[entry.prefix].maker if is_spoken else None
        makers = ELSEWHERE[entry.prefix] if not is_spoken else ((maker,) if maker else ())
        if entry.prefix != "openrouter" and not makers:
            self._findings.no_equal(
                entry.path,
                f"models.yaml has none that only {entry.prefix} serves: list the models that are meant in it",
            )
            return
        meant = self._names.of_makers(makers)
        served = [model for model in meant if self._alias_for(entry, model) and self._serve_named(entry, model)]
        if not served:
            self._findings.no_equal(entry.path, "models.yaml knows no model that it means; list them there by name")
            return
        self._findings.approximated(
            entry.path,
            "no pattern, but an alias for each model that models.yaml knows of it; add others by name: "
            + ", ".join(served),
        )

    def _alias_for(self, entry: _Entry, model: str) -> str | None:
        called = model if entry.prefix == "openrouter" else model.partition("/")[2]
        if entry.prefix == "anthropic":
            called = called.replace(".", "-")  # as Anthropic spells its versions
        alias = entry.group.removesuffix("*") + called
        return alias if ALIAS.fullmatch(alias) else None

    def _serve_named(self, entry: _Entry, model: str) -> bool:
        alias = self._alias_for(entry, model)
        assert alias is not None
        if any(each.model == model for each in self.groups.get(alias, ())):
            return True
        api = self._shipped.apis[model]
        upstream = model if entry.prefix == "openrouter" else model.partition("/")[2]
        named = _Entry(entry.path, alias, entry.params, {}, (), entry.prefix, upstream, api)
        quiet = Deployments(
            self._names, self._shipped, self._accounts, Findings(), today=self._today, source=self._source
        )
        quiet.models, quiet.groups = self.models, self.groups
        quiet.unpriced, quiet.priced = self.unpriced, self.priced
        quiet._single(named)
        return alias in self.groups


def _why_unknown(prefix: str, model: str, *, is_at_openrouter: bool) -> str:
    if prefix == "auto_router":
        return "no router of its own is needed: a policy chooses among models, and `auto` does (docs/policies.md)"
    if is_at_openrouter:
        return f"OpenRouter has a model of this name: say openrouter/{name(model)} and convert again"
    if not prefix:
        return f"whose model {name(model)} is cannot be told without a prefix, such as openai/"
    return (
        f"{name(prefix)} is not known here; if it speaks the OpenAI API, add it to penstock.yaml as openai_compatible, "
        "else look for the model at OpenRouter"
    )


def _tokens(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 1 <= number <= _MOST_TOKENS else None


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return Decimal(value)


def distinct(servings: Sequence[Serving]) -> list[str]:
    """The models of a group, each once, in the order of the config."""
    return list(dict.fromkeys(each.model for each in servings))
