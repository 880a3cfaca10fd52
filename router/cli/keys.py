"""`penstock keys`: who may ask, what for, from where, for how much, and until when."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from ipaddress import ip_network
from pathlib import Path

import click

from router.apis import Api
from router.assembly.admin import write_down
from router.assembly.clock import utc_now
from router.assembly.stores import existing_store, open_pepper, open_store
from router.audit import Act
from router.catalog.catalog import ModelName
from router.cli.configuration import books_options, complete_team, hint_at_demo, known_team, loaded
from router.cli.output import as_json, table
from router.config.snapshot import Team
from router.errors import InvalidRequest
from router.keys import ApiKey, KeyId, KeyScope, Network, PresentedKey, digest, mint, written
from router.quotas import Budget, Per, WhenSpent
from router.storage.browsing import Browser
from router.storage.store import Store
from router.units import nano_usd, usd_text

_MOST_USD = Decimal(9_000_000)  # exact in the doubles of Redis' Lua, as budgets of files are held to


@click.group()
def keys() -> None:
    """Create, list, rotate and revoke API keys. A running server takes a change up within a second."""


@keys.command()
@books_options
@click.option("--team", required=True, shell_complete=complete_team, help="Who pays for what the key does.")
@click.option("--name", default="", help="What it is for, e.g. the application's name.")
@click.option("--models", help="Only these may answer it, whatever alias leads there: names, separated by commas.")
@click.option("--aliases", help="What its clients may write in `model`: aliases of the team, names of models.")
@click.option("--apis", help=f"By which it may ask: {', '.join(Api)}.")
@click.option("--budget-usd", multiple=True, help="What it may spend, within its team's. Repeatable with --per.")
@click.option(
    "--per",
    multiple=True,
    type=click.Choice([each.value for each in Per]),
    help="The window of --budget-usd. [default: month]",
)
@click.option("--from", "sources", multiple=True, metavar="CIDR", help="Only from this network. Repeatable.")
@click.option("--expires", help="Until when: after so many hours or days (24h, 90d), or a date (2027-01-31).")
@click.option("--json", "is_json", is_flag=True, help="For programs.")
def create(
    config: Path | None,
    team: str,
    name: str,
    models: str | None,
    aliases: str | None,
    apis: str | None,
    budget_usd: tuple[str, ...],
    per: tuple[str, ...],
    sources: tuple[str, ...],
    expires: str | None,
    *,
    is_sandbox: bool,
    is_json: bool,
) -> None:
    """Create a key and print it, once: only a digest is kept.

    Without --models, --aliases, --apis, --budget-usd and --from it may do whatever its team may; no option lets it do
    more (docs/keys.md).

    Example: penstock keys create --team search --name website --models deepseek/deepseek-v4-flash --budget-usd 20
    """
    snapshot = loaded(config, is_sandbox=is_sandbox)
    hint_at_demo(snapshot)
    owner = known_team(snapshot, team)
    now = utc_now()
    scope = KeyScope(
        models=_models(snapshot.teams[owner], models),
        aliases=_aliases(snapshot.teams[owner], aliases),
        apis=_apis(apis),
        networks=tuple(map(_network, sources)),
        budgets=_budgets(budget_usd, per),
    )
    key = mint(secrets.token_bytes)
    record = ApiKey(
        id=key.id,
        team=owner,
        name=name,
        digest=digest(key, open_pepper(snapshot.settings)),
        created_at=now,
        expires_at=None if expires is None else _moment("--expires", expires, now),
        scope=scope,
    )
    with closing(open_store(snapshot.settings)) as store:
        bounds = ", ".join(filter(None, (*scope.told(), _until(record.expires_at))))
        write_down(snapshot.settings, store, Act.KEY_CREATED, key.id, _told(record, bounds))
        store.add(record)
    if is_json:
        click.echo(as_json({**_as_data(record, now), "key": written(key)}))
    else:
        _show_once(key, f"Key {key.id} of team {team}.")


@keys.command(name="list")
@books_options
@click.option("--team", shell_complete=complete_team, help="Only the keys of this team.")
@click.option("--json", "is_json", is_flag=True, help="For programs.")
def list_keys(config: Path | None, team: str | None, *, is_sandbox: bool, is_json: bool) -> None:
    """List the keys, what they may do and when they were last used, without their secrets.

    Last use is known to the minute, of requests that were decided upon. Example: penstock keys list --team search
    """
    now = utc_now()
    with closing(existing_store(loaded(config, is_sandbox=is_sandbox).settings)) as store:
        known = [key for key in store.all() if team is None or key.team == team]
        used = Browser(store).key_uses()
    if is_json:
        click.echo(as_json([_as_data(key, now, used) for key in known]))
    else:
        rows = [_line(key, now, used) for key in known]
        click.echo(table(("id", "team", "name", "state", "created", "expires", "last used", "may"), rows))


@keys.command()
@books_options
@click.option("--overlap", default="24h", show_default=True, help="How long the secret that it has now is good yet.")
@click.option("--json", "is_json", is_flag=True, help="For programs.")
@click.argument("key_id")
def rotate(config: Path | None, overlap: str, key_id: str, *, is_sandbox: bool, is_json: bool) -> None:
    """Give the key KEY_ID another secret and print it, once. What it may do, and what it has spent, stays.

    Both secrets are good until the overlap has passed. `--overlap 0h` ends every secret it had at once.

    Example: penstock keys rotate 8f3a0b6cd1e2f495 --overlap 48h
    """
    settings = loaded(config, is_sandbox=is_sandbox).settings
    now = utc_now()
    until = _moment("--overlap", overlap, now)
    with closing(existing_store(settings)) as store:
        known = known_key(store, key_id, now)
        if known.former is not None and now < known.former.until and now < until:
            raise InvalidRequest(
                f"Key {key_id} was rotated before, and its former secret is good until "
                f"{_minute(known.former.until)}. A key has two secrets at most: wait, or end both with --overlap 0h."
            )
        key = PresentedKey(id=known.id, secret=mint(secrets.token_bytes).secret)
        rotated = known.rotated(digest(key, open_pepper(settings)), until=until)
        write_down(settings, store, Act.KEY_ROTATED, key.id, _told(rotated, f"former secret {_until(until)}"))
        if not store.rotate(known, rotated):
            raise InvalidRequest(f"Key {key_id} was changed by somebody else at this moment. See: penstock keys list.")
    if is_json:
        click.echo(as_json({**_as_data(rotated, now), "key": written(key)}))
    else:
        former = f"is good until {_minute(until)}" if now < until else "is good no more"
        _show_once(key, f"Key {key.id} of team {known.team}: its new secret. The former one {former}.")


@keys.command()
@books_options
@click.option("--at", "moment", help="When it ends: after so many hours or days (24h, 7d), or a date. [default: now]")
@click.option("--json", "is_json", is_flag=True, help="For programs.")
@click.argument("key_id")
def revoke(config: Path | None, moment: str | None, key_id: str, *, is_sandbox: bool, is_json: bool) -> None:
    """Revoke the key KEY_ID for ever, with every secret it has. Example: penstock keys revoke 8f3a0b6cd1e2f495"""
    settings = loaded(config, is_sandbox=is_sandbox).settings
    now = utc_now()
    ends = now if moment is None else _moment("--at", moment, now)
    with closing(existing_store(settings)) as store:
        # A moment to come is an end like any other. One that has come is for ever, whatever a server's clock says.
        is_now = ends <= now
        for known in store.all():
            if known.id == key_id and known.revoked_at is None:
                write_down(settings, store, Act.KEY_REVOKED, key_id, _told(known, "" if is_now else _until(ends)))
        found = next((known for known in store.all() if known.id == key_id), None)
        is_changed = store.revoke(KeyId(key_id), now) if is_now else store.expire(KeyId(key_id), ends)
    if not is_changed:
        if found is None:
            raise no_such_key(key_id)
        if found.revoked_at is not None:
            raise InvalidRequest(f"Key {key_id} was revoked at {_minute(found.revoked_at)}; there is nothing to do.")
        raise InvalidRequest(f"Key {key_id} is not valid any longer than that. See: penstock keys list.")
    if is_json:
        click.echo(as_json({"id": key_id, "is_revoked": is_now, "ends_at": _minute(ends)}))
    else:
        click.echo(f"Key {key_id} is revoked." if is_now else f"Key {key_id} ends at {_minute(ends)}.")


def known_key(store: Store, key_id: str, now: datetime) -> ApiKey:
    """The key of that id, if it is valid. Raises InvalidRequest."""
    for key in store.all():
        if key.id == key_id:
            if not key.is_valid_at(now):
                raise InvalidRequest(f"Key {key_id} is {_state(key, now)}. Create another: penstock keys create.")
            return key
    raise no_such_key(key_id)


def no_such_key(key_id: str) -> InvalidRequest:
    """A whole key in place of its id is not repeated: it would stay in terminals and logs."""
    if key_id.startswith("psk_"):
        return InvalidRequest(
            "KEY_ID is the public id alone, which stands between psk_ and the next _. What you gave may be secret; it "
            "is not repeated here, but may stand in the history of your shell."
        )
    return InvalidRequest(f"There is no key {key_id!r}. See: penstock keys list.")


def _told(key: ApiKey, what: str) -> str:
    """What the audit log says of a key beside its id."""
    return ", ".join(filter(None, (f"team {key.team}", key.name, what)))


def _until(moment: datetime | None) -> str:
    return "" if moment is None else f"until {_minute(moment)}"


def _show_once(key: PresentedKey, about: str) -> None:
    click.echo(written(key))
    click.echo(f"{about} The key is shown this once; keep it safe.", err=True)


# What options say


def _models(team: Team, text: str | None) -> frozenset[ModelName] | None:
    if text is None:
        return None
    names = frozenset(map(ModelName, _names("--models", text)))
    _require_known("--models", names, team.models(), f"models that team {team.name} may use")
    return names


def _aliases(team: Team, text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    names = frozenset(_names("--aliases", text))
    allowed = {*team.aliases, *team.models()}
    _require_known("--aliases", names, allowed, f"aliases of team {team.name}, and its models")
    return names


def _apis(text: str | None) -> frozenset[Api] | None:
    if text is None:
        return None
    names = _names("--apis", text)
    _require_known("--apis", names, list(Api), "APIs")
    return frozenset(map(Api, names))


def _names(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InvalidRequest(f"{option} takes one or more names, separated by commas; got {text[:40]!r}.")
    return names


def _require_known(option: str, names: Collection[str], known: Collection[str], what: str) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise InvalidRequest(f"{option}: {', '.join(unknown)} is not among the {what}: {', '.join(sorted(known))}.")


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        raise InvalidRequest(
            f"--from takes a network such as 10.1.0.0/16, or one address; got {text[:60]!r}{_network_meant(text)}."
        ) from None


def _network_meant(text: str) -> str:
    """What may have been meant where an address stands in place of its network's first one."""
    try:
        return f"; its network is {ip_network(text, strict=False)}"
    except ValueError:
        return ""


