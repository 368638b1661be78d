"""Check constraints/ against pyproject.toml, without a network.

    python scripts/check_constraints.py [FOLDER]

FOLDER holds pyproject.toml and constraints/. Prints one line a fault and exits 1 if there is one.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = canonicalize_name("stillwing")
FLYING = ("airfield", "bridge", "memory", "engine", "agent", "plots")
"""Extras with a file of their own."""
WINDOWS = ("bridge",)
"""Extras that are installed on Windows too."""
UNHASHED = re.compile(r"torch|triton|nvidia-.+|cuda-.+")
"""Torch and what its CUDA build brings, of which indexes serve different files under one version."""
# A pin, or a hash; a line that names an index, an address, a host or a path is none of these.
_PIN = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>[0-9][a-z0-9.]*)(?: ; (?P<marker>[a-z_0-9A-Z.'() =!<>*]+))?(?P<more> \\)?"
)
_HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")


@dataclass(frozen=True, slots=True)
class Pin:
    """One exact version, and where it applies."""

    name: NormalizedName
    version: Version
    marker: Marker | None
    hashes: int

    def applies(self, environment: Mapping[str, str]) -> bool:
        """Whether it is for this Python and platform."""
        return self.marker is None or self.marker.evaluate(dict(environment))


def environments(platforms: Iterable[str]) -> Iterator[dict[str, str]]:
    """What markers are evaluated with: each Python that is supported, on each of the platforms."""
    for platform in platforms:
        for python in ("3.11", "3.12"):
            yield {
                "python_version": python,
                "python_full_version": f"{python}.0",
                "implementation_name": "cpython",
                "platform_python_implementation": "CPython",
                "platform_machine": "AMD64" if platform == "win32" else "x86_64",
                "platform_system": "Windows" if platform == "win32" else "Linux",
                "sys_platform": platform,
                "os_name": "nt" if platform == "win32" else "posix",
                "extra": "",
            }


def read_pins(path: Path, faults: list[str]) -> list[Pin]:
    """The pins of a file; every line that is neither pin nor hash is a fault."""
    pins: list[Pin] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if match := _PIN.fullmatch(line):
            marker = Marker(match["marker"]) if match["marker"] else None
            pins.append(Pin(canonicalize_name(match["name"]), Version(match["version"]), marker, 0))
        elif _HASH.fullmatch(line) and pins:
            last = pins[-1]
            pins[-1] = Pin(last.name, last.version, last.marker, last.hashes + 1)
        else:
            faults.append(f"{path.name}:{number}: neither a pin nor a hash: {line.strip()[:60]}")
    return pins


def wanted(project: Mapping[str, object], extras: Iterable[str]) -> list[Requirement]:
    """The direct requirements of the project with these extras, those inside extras followed."""
    optional: Mapping[str, list[str]] = project["optional-dependencies"]  # type: ignore[assignment]
    base: list[str] = project["dependencies"]  # type: ignore[assignment]
    requirements, waiting, seen = [Requirement(text) for text in base], list(extras), set[str]()
    while waiting:
        extra = waiting.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for requirement in map(Requirement, optional[extra]):
            if canonicalize_name(requirement.name) == PROJECT:
                waiting += requirement.extras
            else:
                requirements.append(requirement)
    return requirements


def closure(roots: Iterable[Requirement], environment: Mapping[str, str]) -> Iterator[tuple[str, Requirement]]:
    """Each requirement that applies, with who asks for it, followed through what is installed here."""
    waiting, seen = [("pyproject.toml", root) for root in roots], set[str]()
    while waiting:
        who, requirement = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate(dict(environment)):
            continue
        yield who, requirement
        key = f"{canonicalize_name(requirement.name)}{sorted(requirement.extras)}"
        if key in seen:
            continue
        seen.add(key)
        try:
            texts = distribution(requirement.name).requires or []
        except PackageNotFoundError:
            continue
        for needed in map(Requirement, texts):
            if any(
                needed.marker is None or needed.marker.evaluate({**environment, "extra": extra})
                for extra in ("", *requirement.extras)
            ):
                waiting.append(
                    (requirement.name, Requirement(f"{needed.name}[{','.join(needed.extras)}]{needed.specifier}"))
                )


def check_cover(
    file: str, pins: list[Pin], roots: list[Requirement], platforms: Iterable[str], *, torch: bool
) -> Iterator[str]:
    """Everything that is asked for is pinned once for each Python and platform, in the range that is asked for."""
    for environment in environments(platforms):
        where = f"{file} (Python {environment['python_version']}, {environment['sys_platform']})"
        here: dict[str, Version] = {}
        for pin in pins:
            if pin.applies(environment) and here.setdefault(pin.name, pin.version) != pin.version:
                yield f"{where}: {pin.name} is pinned to {here[pin.name]} and {pin.version}"
        for who, requirement in closure(roots, environment):
            name = canonicalize_name(requirement.name)
            if not torch and UNHASHED.fullmatch(name):
                continue
            if name not in here:
                yield f"{where}: {name} is not pinned, which {who} needs"
            elif not requirement.specifier.contains(here[name], prereleases=True):
                yield f"{where}: {name} is {here[name]}, and {who} needs {requirement.specifier}"


def check_hashes(file: str, pins: list[Pin], everything: list[Pin]) -> Iterator[str]:
    """Each pin has hashes and is the one of all.txt."""
    known = {(pin.name, pin.version) for pin in everything}
    for pin in pins:
        if not pin.hashes:
            yield f"{file}: {pin.name} has no hash"
        if UNHASHED.fullmatch(pin.name):
            yield f"{file}: {pin.name} differs between indexes and belongs in all.txt alone"
        elif known and (pin.name, pin.version) not in known:
            yield f"{file}: {pin.name} {pin.version} is not what all.txt pins"


def check(root: Path) -> list[str]:
    """Everything that is wrong."""
    faults: list[str] = []
    document = tomllib.loads((root / "pyproject.toml").read_text())
    project, build = document["project"], document["build-system"]["requires"]
    files = {path.stem: read_pins(path, faults) for path in sorted((root / "constraints").glob("*.txt"))}
    missing = {"all", "base", "test", "build", "triton", *FLYING} - set(files)
    if missing:
        return [*faults, *(f"constraints/{name}.txt is missing" for name in sorted(missing))]
    everything, base = files["all"], files["base"]
    extras = list(project["optional-dependencies"])
    faults += check_cover("all.txt", everything, wanted(project, extras), ["linux"], torch=True)
    faults += check_cover("all.txt", everything, wanted(project, WINDOWS), ["win32"], torch=True)
    faults += check_cover("base.txt", base, wanted(project, []), ["linux", "win32"], torch=False)
    for extra in FLYING:
        platforms = ["linux", "win32"] if extra in WINDOWS else ["linux"]
        faults += check_cover(f"{extra}.txt", base + files[extra], wanted(project, [extra]), platforms, torch=False)
    tested = [pin for name in ("base", "test", *FLYING) for pin in files[name]]
    faults += check_cover("test.txt", tested, wanted(project, ["all", "dev"]), ["linux"], torch=False)
    faults += check_cover("build.txt", files["build"], [Requirement(text) for text in build], ["linux"], torch=False)
    for name in ("base", "test", *FLYING):
        faults += check_hashes(f"{name}.txt", files[name], everything)
    faults += check_hashes("build.txt", files["build"], [])
    faults += [f"triton.txt: {pin.name} has no hash" for pin in files["triton"] if not pin.hashes]
    return list(dict.fromkeys(faults))


def main() -> int:
    """The exit code."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    faults = check(root)
    for fault in faults:
        print(f"check_constraints: {fault}", file=sys.stderr)
    if faults:
        print("check_constraints: `make constraints KEEP=1` adds what is missing and keeps the rest", file=sys.stderr)
        return 1
    print("check_constraints: constraints/ pins all that pyproject.toml asks for")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
