#!/bin/sh
# Gets everything that the tests need, then runs all checks and all tests: sh deploy/test.sh
# Cheap checks first; ends with the first kind that fails. Servers run on loopback or on Unix sockets only.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/deploy/install.sh"
cd "$root"

timescale_tree=/var/cache/hemma/trixie-timescaledb
debian_major=$(. /etc/os-release 2>/dev/null && printf '%s' "${VERSION_ID:-}")

has_timescale() { [ -n "$(find /usr/lib/postgresql/*/lib -name timescaledb.so 2>/dev/null)" ]; }

# Debian 13 has TimescaleDB in its own archive; elsewhere the tests run it inside a small Debian 13 tree.
wanted_packages() {
    # The driver that Playwright brings along is linked with it.
    [ -n "$(find /lib /usr/lib -name 'libatomic.so.1' 2>/dev/null)" ] || printf 'libatomic1 '
    have chromium || have chromium-browser || printf 'chromium '
    have qemu-system-x86_64 || printf 'qemu-system-x86 '
    have depmod || printf 'kmod '
    have dbus-daemon || printf 'dbus-daemon '
    have mmdebstrap || printf 'mmdebstrap '
    if [ "$debian_major" = 13 ]; then
        has_timescale || printf 'postgresql-17-timescaledb '
    else
        ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || printf 'postgresql '
    fi
}

get_timescale_tree() {
    if [ -d "$timescale_tree" ] || has_timescale; then return 0; fi
    can_be_root || fail "needs root once, and there is no sudo, to make $timescale_tree"
    say "making a Debian 13 tree with TimescaleDB in $timescale_tree (half a minute)"
    new=$timescale_tree.$$
    as_root mkdir -p "$(dirname "$new")"
    as_root mmdebstrap --quiet --variant=minbase --include=postgresql-17,postgresql-17-timescaledb \
        trixie "$new" >&2 || fail "mmdebstrap could not make the tree (its words are above)"
    as_root mv -T "$new" "$timescale_tree"
}

# Small emulated machines with a real BlueZ: Debian 13's, Debian 12's (tests/ble/README.md).
get_appliances() {
    "$venv/bin/python" -B -m tests.ble.appliance build --check 2>/dev/null && return 0
    can_be_root || fail "needs root once, and there is no sudo, to make the BlueZ images in /var/cache/hemma"
    say "making the images with real BlueZ in /var/cache/hemma/appliance (a minute)"
    as_root env HEMMA_APPLIANCE_CACHE="${HEMMA_APPLIANCE_CACHE:-}" \
        "$venv/bin/python" -B -m tests.ble.appliance build >&2 || fail "the BlueZ images could not be made (see above)"
}

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

show_times() {
    printf '\n%-14s %7s  %s\n' check seconds result
    cat "$results/table"
}

# step NAME COMMAND…: runs it, keeps its time, ends everything when it fails.
step() {
    name=$1
    shift
    printf '\n== %s\n' "$name"
    started=$(date +%s)
    { "$@" 2>&1 && echo 0 >"$results/code" || echo $? >"$results/code"; } | tee "$results/out"
    code=$(cat "$results/code")
    last=$(tail -n 1 "$results/out")
    printf '%-14s %7s  %s\n' "$name" "$(($(date +%s) - started))" "$(printf '%s' "$last" | tr -d '=' | cut -c 1-80)" \
        >>"$results/table"
    [ "$code" = 0 ] && return 0
    show_times
    printf '\n%s failed.\n%s\n' "$name" "$last"
    exit "$code"
}

tests() { "$venv/bin/python" -m pytest -q --color=no -p no:cacheprovider "$@"; }

# On real BlueZ, in emulated machines that share two cores: a scenario that fails is tried once more with the machine to
# itself, and both outcomes stand in the log. What fails twice fails the step.
scenarios() {
    on_bluez() { "$venv/bin/python" -m pytest -q --color=no -o cache_dir="$results/bluez" -m ble "$@" tests/ble; }
    on_bluez --numprocesses=4 --dist=loadgroup && return 0
    printf '\nhemma: once more, each by itself:\n'
    on_bluez --last-failed --last-failed-no-failures=none
}

begun=$(date +%s)
# shellcheck disable=SC2046  # words are meant
get_debian_packages $(wanted_packages)
get_timescale_tree
get_environment test
get_appliances
printf '%-14s %7s  %s\n' install "$(($(date +%s) - begun))" "" >>"$results/table"

HEMMA_TEST_REQUIRE_ALL=1
HEMMA_TEST_TIMESCALE_TREE=$timescale_tree
export HEMMA_TEST_REQUIRE_ALL HEMMA_TEST_TIMESCALE_TREE

step format "$venv/bin/ruff" format --check .
step lint "$venv/bin/ruff" check .
step imports "$venv/bin/lint-imports"
step types "$venv/bin/mypy"
step unit tests --numprocesses=2 -m "not integration and not browser and not demo and not ble"
step integration tests --numprocesses=2 --dist=loadfile -m "integration and not browser and not demo and not ble"
step ble scenarios
step browser tests --numprocesses=2 -m "browser and not demo"
step demo tests -m demo

show_times
printf '%-14s %7s\n' total "$(($(date +%s) - begun))"
printf '\n%s\n' "$last"
