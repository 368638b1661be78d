#!/usr/bin/env bash
# Makes .venv with every extra, and the GL libraries the camera needs. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

python=""
for candidate in "${PYTHON:-}" python3.12 python3.11 python3; do
  if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
    "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "setup: Python 3.11 or 3.12 is needed. On Debian or Ubuntu: apt-get install python3.11 python3.11-venv" >&2
  exit 1
fi

if ! { ldconfig -p 2>/dev/null | grep -q 'libEGL\.so\.1' && ldconfig -p | grep -q 'libGL\.so\.1'; }; then
  packages=(libegl1 libgl1)
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing ${packages[*]} for the simulator's camera"
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${packages[@]}"
  else
    echo "setup: the simulator's camera needs EGL and GL. Run: sudo apt-get install ${packages[*]}" >&2
    exit 1
  fi
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "setup: installing packages (a few minutes the first time)"
# The CPU build of torch must be there before anything that depends on torch, or the CUDA build comes along.
# On a machine with an NVIDIA card set STILLWING_TORCH to the build that fits it.
.venv/bin/python -m pip install --quiet --disable-pip-version-check "${STILLWING_TORCH:-torch==2.13.0}"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[all,dev]'
echo "setup: done. Next: make fly"
