"""`penstock serve`, `penstock check`, `penstock sandbox`."""

import logging
import resource
import secrets
import socket
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
import click

from router.assembly.house import VERSION, House, assemble
from router.assembly.sandbox import make_sandbox, with_sandbox
from router.cli.configuration import config_option, directory, loaded
from router.cli.output import as_json, counted
from router.cli.workers import MOST_WORKERS, PLACES, refuse_alone, supervise, work
from router.config.files import ON_DISK, Recorded
from router.config.loader import warnings
from router.config.snapshot import Listen, Snapshot, UnixSocket
from router.config.watching import fingerprint
from router.errors import ConfigError, InvalidRequest
from router.gateway.reload import Source
from router.keys import TeamName, written
from router.sandbox.refusals import Refusal
from router.server.interpreter import prepare_to_serve
from router.server.listen import ADMIN_CONNECTIONS, bound, bound_admin, port_of, serve_until_stopped, serving
from router.telemetry.logs import write_logs
from router.telemetry.uncaught import log_the_uncaught

log = logging.getLogger("penstock")


@click.command()
@config_option
@click.option("--host", help="Address of the data port, in place of the configured one.")
@click.option("--port", type=click.IntRange(0, 65535), help="Data port, in place of the configured one; 0: any free.")
@click.option("--admin-port", type=click.IntRange(0, 65535), help="Admin port, in place of the configured one.")
@click.option(
    "--demo", is_flag=True, help="Without an OpenRouter key use the built-in sandbox; print a key that works."
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, MOST_WORKERS),
    help="Processes that serve, one for each core; more than one need Redis and PostgreSQL.",
)
@click.option("--as-worker", "places", hidden=True, nargs=len(PLACES), type=int, help="For the parent of several.")
def serve(
    config: Path | None,
    host: str | None,
    port: int | None,
    admin_port: int | None,
    *,
    demo: bool,
    workers: int,
    places: tuple[int, ...] | None,
) -> None:
    """Serve the OpenAI API on the data port, metrics and console on the admin port.

    Example: penstock serve --config /etc/penstock --port 8000
    """
    config = directory(config)  # now: once its files are gone, another one would be found
    if places is not None:
        work(config, dict(zip(PLACES, places, strict=True)))
        return
    seen, files = fingerprint(config), Recorded(ON_DISK)
    snapshot = loaded(config, files=files)
    # Not to standard output: there stands what a person is told, once, of where to turn to.
    write_logs(sys.stderr, level=snapshot.settings.logs.level, format=snapshot.settings.logs.format)
    log_the_uncaught()
    listen, admin = snapshot.settings.listen, snapshot.settings.admin
    listen = Listen(host or listen.host, listen.port if port is None else port)
    if admin_port is not None:
        if isinstance(admin, UnixSocket):
            raise InvalidRequest(f"--admin-port is no use: admin.listen in penstock.yaml is a socket, {admin}.")
        admin = Listen(admin.host, admin_port)
    _allow_many_files()
    if workers > 1:
        refuse_alone(snapshot, workers, is_demo=demo)
        announce = partial(_announce_workers, snapshot, config)
        with bound_admin(admin) as socket_of_all:
            code = supervise(
                listen, socket_of_all, config=config, record=files.record, workers=workers, announce=announce
            )
        sys.exit(code)
    with bound(listen.host, listen.port) as data, bound_admin(admin) as its:
        source = Source(config, seen, partial(loaded, config))
        anyio.run(_serve, snapshot, _Ports(data, its), demo, source, backend_options={"use_uvloop": True})


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--json", "is_json", is_flag=True, help="For programs.")
def check(config: Path | None, *, is_json: bool) -> None:
    """Validate the configuration in the directory CONFIG: every problem at once, as file:line:column.

    Exit code 0 if it can be served, 1 if not. Example: penstock check config/
    """
    try:
        snapshot = loaded(config)
    except ConfigError as error:
        if is_json:
            click.echo(as_json({"version": None, "problems": error.problems, "notes": []}))
            sys.exit(1)
        click.echo("\n".join(str(problem) for problem in error.problems), err=True)
        click.echo(f"{counted(len(error.problems), 'problem')}; this configuration would not be served.", err=True)
        sys.exit(1)
    if is_json:
        click.echo(as_json({"version": snapshot.version, "problems": [], "notes": warnings(snapshot)}))
        return
    for warning in warnings(snapshot):
        click.echo(f"note: {warning}", err=True)
    click.echo(
        f"{directory(config)} is valid: {counted(len(snapshot.teams), 'team')}, "
        f"{counted(len(snapshot.catalog.deployments), 'model')}, "
        f"version {snapshot.version}"
    )


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8010, show_default=True, type=click.IntRange(0, 65535))
@click.option("--time-scale", default=1.0, show_default=True, help="Multiplies every delay; 0: no delays at all.")
@click.option("--seed", default=0, show_default=True, help="Chooses texts, lengths and faults, reproducibly.")
@click.option("--fault-rate", default=0.0, show_default=True, type=click.FloatRange(0, 1), help="Share that fails.")
@click.option(
    "--spread",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 3),
    help="How much speeds vary; 0.25 is lifelike.",
)
@click.option(
    "--scenario",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON file that plans faults, outages and prices: see docs/sandbox.md.",
)
def sandbox(
    host: str, port: int, time_scale: float, seed: int, fault_rate: float, spread: float, scenario: Path | None
) -> None:
    """Run the simulated OpenRouter on its own. Its bill is at /sandbox/bill, its faults are at /sandbox/faults.

    It also stands in for DeepSeek's own API, under /deepseek, and for a local model server, under /local/v1.

    Example: penstock sandbox --port 8010 --time-scale 0
    """
    plan = None if scenario is None else scenario.read_bytes()
    try:
        application = make_sandbox(
            time_scale=time_scale, seed=seed, fault_rate=fault_rate, spread=spread, scenario=plan
        )
    except Refusal as refusal:
        raise click.ClickException(f"{scenario}: {refusal}") from refusal
    listener = bound(host, port)
    click.echo(f"sandbox at http://{host}:{port_of(listener)}/api/v1, any key that begins with sk-or- works")
    anyio.run(serve_until_stopped, application, listener, backend_options={"use_uvloop": True})


