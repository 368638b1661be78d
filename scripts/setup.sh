#!/usr/bin/env bash
# Makes .venv from constraints/: `setup.sh fly` what flying needs, and the GL libraries the camera needs; `setup.sh test`
# the tools of the tests beside it; `setup.sh upkeep` what renews constraints/. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-fly}
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 # a pip that is told to install for the user refuses to in here

find_python() { # prints the newest Python that will do
  local candidate
  for candidate in "${PYTHON:-}" python3.12 python3.11 python3; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "setup: Python 3.11 or 3.12 is needed. On Debian or Ubuntu: apt-get install python3.11 python3.11-venv" >&2
  return 1
}

install_gl() {
  local packages=(libegl1 libgl1)
  if ldconfig -p 2>/dev/null | grep -q 'libEGL\.so\.1' && ldconfig -p | grep -q 'libGL\.so\.1'; then
    return
  fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing ${packages[*]} for the simulator's camera"
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${packages[@]}"
  else
    echo "setup: the simulator's camera needs EGL and GL. Run: sudo apt-get install ${packages[*]}" >&2
    return 1
  fi
}

pip_install() { # without compiling: most of what is installed is never imported
  .venv/bin/python -m pip install --quiet --no-compile "$@"
}

compile() { # MODULE…: imports them, so that what a flight imports is compiled and known to be there
  env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -c "import $(IFS=,; echo "$*")"
}

pinned() { # NAME…: the files of constraints/, every file's hash checked, nothing beside what they name
  pip_install --require-hashes --no-deps "${@/#/--requirement=constraints/}"
}

setup_fly() {
  local python
  python=$(find_python)
  install_gl
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  echo "setup: installing what flying needs (a minute the first time)"
  # STILLWING_TORCH names another torch, a version or a wheel, STILLWING_TORCH_INDEX the index of another build. Which
  # libraries a torch brings depends on its build; what else it needs is pinned with the engine.
  local torch=(${STILLWING_TORCH_INDEX:+"--index-url=$STILLWING_TORCH_INDEX"})
  if [ -n "${STILLWING_TORCH:-}" ]; then
    torch+=("$STILLWING_TORCH")
  else
    torch+=(--constraint constraints/all.txt torch)
  fi
  pip_install --no-deps "${torch[@]}" &
  pinned {base,engine,build}.txt
  wait $!
  pip_install "${torch[@]}"
  pip_install --no-deps --no-build-isolation --editable .
  compile stillwing_vlm.core.engines.loading stillwing_vlm.__main__ &
  pinned {airfield,bridge,memory,agent,plots}.txt
  wait $!
  compile stillwing_{airfield,bridge,memory,agent}.__main__ stillwing_memory.core.bank stillwing_cli.fly matplotlib.figure
}

setup_test() {
  echo "setup: installing what the tests need"
  pinned test.txt
}

case $what in
  fly) setup_fly ;;
  test) setup_test ;;
  upkeep) pip_install --constraint constraints/all.txt uv ;;
  *)
    echo "setup: fly, test or upkeep, not $what" >&2
    exit 2
    ;;
esac
echo "setup: done"
