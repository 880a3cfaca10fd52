"""`penstock serve`, but price lists are read many times a second, and leaps are confirmed after a chosen time.

    python -m tests.e2e.impatient_server CONFIRM_S serve --config DIR --port 0 --admin-port 0

The configuration allows no interval below a minute, which is longer than a test should take.
"""

import sys
from pathlib import Path

import anyio
import click

from router.assembly.house import assemble
from router.cli.configuration import loaded
from router.config.snapshot import PriceRefresh, Snapshot
from router.server.listen import bound, port_of, serve_until_stopped, serving
from tests.replacing import replace

_EVERY_S = 0.2


def main() -> None:
    confirm_s, _, _, config, *_ = sys.argv[1:]
    snapshot = loaded(Path(config))
    times = PriceRefresh(every_s=_EVERY_S, confirm_s=float(confirm_s))
    anyio.run(_serve, replace(snapshot, settings=replace(snapshot.settings, prices=times)))


async def _serve(snapshot: Snapshot) -> None:
    data, admin = bound("127.0.0.1", 0), bound("127.0.0.1", 0)
    house = assemble(snapshot)
    async with serving(house.admin, admin):
        click.echo(f"  base URL  http://127.0.0.1:{port_of(data)}/v1")
        click.echo(f"  console   http://127.0.0.1:{port_of(admin)}/")
        await serve_until_stopped(house.data, data, house.stop)


if __name__ == "__main__":
    main()
