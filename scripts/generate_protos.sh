#!/usr/bin/env bash
# Generates protos/gen, or the folder that is named, from protos/stillwing. Run through `make protos`, with the virtual
# environment's bin on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-protos/gen}
rm -rf "$out/stillwing"
mkdir -p "$out"
# shellcheck disable=SC2046
python -m grpc_tools.protoc -Iprotos -Iprotos/vendor \
  --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" --mypy_grpc_out="$out" \
  $(find protos/stillwing -name '*.proto' | sort) 2> >(grep -v "^Writing mypy" >&2 || true)
for package in "$out"/stillwing/*/v1; do touch "$package/py.typed"; done
