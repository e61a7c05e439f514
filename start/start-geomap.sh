#!/bin/sh
# Starts geomap on this computer (Linux and macOS): sh start/start-geomap.sh
# The first time it makes an environment of its own in .venv; that takes a few minutes and needs the internet.
set -e
cd "$(dirname "$0")/.."
if [ ! -x .venv/bin/geomap ]; then
  for python in python3.13 python3.12 python3.11 python3; do
    "$python" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 || continue
    found="$python"
    break
  done
  if [ -z "$found" ]; then
    echo "geomap needs Python 3.11, 3.12 or 3.13 with its venv module, and found none. Install it and start this again."
    exit 1
  fi
  echo "Making the environment. This happens once and takes a few minutes."
  "$found" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements.lock
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation .
fi
exec .venv/bin/geomap serve --open
