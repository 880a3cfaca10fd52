#!/bin/sh
# Installs what a comparison needs into a directory of its own, apart from what the project depends on.
#     sh install_apart.sh REQUIREMENTS DIRECTORY        the requirements without their dependencies: all stand there
set -eu
requirements=$1
target=$2
cmp -s "$requirements" "$target/installed.txt" && exit 0
echo "Installing $(grep -v '^#' "$requirements" | tr '\n' ' ')into $target …"
rm -rf "$target"
${PYTHON:-python3} -m pip --disable-pip-version-check -qq install --no-deps --target "$target" -r "$requirements"
cp "$requirements" "$target/installed.txt"
