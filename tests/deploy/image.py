"""The image of deploy/docker without Docker: its instructions are read, and carried out on a root of our own.

There is no engine where the tests run, and none can be had. So RUN lines are run as they stand, in a chroot over the
machine's own files, with this run's interpreter where the base image has its own (/usr/local). What that cannot show:
that the base image is as assumed.
"""

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.places import CHECKOUT, DEPLOY

DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
IGNORED = DEPLOY / "docker" / "Dockerfile.dockerignore"

# $1: a scratch directory; $2: the interpreter's prefix; what follows is run as a shell script in the new root.
_ROOT = r"""
set -eu
mount --make-rprivate /
mkdir -p "$1"/upper "$1"/work "$1"/root
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1"/root
mount --bind "$2" "$1"/root/usr/local
mount -t proc proc "$1"/root/proc
mount --bind /dev "$1"/root/dev
"""


@dataclass(frozen=True, slots=True)
class Instruction:
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    @property
    def command(self) -> list[str]:
        """Of ENTRYPOINT, CMD and HEALTHCHECK CMD, in their JSON form."""
        command: list[str] = json.loads(self.text[self.text.index("[") :])
        return command


@dataclass(frozen=True, slots=True)
class Stage:
    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        return [each for each in self.instructions if each.name == name]

    def one(self, name: str) -> Instruction:
        (only,) = self.all(name)
        return only

    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for each in self.all("ENV") for pair in each.words)


def stages() -> tuple[dict[str, str], list[Stage]]:
    """Arguments before the first stage, and the stages, with these arguments put into their bases."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            base, _, alias = rest.partition(" AS ")
            for argument, value in arguments.items():
                base = base.replace("${" + argument + "}", value)
            found.append(Stage(base, alias))
        elif found:
            found[-1].instructions.append(Instruction(name, rest.strip()))
        else:
            argument, _, value = rest.partition("=")
            arguments[argument] = value
    return arguments, found


def context() -> Iterator[Path]:
    """Every file that is sent to the builder, by the rules of the ignore file: the last pattern that fits decides."""
    patterns = [line for line in IGNORED.read_text().splitlines() if line and not line.startswith("#")]
    listed = subprocess.run(
        ["git", "-C", CHECKOUT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        is_sent = True
        for pattern in patterns:
            if _fits(name, pattern.removeprefix("!")):
                is_sent = pattern.startswith("!")
        if is_sent and (CHECKOUT / name).is_file():
            yield Path(name)


def _fits(name: str, pattern: str) -> bool:
    """Whether the file, or a directory that it is in, is meant."""
    parts = name.split("/")
    beginnings = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatchcase(part, pattern.removeprefix("**/")) for part in parts)
    return any("/" not in each or "/" in pattern for each in beginnings if fnmatch.fnmatchcase(each, pattern))


def why_not() -> str | None:
    """Why no root of our own can be made here; None if it can."""
    tried = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/a /mnt/b /mnt/c && mount -t overlay -o "
    tried += "lowerdir=/,upperdir=/mnt/a,workdir=/mnt/b overlay /mnt/c && chroot /mnt/c true"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", tried], capture_output=True, text=True, check=False)
    return f"no namespaces of our own: {done.stderr.strip()[:200]}" if done.returncode else None


def built(directory: Path, stage: Stage, copied: Sequence[tuple[Path, str]] = ()) -> Path:
    """What the stage's COPY and RUN lines make: the directory of everything that they wrote.

    `copied` are directories and where they go, for `COPY --from`.
    """
    upper = directory / "upper"
    (upper / "src").mkdir(parents=True)
    for source, target in copied:
        shutil.copytree(source, upper / target.lstrip("/"), symlinks=True)
    copy_sent(stage, upper)
    script = ["set -eux"]
    script += [f"export {name}={shlex.quote(value)}" for name, value in stage.environment().items() if name != "PATH"]
    for each in stage.instructions:
        if each.name == "WORKDIR":
            script.append(f"cd {each.text}")
        elif each.name == "RUN":
            script.append(each.text)
    within = 'exec chroot "$1"/root sh -c "$3"'
    path = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    steps = f"export PATH={path} LD_LIBRARY_PATH=/usr/local/lib\n" + "\n".join(script)
    command = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", _ROOT + within, "sh"]
    done = subprocess.run(
        [*command, str(directory), sys.base_prefix, steps],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return upper


def copy_sent(stage: Stage, root: Path) -> None:
    """The stage's COPY lines, but for those from other stages, from what is sent to the builder."""
    sent, workdir = list(context()), Path("/")
    for each in stage.instructions:
        if each.name == "WORKDIR":
            workdir = Path(each.text)
        elif each.name == "COPY" and not each.text.startswith("--from"):
            *sources, target = each.words
            for source in map(Path, sources):
                files = [name for name in sent if name == source or source in name.parents]
                assert files, f"COPY {source}: nothing of that name is sent to the builder"
                for name in files:
                    within = name.relative_to(source) if name != source else Path(name.name if target == "./" else "")
                    to = root / workdir.relative_to("/") / target / within
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(CHECKOUT / name, to)


@contextmanager
def contained(
    directory: Path, upper: Path, stage: Stage, *, binds: Sequence[tuple[Path, str]]
) -> Iterator["Container"]:
    """The stage's program, as Docker or a kubelet runs it where everything may be forbidden that can be.

    By the image's user, without capabilities, on a read-only root, writing to the volume only. `binds` are read-only.
    """
    volume = directory / "volume"
    volume.mkdir()
    user, group = map(int, stage.one("USER").text.split(":"))
    mounts = [f'mount --bind {shlex.quote(str(volume))} "$1"/root{stage.one("VOLUME").text}']
    for source, target in binds:
        there = f'"$1"/root{target}'
        mounts += [f"mkdir -p {there}", f"mount --bind {shlex.quote(str(source))} {there}"]
    shutil.copytree(upper, directory / "upper", symlinks=True)
    shutil.chown(volume, user, group)
    environment = {"PATH": "/usr/bin", "LD_LIBRARY_PATH": "/usr/local/lib", **stage.environment()}
    environment["PATH"] = environment["PATH"].replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
    enter = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
    enter += ["--bounding-set=-all", "--inh-caps=-all", "env", "-i", *(f"{n}={v}" for n, v in environment.items())]
    script = _ROOT + "\n".join(
        [*mounts, 'mount -o remount,ro "$1"/root', f'exec chroot "$1"/root {shlex.join(enter)} "$@"']
    )
    script = script.replace('"$@"', '"$3" serve --config /etc/penstock')
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(directory), sys.base_prefix]
    log = directory / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([*command, *stage.one("ENTRYPOINT").command], stdout=file, stderr=file)
    try:
        yield Container(process, log, enter)
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True, slots=True)
class Container:
    process: "subprocess.Popen[bytes]"
    log: Path
    enter: Sequence[str]

    def run(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """As `docker exec` would: in its root, by its user, in its environment."""
        root = f"/proc/{self.process.pid}/root"
        inside = ["nsenter", "--mount", "--target", str(self.process.pid), "chroot", root, *self.enter, *command]
        return subprocess.run(inside, capture_output=True, text=True, timeout=60, check=False)
