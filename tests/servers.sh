#!/bin/sh
# Installs the Debian programs that some tests and the benchmark use, if it may: nginx, HAProxy, curl, openssl, systemd,
# Prometheus, PostgreSQL, Redis, libfaketime and ip, by which tests/torture moves clocks and packets, and Chromium.
# What is still missing afterwards is named; in CI that is an error, elsewhere the tests that need it are skipped.
set -eu

is_installed() { # Debian keeps PostgreSQL's programs off the path, by version
    command -v "$1" > /dev/null 2>&1 ||
        ls "/usr/sbin/$1" /usr/lib/postgresql/*/bin/"$1" /usr/lib/*/faketime/"$1" 2> /dev/null | grep -q .
}

missing=""
for pair in nginx:nginx-light haproxy:haproxy curl:curl openssl:openssl systemd-analyze:systemd promtool:prometheus \
    initdb:postgresql redis-server:redis-server libfaketime.so.1:libfaketime \
    chromium:chromium ip:iproute2; do
    is_installed "${pair%%:*}" || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null 2>&1; then
    log=$(mktemp)
    # Packages must not start their services: the tests start what they need, on ports of their own.
    if ! { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing; } > "$log" 2>&1; then
        tail -n 5 "$log"
    fi
    rm -f "$log"
fi

absent=""
for program in nginx haproxy curl openssl systemd-analyze promtool prometheus initdb redis-server libfaketime.so.1 \
    chromium ip; do
    is_installed "$program" || absent="$absent $program"
done
[ -n "$absent" ] || exit 0
echo "not installed, so their tests are left out:$absent (Debian: apt-get install$missing)"
[ "${CI:-}" != true ]
