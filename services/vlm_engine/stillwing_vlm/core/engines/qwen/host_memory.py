"""Free memory of the host, as far as this process may take it: a container's limit counts as well as the machine's.

It knows nothing of models.
"""

from pathlib import Path


def free_host_bytes(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """What the machine has available, or what is left of this process's control group where that is less.

    Raises OSError where the machine does not say.
    """
    free = _available(proc / "meminfo")
    for group in _groups(proc, cgroups):
        limit, used = _number(group / "memory.max"), _number(group / "memory.current")
        if limit is not None and used is not None:
            # File pages count as used and go when memory is wanted.
            free = min(free, max(0, limit - used + _reclaimable(group / "memory.stat")))
    return free


def _available(path: Path) -> int:
    for line in path.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{path} has no MemAvailable")


def _groups(proc: Path, cgroups: Path) -> list[Path]:
    """The process's own group and all above it; each of them limits."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    unified = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    if unified is None:
        return []
    own = cgroups / unified.strip("/")
    return [own, *(parent for parent in own.parents if parent.is_relative_to(cgroups))]


def _number(path: Path) -> int | None:
    """None where there is no such file or it says "max"."""
    try:
        found = path.read_text().strip()
    except OSError:
        return None
    return int(found) if found.isdigit() else None


def _reclaimable(path: Path) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "active_file ")))