def _budgets(amounts: Sequence[str], windows: Sequence[str]) -> tuple[Budget, ...]:
    if windows and len(windows) != len(amounts):
        raise InvalidRequest(f"--per stands once for each --budget-usd; got {len(amounts)} and {len(windows)} of them.")
    pairs = zip(amounts, windows or [Per.MONTH] * len(amounts), strict=True)
    return tuple(Budget(_nano_usd(amount), Per(per), WhenSpent.REJECT) for amount, per in pairs)


def _nano_usd(text: str) -> int:
    try:
        usd = Decimal(text)
    except InvalidOperation:
        usd = Decimal("NaN")
    if not usd.is_finite() or not 0 <= usd <= _MOST_USD or usd != round(usd, 9):
        raise InvalidRequest(
            f"--budget-usd takes dollars from 0 to {_MOST_USD:,}, such as 20 or 0.50; got {text[:40]!r}."
        )
    return nano_usd(usd)


def _moment(option: str, text: str, now: datetime) -> datetime:
    """What `24h`, `7d` or an ISO date stands for, seen from now on."""
    number, unit = text[:-1], text[-1:]
    if number.isascii() and number.isdigit() and len(number) <= 5 and unit in ("h", "d"):
        return now + (timedelta(hours=int(number)) if unit == "h" else timedelta(days=int(number)))
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        if moment >= now:
            return moment
    raise InvalidRequest(
        f"{option} takes hours (24h), days (7d) or an ISO date to come (2027-01-31, UTC); got {text[:40]!r}."
    )


