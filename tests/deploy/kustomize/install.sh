#!/bin/sh
# Puts kustomize, as a shared library, beside the virtual environment, if there is a registry. Without it the tests that
# need it are left out, and say so. (There is no package of its command; this wheel asks for Python 3.14, which the
# library does not.)
set -eu
here=$(dirname "$0")
python=$1
target=$2
[ -f "$target/libpykustomize.so" ] && ! [ "$here/requirements.txt" -nt "$target/libpykustomize.so" ] && exit 0
[ "$(uname -sm)" = "Linux x86_64" ] || exit 0
mkdir -p "$target"
{
    "$python" -m pip download --disable-pip-version-check -qq --no-deps --only-binary :all: --python-version 3.14 \
        --require-hashes -r "$here/requirements.txt" -d "$target" &&
        "$python" -c 'import sys, zipfile; from pathlib import Path
target = Path(sys.argv[1])
with zipfile.ZipFile(next(target.glob("*.whl"))) as wheel:
    content = wheel.read("pykustomize/_lib/linux-amd64/libpykustomize.so")
(target / "new").write_bytes(content)
(target / "new").rename(target / "libpykustomize.so")' "$target"
} > "$target/install.log" 2>&1 || {
    tail -n 3 "$target/install.log"
    echo "kustomize could not be installed: its tests are left out"
}
rm -f "$target"/*.whl
