#!/usr/bin/env bash
# Fails if generating again would change protos/gen, or if the protos break what main promises.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
scripts/generate_protos.sh "$fresh"
if ! diff -r --exclude=__pycache__ "$fresh/stillwing" protos/gen/stillwing; then
  echo "protos/gen is out of date. Run: make protos" >&2
  exit 1
fi
base=$(git merge-base HEAD origin/main 2>/dev/null || git rev-parse -q --verify HEAD~1 2>/dev/null || true)
if [ -n "$base" ] && git cat-file -e "$base:buf.yaml" 2>/dev/null; then
  rc=0
  report=$(buf breaking --against ".git#ref=$base") || rc=$?
  if [ "$rc" -ne 0 ] && [ "$rc" -ne 100 ]; then  # 100: there are breaking changes
    echo "$report" >&2
    exit "$rc"
  fi
  breaking=$(sed -E 's/^([^:]+):[0-9]+:[0-9]+:/\1: /' <<<"$report")
  allowed=protos/breaking_allowed.txt
  if grep -vxF -f <(grep -v '^#' "$allowed") <<<"$breaking" | grep .; then
    echo "protos: the changes above break what $base promises, and $allowed does not list them" >&2
    exit 1
  fi
  grep -v '^#' "$allowed" | grep -vxF -f <(echo "$breaking") | sed 's/^/protos: allowed, but reported no more: /' || true
else
  echo "protos: no earlier version to compare with"
fi
