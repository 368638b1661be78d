#!/usr/bin/env bash
# Compiles constraints/: the exact versions that setup, images and CI install. Run through `make constraints`, which
# renews them all; with KEEP=1 what is pinned stays and only what pyproject.toml newly asks for is added.
#
#   all.txt     every package of every extra, one version for each Python and platform: for `pip install -c`
#   base.txt    what every service needs, with the hashes of its files
#   EXTRA.txt   what an extra adds to base.txt, with hashes
#   test.txt    what the tests add to the extras that fly, with hashes
#   build.txt   what builds the wheel, with hashes
#   triton.txt  the Triton whose interpreter runs the kernels' tests beside a CPU build of torch, with hashes
#
# torch and the libraries of its CUDA build stand in all.txt alone, without hashes: indexes serve different files under
# one version of torch (CPU, CUDA), and what comes along depends on the file.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=constraints
extras="airfield bridge memory engine agent plots"
mkdir -p "$folder"

# uv reads no configuration of pip, so an index that pip is told of is handed on.
index=$(python -m pip config get global.index-url 2>/dev/null || true)
[ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"

compile() { # FILE ARGUMENT…
  local file=$folder/$1
  shift
  uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --output-file "$file" "$@" >/dev/null
}
names() { # FILE…: the packages that are pinned there
  sed -nE 's/^([a-z0-9-]+)==.*/\1/p' "$@" | sort -u
}
without() { # FILE…: arguments that leave out what is pinned there, and torch with what it brings
  { names "$@"; names "$folder/all.txt" | grep -E '^(torch|triton|nvidia-.*|cuda-.*)$'; } | sort -u | sed 's/^/--no-emit-package=/'
}
hashed=(pyproject.toml --generate-hashes --constraint "$folder/all.txt")

[ -n "${KEEP:-}" ] || rm -f "$folder"/*.txt
compile all.txt pyproject.toml --all-extras
# shellcheck disable=SC2046
{
  compile base.txt "${hashed[@]}" $(without /dev/null)
  for extra in $extras; do
    compile "$extra.txt" "${hashed[@]}" --extra "$extra" $(without "$folder/base.txt")
  done
  compile test.txt "${hashed[@]}" --extra all --extra dev $(without "$folder/base.txt" $(printf "$folder/%s.txt " $extras))
}
python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' |
  compile build.txt - --generate-hashes --constraint "$folder/all.txt"
echo 'triton>=3.9,<4' | compile triton.txt - --generate-hashes # older interpreters fail with NumPy 2.4
wc -l "$folder"/*.txt