# What is told of a key


def _as_data(key: ApiKey, now: datetime, used: Mapping[KeyId, datetime] | None = None) -> dict[str, object]:
    data: dict[str, object] = {
        "id": key.id,
        "team": key.team,
        "name": key.name,
        "state": _state(key, now),
        "created_at": _minute(key.created_at),
        "expires_at": _minute(key.expires_at),
        "revoked_at": _minute(key.revoked_at),
        "former_secret_until": _minute(key.former.until) if key.former and now < key.former.until else None,
        "scope": None if key.scope is None else _scope_as_data(key.scope),
    }
    return data if used is None else {**data, "last_used_at": _minute(used.get(key.id))}


def _scope_as_data(scope: KeyScope) -> dict[str, object]:
    return {
        "models": None if scope.models is None else sorted(scope.models),
        "aliases": None if scope.aliases is None else sorted(scope.aliases),
        "apis": None if scope.apis is None else sorted(scope.apis),
        "from": [str(each) for each in scope.networks] or None,
        "budgets": [{"limit_usd": usd_text(each.limit_nano_usd), "per": each.per} for each in scope.budgets] or None,
    }


def _line(key: ApiKey, now: datetime, used: Mapping[KeyId, datetime]) -> tuple[str, ...]:
    moments = (_minute(key.created_at), _minute(key.expires_at), _minute(used.get(key.id)))
    may = "nothing: a later version made it" if key.scope is None else ", ".join(key.scope.told())
    return (key.id, key.team, key.name, _state(key, now), *(moment or "" for moment in moments), may)


def _state(key: ApiKey, now: datetime) -> str:
    if key.is_valid_at(now):
        return "rotating" if key.former is not None and now < key.former.until else "valid"
    return "revoked" if key.revoked_at else "unreadable" if key.scope is None else "expired"


def _minute(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="minutes") if moment else None
