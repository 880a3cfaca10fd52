"""A real systemd of our own, as process 1 of a namespace: it starts the shipped unit as it would on a server.

What the unit needs of the machine (/opt/penstock, /etc/penstock, /var/lib) is laid over the machine's own directories
within the namespace only; nothing is left behind. It needs root and a kernel that lets it; `why_not` says what is
missing.
"""

import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.deploy.places import CHECKOUT
from tests.waiting import eventually

SYSTEMD = Path("/lib/systemd/systemd")

# What units of a server order themselves after; here there is nothing behind these names.
_TARGETS = ("sysinit", "basic", "shutdown", "network-online", "multi-user")

# $1: a scratch directory. Process 1 must see no cgroup but its own, no writable sysctl, and a /run of its own.
_NAMESPACE = r"""
set -eu
for group in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    [ -e "$group/cgroup.procs" ] || continue
    mkdir -p "$group/$2"
    echo $$ > "$group/$2/cgroup.procs"
done
exec unshare --mount --pid --fork --kill-child --uts --ipc --cgroup --propagation private sh -euc '
    mount -t proc proc /proc
    mount --bind /proc/sys /proc/sys
    mount -o remount,bind,ro /proc/sys
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs "$1"/layers
    for place in etc opt var; do
        mkdir -p "$1"/layers/$place "$1"/layers/$place.work
        mount -t overlay -o "lowerdir=/$place,upperdir=$1/layers/$place,workdir=$1/layers/$place.work" overlay /$place
    done
    mkdir -p /opt/python /opt/packages /opt/checkout /opt/penstock /etc/penstock
    mount --bind "$3" /opt/python
    mount --bind "$4" /opt/packages
    mount --bind "$5" /opt/checkout
    mount --make-rshared / # within this namespace: systemd mounts credentials in one of its children
    cp -R "$1"/penstock/. /opt/penstock
    cp -R "$1"/etc/. /etc/penstock
    chown -R 0:0 /etc/penstock
    export container=penstock-test SYSTEMD_UNIT_PATH="$1"/units
    exec /lib/systemd/systemd --system --unit=penstock.service --log-target=console --show-status=no
' sh "$@" < /dev/null
"""


@dataclass(frozen=True, slots=True)
class Booted:
    """A running systemd whose only service is ours."""

    process_1: int  # as the machine numbers it
    log: Path
    units: Path

    def within(self, *command: str) -> str:
        """What a command says that runs beside the service, as root."""
        arguments = ["nsenter", "--mount", "--pid", "--cgroup", "--target", str(self.process_1), *command]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False).stdout

    def run_once(self, command: str) -> str:
        """What `systemd-run --pipe …` says; as a unit of its own, since there is no D-Bus by which systemd-run asks."""
        words = shlex.split(command)
        properties = [value for name, value in pairwise(words) if name == "-p"]
        program = words[words.index(next(word for word in words[1:] if word.startswith("/"))) :]
        said = self.units.parent / "once.out"
        lines = [*properties, "Type=oneshot", f"StandardOutput=truncate:{said}", f"ExecStart={shlex.join(program)}"]
        (self.units / "once.service").write_text("\n".join(["[Service]", *lines, ""]))
        self.within("systemctl", "start", "once.service")
        return said.read_text()

    def state(self) -> dict[str, str]:
        """The service's properties."""
        said = self.within("systemctl", "show", "penstock.service")
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def why_not() -> str | None:
    """Why no systemd can be booted here; None if it can."""
    if not SYSTEMD.exists():
        return "systemd is not installed"
    tried = "mount -t tmpfs tmpfs /run && mkdir /run/a /run/b /run/c && mount -t overlay -o "
    tried += "lowerdir=/etc,upperdir=/run/a,workdir=/run/b overlay /run/c"
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--cgroup", "--propagation", "private"]
    done = subprocess.run([*namespaces, "sh", "-c", tried], capture_output=True, text=True, check=False)
    return f"no namespaces of our own: {done.stderr.strip()[:200]}" if done.returncode else None


@contextmanager
def booted(directory: Path, unit: Path, configuration: Path) -> Iterator[Booted]:
    """systemd with the unit started, or failed: ask `state`. `configuration` is copied to /etc/penstock."""
    for name in ("units", "layers", "penstock/bin", "etc"):
        (directory / name).mkdir(parents=True)
    for target in _TARGETS:
        (directory / "units" / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    shutil.copy(unit, directory / "units" / "penstock.service")
    drop_in = directory / "units" / "penstock.service.d"
    drop_in.mkdir()
    (drop_in / "log.conf").write_text(  # there is no journal
        f"[Service]\nStandardOutput=append:{directory}/service.log\nStandardError=append:{directory}/service.log\n"
    )
    shutil.copytree(configuration, directory / "etc", dirs_exist_ok=True)
    program = directory / "penstock" / "bin" / "penstock"
    # The interpreter and packages of this run, under names that ProtectHome= does not hide.
    program.write_text(
        "#!/bin/sh\nexport PYTHONPATH=/opt/checkout:/opt/packages PYTHONDONTWRITEBYTECODE=1\n"
        "export LD_LIBRARY_PATH=/opt/python/lib\n"
        f'exec /opt/python/bin/python{sys.version_info[0]}.{sys.version_info[1]} -m router.cli.main "$@"\n'
    )
    program.chmod(0o755)
    group = f"penstock-test-{directory.name}"
    arguments = [directory, group, sys.base_prefix, sysconfig.get_path("purelib"), CHECKOUT]
    with (directory / "systemd.log").open("wb") as log:
        outer = subprocess.Popen(["sh", "-c", _NAMESPACE, "sh", *map(str, arguments)], stdout=log, stderr=log)
    try:
        eventually(lambda: outer.poll() is not None or _process_1(outer.pid) is not None, within_s=10)
        process_1 = _process_1(outer.pid)
        assert process_1 is not None, (directory / "systemd.log").read_text()
        one = Booted(process_1, directory / "service.log", directory / "units")
        eventually(lambda: _is_decided(one.state()), within_s=60)
        yield one
    finally:
        outer.kill()  # and with it process 1, and with that all of its namespace
        outer.wait()
        eventually(lambda: _is_removed(group), within_s=10)


def _process_1(parent: int) -> int | None:
    """systemd, a child of `unshare`; before it the shell had others."""
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return next((int(each) for each in children if Path(f"/proc/{each}/comm").read_text() == "systemd\n"), None)
    except OSError:  # ended meanwhile
        return None


def _is_decided(state: Mapping[str, str]) -> bool:
    return state.get("ActiveState") in {"active", "failed"} or state.get("NRestarts", "0") != "0"


def _is_removed(group: str) -> bool:
    """Whether the cgroups of the namespace are gone; each can go once its processes have."""
    tops = [top for top in Path("/sys/fs/cgroup").glob(f"**/{group}") if top.is_dir()]
    for top in tops:
        for within in sorted(top.glob("**/"), reverse=True):
            try:
                within.rmdir()
            except OSError:
                return False
    return not any(top.exists() for top in tops)
