# Shared by demo.sh and test.sh: gets what is missing, and nothing twice. Sourced, with $root set to the checkout.
# shellcheck shell=sh disable=SC2154,SC2086  # root is the sourcing script's; some words are meant
#
# What it leaves: .tools/ (the installer uv, checked by hash) and .venv/ (the packages of one lock file, checked by
# hash, and this checkout itself), both in the checkout; and Debian packages, each named before it is installed.
# Everything it says goes to standard error, so that a report on standard output stays alone there.

say() { printf '%s\n' "hemma: $*" >&2; }

fail() {
    printf '%s\n' "hemma: $*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Debian keeps servers in sbin, which is not on every user's path.
PATH="$PATH:/usr/sbin:/sbin"
export PATH

# The system's own certificates, for networks with a certificate authority of their own.
trust_system_certificates() {
    bundle=/etc/ssl/certs/ca-certificates.crt
    [ -s "$bundle" ] || return 0
    : "${SSL_CERT_FILE:=$bundle}" "${PIP_CERT:=$SSL_CERT_FILE}"
    export SSL_CERT_FILE PIP_CERT
}

# as_root COMMAND…: directly, or through sudo, which may ask for the password.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi
}

can_be_root() { [ "$(id -u)" = 0 ] || have sudo; }

# apt_install PACKAGE…: installs them, or says exactly what to install and ends.
apt_install() {
    if ! have apt-get; then
        fail "needs these packages (Debian's names); install them, then run this again: $*"
    fi
    if ! can_be_root; then
        fail "needs root once, and there is no sudo. As root: apt-get update && apt-get install $*"
    fi
    say "installing Debian packages: $*"
    apt_quietly update
    apt_quietly install --yes --no-install-recommends "$@" ||
        fail "apt-get could not install: $*  (its words are above)"
}

# Two tries, because a mirror may be busy; the log is shown only when it failed.
apt_quietly() {
    log=$(mktemp)
    for _ in 1 2; do
        if as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" >"$log" 2>&1; then
            rm -f "$log"
            return 0
        fi
    done
    cat "$log" >&2
    rm -f "$log"
    return 1
}

find_python() {
    python=${HEMMA_PYTHON:-python3}
    have "$python" || fail "needs Python 3.11 or later. As root: apt-get install python3"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "needs Python 3.11 or later; $python is $("$python" -V 2>&1). Set HEMMA_PYTHON to a newer one."
    python=$("$python" -c 'import sys; print(sys.executable)')
}

# Everything that is missing from the distribution is asked for at once: one sudo, one wait.
# The argument is the list of further packages.
get_debian_packages() {
    missing=$*
    have mosquitto || missing="$missing mosquitto"
    [ -s /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"
    can_get_uv || missing="$missing python3-venv"
    [ -z "${missing# }" ] || apt_install ${missing# }
}

uv_is_here() { [ "$(cat "$tools/stamp" 2>/dev/null)" = "$(stamp_of "$locks/tools.txt")" ]; }

# pip comes with python3-venv; on Debian, python3 alone has neither.
can_get_uv() {
    uv_is_here || "$python" -c 'import venv, ensurepip' 2>/dev/null || "$python" -m pip --version >/dev/null 2>&1
}

# stamp_of FILE…: what was installed from what, by which Python.
stamp_of() {
    { cat "$@" && "$python" -c 'import sys; print(sys.executable, sys.version)'; } | sha256sum | cut -d' ' -f1
}

get_uv() {
    uv_is_here && return 0
    say "installing the installer uv into .tools/"
    rm -rf "$tools"
    if "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        "$python" -m venv "$tools"
        "$tools/bin/python" -m pip install $pip_options -r "$locks/tools.txt" >&2
    else
        "$python" -m pip install $pip_options --target "$tools" -r "$locks/tools.txt" >&2
    fi
    [ -x "$tools/bin/uv" ] || fail "uv did not arrive in $tools/bin"
    stamp_of "$locks/tools.txt" >"$tools/stamp"
}

# get_environment NAME…: .venv/ holds the first-named lock; a later-named one that is already there will do, because
# it holds the same and more.
get_environment() {
    for name in "$@"; do
        [ "$(cat "$venv/hemma-stamp" 2>/dev/null)" = "$name $(environment_stamp "$name")" ] && return 0
    done
    say "installing the packages of deploy/locks/$1.txt into .venv/"
    get_uv
    rm -f "$venv/hemma-stamp"
    "$venv/bin/python" -c '' 2>/dev/null || "$tools/bin/uv" venv --quiet --clear --python "$python" "$venv" >&2
    "$tools/bin/uv" pip sync --quiet --python "$venv/bin/python" --require-hashes --only-binary :all: \
        "$locks/$1.txt" >&2
    "$tools/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --offline \
        --editable "$root" >&2
    printf '%s\n' "$1 $(environment_stamp "$1")" >"$venv/hemma-stamp"
}

environment_stamp() { stamp_of "$locks/$1.txt" "$root/pyproject.toml"; }

tools=$root/.tools
venv=$root/.venv
locks=$root/deploy/locks
pip_options="--quiet --disable-pip-version-check --no-input --require-hashes --only-binary=:all:"

# No Python is fetched behind the user's back; no home folder is needed.
UV_PYTHON_DOWNLOADS=never
UV_NO_PROGRESS=1
[ -n "${HOME:-}" ] && [ -w "${HOME:-}" ] || UV_CACHE_DIR=${UV_CACHE_DIR:-$root/.tools-cache}
export UV_PYTHON_DOWNLOADS UV_NO_PROGRESS
[ -z "${UV_CACHE_DIR:-}" ] || export UV_CACHE_DIR
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME PIP_TARGET PIP_USER PIP_REQUIRE_VIRTUALENV UV_PROJECT_ENVIRONMENT

trust_system_certificates
find_python
