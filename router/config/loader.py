"""A directory of files becomes one `Snapshot`, or a `ConfigError` that lists every problem of every file.

    penstock.yaml    addresses, providers
    models.yaml      the catalog
    teams/NAME.yaml  one team each

Three passes: each file is read and its shape judged, names are looked up across files, and only if nobody complained
is anything built. Names are looked up in plain data, so the second pass works on files that failed the first.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from router.config import catalog_file, complaints, notes, penstock_file, references, team_file
from router.config.files import ON_DISK, Files
from router.config.price_data import GENAI_PRICES_VERSION
from router.config.schema.models import ModelsFile
from router.config.schema.penstock import PenstockFile
from router.config.schema.teams import TeamFile
from router.config.schema.values import Section
from router.config.sentences import masked
from router.config.settings import MAIN_FILE
from router.config.snapshot import AdminToken, Listen, Settings, Snapshot, Team
from router.config.yaml_source import START, Document, parse
from router.errors import ConfigError, Problem
from router.keys import Secret, TeamName

MODELS_FILE = "models.yaml"
TEAMS_DIRECTORY = "teams"

LEAST_TOKEN_LENGTH = 20  # characters; of hexadecimal digits, 80 bits

_File = TypeVar("_File", bound=Section)


def load(
    directory: Path, *, environment: Mapping[str, str], today: date | None = None, files: Files = ON_DISK
) -> Snapshot:
    """The configuration in `directory` of `files`, with secrets from `environment` or from the files it names.

    Dates that lie ahead of `today`, UTC's, are noted; without it none are.
    Raises ConfigError with the problems of all files, sorted by file and place; files are named as `directory` is
    spelled. Takes some 80 ms for the shipped files (November 2026).
    """
    if not files.is_directory(directory):
        raise ConfigError([Problem(str(directory), *START, "expected a directory with penstock.yaml, got none")])
    in_teams = [directory / TEAMS_DIRECTORY / name for name in files.names(directory / TEAMS_DIRECTORY)]
    main = _load_file(directory / MAIN_FILE, PenstockFile, files)
    models = _load_file(directory / MODELS_FILE, ModelsFile, files)
    teams = [_load_file(path, TeamFile, files) for path in in_teams if _is_team_file(path)]
    problems = [
        *main.problems,
        *models.problems,
        *(problem for team in teams for problem in team.problems),
        *_problems_between(main.document, models.document, [team.document for team in teams if team.document]),
        *_problems_of_team_files(directory / TEAMS_DIRECTORY, in_teams),
    ]
    if problems or main.section is None or models.section is None:
        raise _refused(sorted(set(problems), key=_place))
    settings = penstock_file.settings(main.section, directory=directory, environment=environment, files=files)
    if main.document is not None:
        unservable = (
            *_problems_of_ports(main.document, settings),
            *_problems_of_traces(main.document, settings),
            *_problems_of_prompts(main.document, settings),
            *_problems_of_keepers(teams, settings),
        )
        if unservable:
            raise _refused(unservable)
    providers = {name: access.provider for name, access in settings.providers.items()}
    return Snapshot(
        settings=settings,
        catalog=catalog_file.catalog(models.section, models.content, providers),
        teams=_teams([team.section for team in teams if team.section]),
        version=_version(directory, [main, models, *teams], settings.text_head),
        notes=tuple(_notes(main, models, teams, today)),
    )


def _refused(problems: Sequence[Problem]) -> ConfigError:
    return ConfigError([replace(each, message=masked(each.message)) for each in problems])


def warnings(snapshot: Snapshot) -> tuple[str, ...]:
    """What makes no file wrong but must be said: whom we cannot ask, what has no price, and what is of no use."""
    return (
        *_addresses_missing(snapshot.settings),
        *_secrets_missing(snapshot.settings),
        *_said_in_vain(snapshot.settings),
        *_prices_missing(snapshot),
        *map(str, snapshot.notes),
    )


@dataclass(frozen=True, slots=True)
class _Loaded(Generic[_File]):
    """One file after the first pass; `section` is there if its shape is right."""

    path: Path
    content: bytes
    document: Document | None
    section: _File | None
    problems: tuple[Problem, ...]


def _load_file(path: Path, shape: type[_File], files: Files) -> _Loaded[_File]:
    try:
        content = files.content(path)
    except FileNotFoundError:
        return _unreadable(path, "there is no such file; `config/` of the Penstock repository holds one to start from")
    except OSError as error:
        return _unreadable(path, f"the file cannot be read: {error.strerror}")
    document = parse(str(path), content)
    if document.is_faulty(()):
        return _Loaded(path, content, document, None, document.problems)
    try:
        section = shape.model_validate(document.data)
    except ValidationError as error:
        problems = (*document.problems, *complaints.problems(error, document, shape))
        return _Loaded(path, content, document, None, problems)
    return _Loaded(path, content, document, section, document.problems)


def _place(problem: Problem) -> tuple[str, int, int, str]:
    return (problem.file, problem.line, problem.column, problem.message)


def _unreadable(path: Path, message: str) -> _Loaded[_File]:
    return _Loaded(path, b"", None, None, (Problem(str(path), *START, message),))


def _is_team_file(path: Path) -> bool:
    """Hidden files are editors' own."""
    return path.name.endswith(".yaml") and not path.name.startswith(".")


