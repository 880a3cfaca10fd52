#!/bin/sh
# Installs LiteLLM (PyPI) and Portkey's gateway (npm), each into a directory of its own below the first argument.
# What cannot be installed is named, and left out of the comparison.
set -eu
here=$(dirname "$0")
target=${1:-.venv/peers}
litellm=1.108.7
mkdir -p "$target/portkey"

if [ "$(cat "$target/litellm/version" 2> /dev/null)" != "$litellm" ]; then
    echo "Installing LiteLLM $litellm (about a minute) …"
    if ${PYTHON:-python3} -m venv "$target/litellm" &&
        "$target/litellm/bin/python" -m pip --disable-pip-version-check -qq install "litellm[proxy]==$litellm"; then
        echo "$litellm" > "$target/litellm/version"
    else
        echo "LiteLLM could not be installed: it is left out"
    fi
fi

if ! cmp -s "$here/package.json" "$target/portkey/installed.json"; then
    command -v npm > /dev/null 2>&1 || { echo "there is no npm: Portkey's gateway is left out"; exit 0; }
    echo "Installing Portkey's gateway …"
    cp "$here/package.json" "$target/portkey/"
    if npm install --prefix "$target/portkey" --ignore-scripts --no-audit --no-fund --loglevel=error; then
        cp "$here/package.json" "$target/portkey/installed.json"
    else
        echo "Portkey's gateway could not be installed: it is left out"
    fi
fi
