#!/usr/bin/env bash
# Resolves what Windows installs beside the simulator ([bridge] extra) for win_amd64, wheels only, without installing it.
# Fails, naming the package, if any of it has no wheel there.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" - > "$work/requirements.txt" <<'PY'
import tomllib

project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print(*project["dependencies"], *project["optional-dependencies"]["bridge"], sep="\n")
PY

for version in 3.11 3.12; do
  "$python" -m pip install -qq --disable-pip-version-check --dry-run --ignore-installed --no-warn-script-location \
    --only-binary=:all: --platform win_amd64 --implementation cp --python-version "$version" \
    --target "$work/target" --report "$work/report.json" -r "$work/requirements.txt"
  "$python" - "$work/report.json" "$version" <<'PY'
import json
import sys

installs = json.load(open(sys.argv[1]))["install"]
files = [each["download_info"]["url"].rsplit("/", 1)[-1] for each in installs]
bad = [name for name in files if not (name.endswith("-any.whl") or "win_amd64" in name)]
if bad:
    sys.exit(f"no win_amd64 wheel: {', '.join(bad)}")
print(f"windows, Python {sys.argv[2]}: {len(files)} wheels, {sum('win_amd64' in name for name in files)} of them native")
PY
done
