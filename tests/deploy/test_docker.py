"""deploy/docker: the image is built of what is locked, and starts no root. `image_serves` carries its steps out."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.deploy.image import DOCKERFILE, context, copy_sent, stages


def test_hadolint_finds_nothing_to_say() -> None:
    program = Path(sys.executable).with_name("hadolint")

    said = subprocess.run([program, DOCKERFILE], capture_output=True, text=True, check=False)

    assert (said.returncode, said.stdout) == (0, "")


def test_every_stage_stands_on_the_same_base_pinned_by_a_digest_that_is_an_argument() -> None:
    arguments, (build, final) = stages()

    assert re.fullmatch(r"sha256:[0-9a-f]{64}", arguments["PYTHON_DIGEST"])
    assert build.base == final.base == f"{arguments['PYTHON_IMAGE']}@{arguments['PYTHON_DIGEST']}"


def test_only_what_the_image_is_made_of_is_sent_to_the_builder() -> None:
    tops = {name.parts[0] for name in context()}

    assert tops == {"LICENSE", "README.md", "config", "deploy", "pyproject.toml", "router"}
    assert [str(name) for name in context() if name.parts[0] == "deploy"] == ["deploy/requirements/run.txt"]


def test_every_wheel_is_checked_against_the_lock() -> None:
    _, (build, _) = stages()
    installs = [each.text for each in build.all("RUN") if " install " in each.text]

    locked, own = installs
    assert "--require-hashes" in locked
    assert "--only-binary :all:" in locked
    assert "-r deploy/requirements/run.txt" in locked
    assert "--no-deps --no-build-isolation" in own


def test_the_program_is_not_root_and_is_told_to_stop_as_it_understands() -> None:
    _, (_, final) = stages()

    user, group = final.one("USER").text.split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert final.one("STOPSIGNAL").text == "SIGTERM"
    assert (final.one("ENTRYPOINT").command, final.one("CMD").command[0]) == (["penstock"], "serve")
    assert final.one("VOLUME").text == final.environment()["STATE_DIRECTORY"]


def test_what_is_sent_to_the_builder_is_enough_to_build_the_package(tmp_path: Path) -> None:
    _, (build, _) = stages()
    copy_sent(build, tmp_path)

    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*wheel, "--wheel-dir", tmp_path / "wheels", tmp_path / "src"], check=True, capture_output=True)

    (made,) = (tmp_path / "wheels").iterdir()
    with zipfile.ZipFile(made) as archive:
        names = set(archive.namelist())
    assert {"router/cli/main.py", "router/shipped_config/teams/search.yaml"} <= names
