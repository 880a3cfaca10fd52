"""The machine: how many files may be open, where the books are to be, who has the ports, which Python it is."""

import errno
import os
import resource
import shutil
import socket
import stat
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from router.cli.doctor.findings import Finding, fault, fine, noted
from router.config.snapshot import Listen, Settings, UnixSocket
from router.server.listen import is_answering

_FILES_PER_STREAM = 2  # the client's connection and the provider's
_FEW_FILES = 4_096
_LITTLE_DISK_BYTES = 1_000_000_000  # the ledger of about a million requests (docs/operations.md)
_CONNECT_S = 1.0


def open_files() -> Finding:
    """`penstock serve` raises its own limit to what the system allows, so that is what counts."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most == resource.RLIM_INFINITY:
        return fine("open files", "as many as you like")
    told = f"{most:,}, enough for some {most // _FILES_PER_STREAM:,} streams at once"
    if most < _FEW_FILES:
        return noted(
            "open files", told, "raise the limit: LimitNOFILE=65536 in a systemd unit, or `ulimit -Hn 65536` as root"
        )
    return fine("open files", told)


def interpreter() -> Finding:
    """Whether Python was built with the optimizations that its packagers use."""
    told = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    if "--enable-optimizations" in options or "--with-lto" in options:
        return fine("python", f"{told}, optimized")
    return noted(
        "python",
        f"{told}, built without profile-guided optimization: 10 to 20 % more CPU (docs/performance.md)",
        "use your distribution's Python or the python image of Docker Hub; with pyenv, "
        "PYTHON_CONFIGURE_OPTS=--enable-optimizations",
    )


def state_directory(settings: Settings) -> Iterator[Finding]:
    """Whether books can be kept there, by nobody else's leave."""
    directory = settings.state_dir
    nearest = next(each for each in (directory, *directory.parents) if each.exists())
    if not nearest.is_dir():
        yield fault("state", f"{nearest} is a file", "name a directory in state.directory of penstock.yaml")
        return
    if not os.access(nearest, os.W_OK | os.X_OK):
        yield fault(
            "state",
            f"{directory} cannot be written by user {os.geteuid()}",
            f"chown it to the user that serves, or name another in state.directory or STATE_DIRECTORY ({nearest})",
        )
        return
    free = shutil.disk_usage(nearest).free
    if free < _LITTLE_DISK_BYTES:
        yield fault(
            "state",
            f"{free / 1e6:,.0f} MB are free on the disk of {directory}",
            "free some; what cannot be written to the ledger waits in the journal, and a full disk refuses requests",
        )
    elif nearest == directory:
        yield fine("state", f"{directory}, {free / 1e9:,.0f} GB free")
    else:
        yield fine("state", f"{directory} will be made, {free / 1e9:,.0f} GB free")
    yield from _pepper(directory / "pepper")


def _pepper(path: Path) -> Iterator[Finding]:
    """Whoever reads it and the ledger can try keys; without it no key is valid."""
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield fault("state", f"{path} can be read by others", f"chmod 600 {path}")


def ports(settings: Settings) -> Iterator[Finding]:
    yield _port("data port", settings.listen)
    yield _socket(settings.admin) if isinstance(settings.admin, UnixSocket) else _port("admin port", settings.admin)


def _socket(listen: UnixSocket) -> Finding:
    path = listen.path
    if path.exists() and not path.is_socket():
        return fault("admin port", f"{path} is a file, and no socket", "name another path in admin.listen")
    if is_answering(path):
        if path.stat().st_mode & 0o077:
            return fault("admin port", f"{path} may be opened by others", f"chmod 600 {path}")
        return fine("admin port", f"{listen}: somebody is serving")
    nearest = next(each for each in path.parents if each.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        return fault(
            "admin port", f"{nearest} cannot be written by user {os.geteuid()}", "chown it, or RuntimeDirectory="
        )
    return fine("admin port", f"{listen} is free")


def _port(name: str, listen: Listen) -> Finding:
    address = f"{listen.host}:{listen.port}"
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen.host, listen.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return _taken(name, listen, address)
            return fault(name, f"{address}: {error.strerror}", "name an address of this machine in penstock.yaml")
    return fine(name, f"{address} is free")


def _taken(name: str, listen: Listen, address: str) -> Finding:
    if _is_ours(listen):
        return fine(name, f"{address}: Penstock is serving")
    return fault(
        name, f"{address} is taken by another program", "stop that one (`ss -ltnp` names it), or choose another port"
    )


def _is_ours(listen: Listen) -> bool:
    """Whether what listens there says that it is alive in our words."""
    try:
        with socket.create_connection((listen.host, listen.port), timeout=_CONNECT_S) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            answer = connection.recv(4_096)
    except OSError:
        return False
    return b" 200 " in answer.partition(b"\r\n")[0] and b"x-request-id" in answer.lower()
