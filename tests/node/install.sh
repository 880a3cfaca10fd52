#!/bin/sh
# Installs the official OpenAI client for Node.js beside the virtual environment, if there is a Node.js and a registry.
# Without it the tests that need it are left out, and say so.
set -eu
here=$(dirname "$0")
target=${1:-.venv/node}
installed="$target/node_modules/.package-lock.json"
mkdir -p "$target"
cp "$here"/*.mjs "$target/"  # our own, which may be newer than what is installed
if [ -f "$installed" ] && ! [ "$here/package-lock.json" -nt "$installed" ]; then exit 0; fi
command -v npm > /dev/null 2>&1 || exit 0
cp "$here/package.json" "$here/package-lock.json" "$target/"
npm ci --prefix "$target" --ignore-scripts --no-audit --no-fund --loglevel=error > "$target/install.log" 2>&1 || {
    tail -n 3 "$target/install.log"
    echo "the OpenAI client for Node.js could not be installed: its tests are left out"
}
