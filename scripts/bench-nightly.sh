#!/usr/bin/env bash
# Compares the ratios with those on record (npm run bench -- check), and keeps the figures of each night. Exit code 1: a
# ratio has lost a quarter, or a part failed. For a machine that does nothing else meanwhile; half an hour.
#
#   17 3 * * *  /srv/parsl-collector/scripts/bench-nightly.sh /var/log/parsl-collector-bench
#
# usage: bench-nightly.sh DIRECTORY [option of npm run bench -- check…]
set -euo pipefail

if (($# == 0)); then
  echo "usage: bench-nightly.sh DIRECTORY [option of npm run bench -- check…]" >&2
  exit 2
fi
mkdir -p "$1"
directory=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."

name=$directory/$(date -u +%Y-%m-%dT%H%M%SZ)-$(git rev-parse --short HEAD)
# One at a time: two would measure each other.
exec 9>"$directory/lock"
flock --nonblock 9 || {
  echo "bench-nightly: another one is still measuring into $directory; look why it takes so long" >&2
  exit 1
}
npm --silent run bench -- check --json "$name.json" "$@" 2>"$name.log" | tee "$name.txt"
