"""The providers that deployments need: an address and a key each, and the names they get in penstock.yaml.

A key that is written out in the config is never kept: only that two deployments have the same one, and the name of the
variable that it must be put into.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from router.apis import Api
from router.catalog.catalog import ProviderKind
from router.cli.litellm.findings import Path
from router.cli.litellm.names import slug
from router.cli.litellm.providers import SPOKEN, Spoken, is_private, kind_at

_FROM_ENVIRONMENT = "os.environ/"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SERVICE_LABELS = frozenset({"api", "www", "gateway", "llm", "inference"})
# Of OpenAI's own API, beside chat completions.
_OF_OPENAI = (Api.CHAT, Api.RESPONSES, Api.EMBEDDINGS, Api.MODERATIONS)


def variable_in(value: object) -> str | None:
    """The variable that `os.environ/NAME` names, if that is what a value is."""
    if not isinstance(value, str) or not value.startswith(_FROM_ENVIRONMENT):
        return None
    name = value.removeprefix(_FROM_ENVIRONMENT).strip()
    return name if _VARIABLE.fullmatch(name) else None


@dataclass(frozen=True, slots=True)
class Key:
    """Where the config has a key from. `literal` is the secret itself: it is compared, and never told."""

    variable: str | None = None
    literal: str | None = field(default=None, repr=False)


def key_in(value: object) -> Key:
    variable = variable_in(value)
    if variable is not None:
        return Key(variable=variable)
    return Key(literal=str(value)) if value not in (None, "") else Key()


@dataclass(slots=True)
class Account:
    """A provider of penstock.yaml."""

    name: str
    kind: ProviderKind
    base_url: str
    variable: str | None
    is_shipped: bool = False
    is_own_machine: bool = False
    comment: str = ""
    apis: set[Api] = field(default_factory=lambda: {Api.CHAT})


@dataclass(frozen=True, slots=True)
class Address:
    """An address of the config as penstock.yaml may have it."""

    url: str
    is_placeholder: bool = False  # the config names a variable, and Penstock takes addresses from its file only
    lost: str = ""  # what was left out of it


def address_in(value: object, prefix: str) -> Address | None:
    """The address that `api_base` holds; None if it holds none."""
    if (variable := variable_in(value)) is not None:
        return Address(f"https://{slug(variable.replace('_', '-'))}.invalid/v1", is_placeholder=True)
    if not isinstance(value, str):
        return None
    try:
        parts = urlsplit(value.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or port == 0 or not host.isprintable() or " " in value.strip():
        return None
    netloc = parts.netloc.rpartition("@")[2]
    lost = "the user and password in it" if "@" in parts.netloc else ""
    lost = lost or ("what follows its ?" if parts.query or parts.fragment else "")
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    if prefix in ("ollama", "ollama_chat") and not path.endswith("/v1"):
        path += "/v1"  # where Ollama speaks the OpenAI API
    return Address(f"{parts.scheme}://{netloc}{path}", lost=lost)


class Accounts:
    """The providers so far. One address with one key is one provider."""

    def __init__(self, shipped: Mapping[str, Account]) -> None:
        self._all: dict[str, Account] = dict(shipped)
        self._used: dict[tuple[str, Key], Account] = {}
        self.literals: dict[str, Path] = {}  # variable → where the config has the key that belongs into it

    def used(self) -> list[Account]:
        """Those that something is served by, in the order of their names."""
        return sorted({id(each): each for each in self._used.values()}.values(), key=lambda each: each.name)

    def at(self, prefix: str, spoken: Spoken, address: Address, key: Key, where: Path) -> Account:
        """The provider for a deployment; `where`: of its key in the config."""
        if key == Key() and not (spoken.is_own_machine or is_private(address.url)):
            key = Key(variable=spoken.key_env)
        if (known := self._used.get((address.url, key))) is not None:
            return known
        account = self._shipped_at(address.url) or self._new(prefix, spoken, address)
        account.variable = key.variable
        if key.literal is not None:
            account.variable = self._variable_for(account, spoken)
            self.literals[account.variable] = where
        if account.variable is None and account.kind != "openai_compatible":
            account.variable = spoken.key_env
        self._used[address.url, key] = account
        return account

    def _shipped_at(self, url: str) -> Account | None:
        """The shipped provider at an address, for the first key; another key is another provider."""
        used = self.used()
        free = (each for each in self._all.values() if each.is_shipped and each not in used)
        return next((each for each in free if each.base_url == url), None)

    def _new(self, prefix: str, spoken: Spoken, address: Address) -> Account:
        kind = kind_at(prefix, address.url)
        is_usual = spoken.base_url is not None and address.url.startswith(spoken.base_url)
        is_own = not address.is_placeholder and (is_private(address.url) or (is_usual and spoken.is_own_machine))
        name = slug(_called(prefix, address.url, is_usual=is_usual, is_own=is_own), self._all, instead="server")
        account = Account(name, kind, address.url, None, is_own_machine=is_own)
        if address.is_placeholder:
            account.comment = "the address that LiteLLM read from a variable; write it here"
        if prefix == "openai" and is_usual:
            account.apis = set(_OF_OPENAI)
        self._all[name] = account
        return account

    def _variable_for(self, account: Account, spoken: Spoken) -> str:
        taken = {each.variable for each in self._all.values() if each is not account} | set(self.literals)
        usual = spoken.key_env if account.base_url == spoken.base_url else None
        own = f"{account.name.upper().replace('-', '_')}_API_KEY"
        own = own if _VARIABLE.fullmatch(own) else f"KEY_{own}"
        numbered = (f"{own}_{number}" for number in range(2, len(taken) + 3))
        return next(each for each in (usual, own, *numbered) if each is not None and each not in taken)


def _called(prefix: str, url: str, *, is_usual: bool, is_own: bool) -> str:
    if is_usual:
        return "ollama" if prefix == "ollama_chat" else prefix
    if is_own:
        return "local" if prefix == "openai" or not SPOKEN[prefix].is_own_machine else prefix.removesuffix("_chat")
    labels = [label for label in (urlsplit(url).hostname or "").split(".") if label not in _SERVICE_LABELS]
    return labels[0] if labels else prefix
