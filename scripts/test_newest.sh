#!/usr/bin/env bash
# Runs the tests on the newest versions that pyproject.toml allows, in an environment of its own, .venv-newest, and
# says which of them are not those of constraints/. Arguments go to pytest. With STILLWING_TORCH that torch is kept.
set -euo pipefail
cd "$(dirname "$0")/.."
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1
venv=.venv-newest

[ -x "$venv/bin/python" ] || .venv/bin/python -m venv "$venv"
echo "newest: installing (minutes; the usual index has torch with gigabytes of CUDA libraries)"
"$venv/bin/python" -m pip install --quiet --no-compile "${STILLWING_TORCH:-torch}"
"$venv/bin/python" -m pip install --quiet --no-compile --upgrade --upgrade-strategy eager \
  --editable '.[all,dev]' ${STILLWING_TORCH:+"$STILLWING_TORCH"}
other=$("$venv/bin/python" -m pip freeze --exclude-editable | sed -E 's/^[^=]+/\L&/; :next; s/^([^=]*)[_.]/\1-/; t next' |
  grep -vxFf <(sed 's/ ;.*//' constraints/all.txt) || true)
echo "newest: not what constraints/ pins: ${other:-nothing}"
export PATH=$PWD/$venv/bin:$PATH OMP_NUM_THREADS=1
failed=0
python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder -m "not serial" "$@" || failed=1
python -m pytest -m serial "$@" || [ $? = 5 ] || failed=1 # 5: none of the tests that were named is serial
exit "$failed"