@dataclass(frozen=True, slots=True)
class _Ports:
    data: socket.socket
    admin: socket.socket


def _allow_many_files() -> None:
    """As many open files as the system allows us: each stream needs two, and what a service begins with is 1,024.

    Go's runtime has done so since 2022 (golang/go#46279); nothing here uses select(), for which the low limit is kept.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(snapshot: Snapshot, ports: _Ports, is_demo: bool, source: Source) -> None:
    uses_sandbox = is_demo and _lacks_openrouter_key(snapshot)
    listener = bound("127.0.0.1", 0) if uses_sandbox else None
    if listener is not None:
        in_place = f"http://127.0.0.1:{port_of(listener)}/api/v1"
        snapshot, read = with_sandbox(snapshot, in_place), source.read
        source = replace(source, read=lambda: with_sandbox(read(), in_place))
    house = assemble(snapshot, source=source, is_sandbox=uses_sandbox)
    house.claim()  # here, where what it raises is still told in a sentence
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(house.supervisor.told_of_life())
        if listener is not None:
            await stack.enter_async_context(
                serving(make_sandbox(time_scale=1.0, seed=0, fault_rate=0.0, spread=0.25), listener)
            )
        await stack.enter_async_context(
            serving(house.admin, ports.admin, refused=house.connection_refused, share=ADMIN_CONNECTIONS)
        )
        prepare_to_serve()
        _announce(snapshot, house, ports, config=source.directory, is_demo=is_demo, uses_sandbox=uses_sandbox)
        await serve_until_stopped(
            house.data,
            ports.data,
            house.stop,
            snapshot.settings.streams.unread_s,
            hung_up=house.hung_up,
            refused=house.connection_refused,
            door=house.door,
        )


def _announce_workers(snapshot: Snapshot, config: Path, data: socket.socket, admin: socket.socket) -> None:
    _announce(snapshot, None, _Ports(data, admin), config=config, is_demo=False, uses_sandbox=False)


def _announce(
    snapshot: Snapshot, house: House | None, ports: _Ports, *, config: Path, is_demo: bool, uses_sandbox: bool
) -> None:
    """Say what is served where. `house` is the one of a demo, which lends a key."""
    base_url = f"http://{_address(ports.data)}/v1"
    admin = snapshot.settings.admin
    console = str(admin) if isinstance(admin, UnixSocket) else f"http://{_address(ports.admin)}/"
    for warning in () if uses_sandbox else warnings(snapshot):
        log.warning(warning)
    click.echo(f"Penstock {VERSION} · configuration {config} ({snapshot.version})")
    if uses_sandbox:
        click.echo(
            "No OPENROUTER_API_KEY is set: using the built-in sandbox; nothing leaves this machine or costs money.\n"
            f"Its books are in {snapshot.settings.state_dir}; commands read them with --sandbox."
        )
    click.echo(f"  base URL  {base_url}")
    if is_demo and house is not None:
        team, alias = _first_alias(snapshot)
        key = written(house.keys.lend(team, secrets.token_bytes))
        body = f'{{"model": "{alias}", "messages": [{{"role": "user", "content": "What is a penstock?"}}]}}'
        switch = " --sandbox" if uses_sandbox else ""
        click.echo(f"  API key   {key}   (team {team}; valid until this process ends)")
        click.echo(f"  more      penstock keys create --team NAME{switch}   (teams: {', '.join(snapshot.teams)})")
        click.echo(f"  console   {console}")
        click.echo(
            f"  try       curl {base_url}/chat/completions -H 'Authorization: Bearer {key}' "
            f"-H 'Content-Type: application/json' -d '{body}'"
        )
    else:
        click.echo(f"  console   {console}")
        click.echo("  API keys  penstock keys create --team NAME")
    sys.stdout.flush()


def _first_alias(snapshot: Snapshot) -> tuple[TeamName, str]:
    """A team and an alias to try: `auto` of the first team that has one."""
    for team in snapshot.teams.values():
        if "auto" in team.aliases:
            return team.name, "auto"
    team = next(iter(snapshot.teams.values()))
    return team.name, next(iter(team.aliases), "auto")


def _lacks_openrouter_key(snapshot: Snapshot) -> bool:
    accesses = snapshot.settings.providers.values()
    return not any(access.provider.kind == "openrouter" and access.api_key is not None for access in accesses)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
