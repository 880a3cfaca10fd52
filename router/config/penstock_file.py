"""`penstock.yaml` as `Settings`."""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

from router.catalog.catalog import SPOKEN, DataHandling, Provider, ProviderName
from router.config.files import Files
from router.config.schema.penstock import (
    ADMIN,
    AdminSection,
    AdminTokenSection,
    LogsSection,
    OutageSection,
    PenstockFile,
    PromptKeySection,
    PromptsSection,
    ProviderSection,
    RedisSection,
    ServerSection,
)
from router.config.schema.values import SOCKET
from router.config.sentences import masked
from router.config.settings import secret, state_directory
from router.config.snapshot import (
    AdminToken,
    Listen,
    Logs,
    OverloadLimits,
    PriceRefresh,
    PromptKey,
    PromptSealing,
    ProviderAccess,
    QualityLearning,
    Server,
    Settings,
    StreamTimes,
    Timeouts,
    UnixSocket,
)
from router.config.traces import traces
from router.quotas import OutageAllowance
from router.roles import role_named
from router.units import nano_usd

_KEY = re.compile("[0-9a-fA-F]{64}")


def settings(file: PenstockFile, *, directory: Path, environment: Mapping[str, str], files: Files) -> Settings:
    """The settings of a validated file; paths in it are relative to the configuration's `directory`."""
    tokens = _tokens(file.admin)
    sealing_keys = () if file.prompts is None else file.prompts.keys
    named = (
        *(each.token_file for each in tokens),
        file.text_head,
        *(each.api_key_file for each in file.providers.values()),
        *(each.key_file for each in sealing_keys),
    )
    return Settings(
        listen=_listen(file.listen),
        admin=_admin(file.admin.listen),
        admin_tokens=tuple(_token(each, directory, environment, files) for each in tokens),
        state_dir=state_directory(_path(file.state.directory, directory, environment), environment=environment),
        durability=file.state.durability,
        postgres=None if file.postgres is None else _server(file.postgres, directory, environment, files),
        redis=None if file.redis is None else _server(file.redis, directory, environment, files),
        allowance=None if file.redis is None else _allowance(file.redis),
        max_body_bytes=file.max_body_bytes,
        stop_grace_s=file.stop_grace_s,
        stop_notice_s=file.stop_notice_s,
        streams=StreamTimes(comment_every_s=file.streams.comment_every_s, unread_s=file.streams.unread_s),
        timeouts=Timeouts(
            connect_s=file.timeouts.connect_s,
            first_byte_s=file.timeouts.first_byte_s,
            between_bytes_s=file.timeouts.between_bytes_s,
        ),
        prices=PriceRefresh(every_s=file.prices.refresh_s or None),
        learning=QualityLearning(
            is_on=file.learning.quality,
            escalated_share=file.learning.escalated_over,
            retried_share=file.learning.retried_over,
            kept_days=file.learning.labels_days,
        ),
        text_head=_path(file.text_head, directory, environment),
        overload=OverloadLimits(under_way=file.overload.under_way, memory_bytes=file.overload.memory_bytes),
        breakers=file.breakers,
        files=tuple(path for each in named if (path := _path(each, directory, environment)) is not None),
        traces=traces(
            file.traces,
            headers_file=None if file.traces is None else _path(file.traces.headers_file, directory, environment),
            environment=environment,
            files=files,
        ),
        logs=_logs(file.logs),
        trusted_proxies=tuple(map(ip_network, file.trusted_proxies)),
        prompts=None if file.prompts is None else _sealing(file.prompts, directory, environment, files),
        providers={
            ProviderName(name): _access(ProviderName(name), section, directory, environment, files)
            for name, section in file.providers.items()
        },
    )


def _access(
    name: ProviderName, section: ProviderSection, directory: Path, environment: Mapping[str, str], files: Files
) -> ProviderAccess:
    key_file = _path(section.api_key_file, directory, environment)
    return ProviderAccess(
        provider=Provider(
            name=name,
            kind=section.kind,
            base_url=section.base_url,
            data=_data(section),
            apis=SPOKEN[section.kind] if section.apis is None else frozenset(section.apis),
            is_private=section.private_network,
        ),
        api_key=secret(variable=section.api_key_env, file=key_file, environment=environment, files=files),
        api_key_from=_origin(section.api_key_env, key_file),
    )


def _data(section: ProviderSection) -> DataHandling:
    return DataHandling(
        keeps_nothing=bool(section.zdr), may_collect=section.data_collection != "deny", region=section.region
    )


def _server(section: ServerSection, directory: Path, environment: Mapping[str, str], files: Files) -> Server:
    file = _path(section.url_file, directory, environment)
    return Server(
        url=secret(variable=section.url_env, file=file, environment=environment, files=files),
        url_from=_origin(section.url_env, file) or "",
    )


def _sealing(section: PromptsSection, directory: Path, environment: Mapping[str, str], files: Files) -> PromptSealing:
    keys = (_prompt_key(each, directory, environment, files) for each in section.keys)
    return PromptSealing(tuple(keys), section.max_bytes)


def _prompt_key(section: PromptKeySection, directory: Path, environment: Mapping[str, str], files: Files) -> PromptKey:
    file = _path(section.key_file, directory, environment)
    found = secret(variable=section.key_env, file=file, environment=environment, files=files)
    is_one = found is not None and _KEY.fullmatch(found.reveal())
    return PromptKey(section.id, found if is_one else None, _origin(section.key_env, file) or "")


def _allowance(section: RedisSection) -> OutageAllowance | None:
    if section.when_unreachable == "closed":
        return None
    outage = section.allowance or OutageSection()
    return OutageAllowance(per_mille=outage.per_mille, at_most_nano_usd=nano_usd(outage.at_most_usd))


def _logs(section: LogsSection) -> Logs:
    return Logs(section.level, None if section.format == "auto" else section.format, section.requests)


def _tokens(section: AdminSection) -> list[AdminTokenSection]:
    """All of them, the one that stands by itself included."""
    listed = section.tokens or []
    if not section.token_env and not section.token_file:
        return listed
    its = AdminTokenSection(name=ADMIN, role="owner", token_env=section.token_env, token_file=section.token_file)
    return [its, *listed]


def _token(section: AdminTokenSection, directory: Path, environment: Mapping[str, str], files: Files) -> AdminToken:
    file = _path(section.token_file, directory, environment)
    return AdminToken(
        name=section.name,
        role=role_named(section.role),
        secret=secret(variable=section.token_env, file=file, environment=environment, files=files),
        origin=_origin(section.token_env, file) or "",
    )


def _admin(address: str) -> Listen | UnixSocket:
    if address.startswith(SOCKET):
        return UnixSocket(Path(address.removeprefix(SOCKET)))
    return _listen(address)


def _listen(address: str) -> Listen:
    host, _, port = address.rpartition(":")
    return Listen(host=host.removeprefix("[").removesuffix("]"), port=int(port))


def _origin(variable: str | None, file: Path | None) -> str | None:
    """Where a secret should be, for messages. A name that looks like the secret itself, in the wrong place, is none."""
    return f"${masked(variable)}" if variable else str(file) if file else None


def _path(text: str | None, directory: Path, environment: Mapping[str, str]) -> Path | None:
    """A path as written: `~/` is the home directory, anything relative starts at the configuration's directory."""
    if text is None:
        return None
    if text.startswith("~/") and environment.get("HOME"):
        return Path(environment["HOME"]) / text.removeprefix("~/")
    return directory / text