def _problems_of_team_files(directory: Path, paths: Sequence[Path]) -> Iterator[Problem]:
    if not any(map(_is_team_file, paths)):
        yield Problem(str(directory), *START, "expected at least one team file NAME.yaml here, got none")
    for path in paths:
        if not path.name.endswith(".yml"):
            continue
        yield Problem(str(path), *START, "expected the ending .yaml, got .yml; rename the file, or it is not read")


def _problems_of_ports(main: Document, settings: Settings) -> Iterator[Problem]:
    """What a server could not, or must not, listen on."""
    where = ("admin", "listen")
    if settings.admin == settings.listen:
        yield main.at_value(where, f"expected a port of its own, got that of `listen`, {settings.listen.port}")
    if not settings.asks_for_a_token and isinstance(settings.admin, Listen) and not settings.admin.is_loopback:
        origins = " and ".join(token.origin for token in settings.admin_tokens) or "admin.token_env"
        yield main.at_value(
            where,
            f"expected 127.0.0.1, since {origins} holds no token and anyone could read the admin port, "
            f"got {settings.admin.host}",
        )
    yield from _problems_of_tokens(main, settings)


def _problems_of_tokens(main: Document, settings: Settings) -> Iterator[Problem]:
    """Two names for one token: nobody could say whose request it was, nor how far it may go."""
    seen: dict[Secret, AdminToken] = {}
    for token in settings.admin_tokens:
        if token.secret is None:
            continue
        first = seen.setdefault(token.secret, token)
        if first is not token:
            yield main.at_value(
                ("admin", "tokens"), f"expected a token of its own for {token.name}, got that of {first.name}"
            )


def _problems_of_traces(main: Document, settings: Settings) -> Iterator[Problem]:
    """What only the file and the environment together show."""
    if settings.traces is not None and settings.traces.problem is not None:
        yield main.at_value(("traces",), settings.traces.problem)


def _problems_of_prompts(main: Document, settings: Settings) -> Iterator[Problem]:
    """Keys that are not there. What was sealed with one could not be opened, or nothing would be kept."""
    for number, key in enumerate(() if settings.prompts is None else settings.prompts.keys):
        if key.secret is None:
            yield main.at_value(
                ("prompts", "keys", number),
                f"expected 64 hex digits in {key.secret_from}, as `openssl rand -hex 32` prints, "
                "got nothing or something else",
            )


def _problems_of_keepers(teams: Sequence[_Loaded[TeamFile]], settings: Settings) -> Iterator[Problem]:
    """Teams that have prompts kept where there is no key."""
    for team in teams:
        if settings.prompts is None and team.document and team.section and team.section.prompts is not None:
            yield team.document.at_value(
                ("prompts",),
                "expected a key to encrypt with, got none: `prompts` of penstock.yaml names it (docs/privacy.md)",
            )


def _problems_between(main: Document | None, models: Document | None, teams: Sequence[Document]) -> Iterator[Problem]:
    """What only two files together show: names used and not defined, and team names."""
    providers = references.names_in(main, "providers")
    known_models = references.names_in(models, "models")
    if models is not None:
        yield from references.problems_of_models(models, providers)
    regions, efforts = references.regions_in(main, models), references.efforts_in(models)
    for team in teams:
        yield from references.problems_of_team(
            team, models=known_models, efforts=efforts, providers=providers, regions=regions
        )
    yield from _problems_of_team_names(teams)


