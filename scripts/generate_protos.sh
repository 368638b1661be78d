#!/usr/bin/env bash
# Generates protos/gen from protos/stillwing. Run through `make protos`, with the virtual environment's bin on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
out=protos/gen
buf format -w
rm -rf "$out/stillwing"
mkdir -p "$out"
# shellcheck disable=SC2046
python -m grpc_tools.protoc -Iprotos -Iprotos/vendor \
  --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" --mypy_grpc_out="$out" \
  $(find protos/stillwing -name "*.proto" | sort) 2> >(grep -v "^Writing mypy" >&2 || true)
