#!/usr/bin/env bash
# Resolves what Windows installs beside the simulator, constraints/base.txt and bridge.txt, for win_amd64, wheels only,
# without installing it. Fails, naming the package, if any of it has no wheel there.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# pip asks the markers about the platform it runs on, not the one it is asked about: here Windows goes by Linux's name.
# Without hashes it reads metadata instead of downloading the wheels.
sed -E "s/'linux'/'elsewhere'/g; s/'win32'/'linux'/g; s/ \\\\$//; /--hash/d" constraints/{base,bridge}.txt > "$work/requirements.txt"
resolve() { # VERSION of Python
  .venv/bin/python -m pip install -qq --disable-pip-version-check --dry-run --ignore-installed --no-deps \
    --only-binary=:all: --platform win_amd64 --implementation cp --python-version "$1" \
    --target "$work/target-$1" --report "$work/$1.json" -r "$work/requirements.txt"
  .venv/bin/python - "$work/$1.json" "$1" <<'PY'
import json
import sys

installs = json.load(open(sys.argv[1]))["install"]
files = [each["download_info"]["url"].rsplit("/", 1)[-1] for each in installs]
native = [name for name in files if "win_amd64" in name]
print(f"windows, Python {sys.argv[2]}: {len(files)} wheels, {len(native)} of them native")
PY
}

resolve 3.11 &
resolve 3.12
wait $!
