#!/bin/sh
# From git and python3 alone to a running demo: sh deploy/demo.sh [--check] [--no-open] [--keep [DIR]]
# Gets (and says so): mosquitto and what pip needs from Debian, uv, and the packages of deploy/locks/demo.txt.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/deploy/install.sh"

get_debian_packages
get_environment demo test
exec "$venv/bin/hemma" demo "$@"