def _problems_of_team_names(teams: Sequence[Document]) -> Iterator[Problem]:
    """A team is named like its file: so one finds it, and no two can be called the same."""
    for document in teams:
        stem = Path(document.file).stem
        for path, name in document.matching(("team",)):
            if isinstance(name, str) and name != stem:
                yield document.at_value(path, f"expected '{stem}', the name of this file, got '{name}'; rename one")


def _notes(
    main: _Loaded[PenstockFile],
    models: _Loaded[ModelsFile],
    teams: Sequence[_Loaded[TeamFile]],
    today: date | None,
) -> Sequence[Problem]:
    found: list[Problem] = []
    if main.section is not None and models.section is not None and models.document is not None:
        tell = {name for name, provider in main.section.providers.items() if provider.kind == "openrouter"}
        found += notes.versions_untold(models.section, models.document, tell=tell)
    for team in teams:
        if team.section is not None and team.document is not None:
            found += notes.notes_of_team(team.section, team.document)
    for document in (models.document, *(team.document for team in teams)):
        if document is not None and today is not None:
            found += notes.dates_ahead(document, today)
    return sorted(found, key=_place)


def _teams(files: Sequence[TeamFile]) -> Mapping[TeamName, Team]:
    teams = [team_file.team(file) for file in files]
    return {team.name: team for team in teams}


def _version(
    directory: Path,
    files: Sequence[_Loaded[PenstockFile] | _Loaded[ModelsFile] | _Loaded[TeamFile]],
    text_head: Path | None,
) -> str:
    """A digest of every file's name and content, of the published prices, and of the operator's own text head.

    The head is in it since one that was trained again, under the same name, decides differently. One that cannot be
    read counts as empty here; whoever is to serve with it refuses it.
    """
    digest = hashlib.sha256(GENAI_PRICES_VERSION.encode())
    for file in files:
        digest.update(f"\n{file.path.relative_to(directory)} {len(file.content)}\n".encode())
        digest.update(file.content)
    if text_head is not None:
        with suppress(OSError):
            digest.update(b"\n" + text_head.read_bytes())
    return digest.hexdigest()[: catalog_file.VERSION_DIGITS]


def _addresses_missing(settings: Settings) -> Iterator[str]:
    for server, name in ((settings.redis, "Redis"), (settings.postgres, "PostgreSQL")):
        if server is not None and server.url is None:
            yield f"{server.url_from} holds no URL of {name}, so nothing starts before it does"


def _secrets_missing(settings: Settings) -> Iterator[str]:
    for name, access in settings.providers.items():
        if access.api_key is None and access.api_key_from is not None:
            yield f"{access.api_key_from} holds no key for provider {name}, so its deployments are unavailable"
    yield from _tokens_missing(settings)


def _tokens_missing(settings: Settings) -> Iterator[str]:
    if not settings.asks_for_a_token and isinstance(settings.admin, Listen):
        origin = " and ".join(token.origin for token in settings.admin_tokens) or "admin.token_env of penstock.yaml"
        yield f"{origin} holds no admin token, so the admin port is open to everyone on this machine, and to no other"
    for token in settings.admin_tokens:
        if token.secret is None and settings.asks_for_a_token:
            yield f"{token.origin} holds no admin token, so {token.name} cannot sign in"
        elif token.secret is not None and len(token.secret.reveal()) < LEAST_TOKEN_LENGTH:
            yield (
                f"the admin token in {token.origin} has less than {LEAST_TOKEN_LENGTH} characters and may be guessed; "
                "make one by: openssl rand -hex 24"
            )


def _said_in_vain(settings: Settings) -> Iterator[str]:
    if settings.traces is not None:
        yield from settings.traces.notes
        if settings.traces.headers_missing is not None:
            yield f"{settings.traces.headers_missing} holds no headers for the collector of traces, so none are sent"


def _prices_missing(snapshot: Snapshot) -> Iterator[str]:
    for deployment in snapshot.catalog:
        if deployment.prices.entries:
            continue
        if deployment.provider.kind == "openrouter" and snapshot.settings.prices.every_s is not None:
            yield (
                f"{deployment.id} has no price, neither in models.yaml nor in genai-prices {GENAI_PRICES_VERSION}, "
                "so it is not chosen before OpenRouter's own list has been read"
            )
        else:
            yield (
                f"{deployment.id} has no price, neither in models.yaml nor in genai-prices {GENAI_PRICES_VERSION}, "
                "so it is never chosen; add `prices` to it (zero is a price)"
            )
