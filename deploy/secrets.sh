#!/bin/sh
# Makes what deploy/compose.yaml hands to its services as secrets, in deploy/secrets (or the directory given), which git
# does not keep: passwords by chance, and the key in $OPENROUTER_API_KEY if there is one. What is there already stays.
#
# The directory is its owner's alone. Within it files can be read by all: Compose mounts them as they are, and each
# service has a user of its own, which has no rights on this machine.
set -eu
directory=${1:-$(dirname "$0")/secrets}
mkdir -p -m 0700 "$directory"
cd "$directory"

by_chance() {
    od -An -v -tx1 -N24 /dev/urandom | tr -d ' \n'
}
make() { # NAME, its content on standard input: all of it or nothing
    if [ -e "$1" ]; then cat > /dev/null; else cat > "$1.new" && chmod 0644 "$1.new" && mv "$1.new" "$1"; fi
}

by_chance | make admin_token
by_chance | make metrics_token
by_chance | make grafana_password
by_chance | make postgres_password
by_chance | make valkey_password
printf 'requirepass %s\n' "$(cat valkey_password)" | make valkey.conf
printf 'redis://:%s@valkey:6379/0\n' "$(cat valkey_password)" | make redis_url
printf 'postgresql://penstock:%s@postgres/penstock\n' "$(cat postgres_password)" | make postgres_url
printf '%s\n' "${OPENROUTER_API_KEY:-}" | make openrouter_api_key
[ -n "$(tr -d '\n' < openrouter_api_key)" ] || echo "$directory/openrouter_api_key is empty: put your key there."
