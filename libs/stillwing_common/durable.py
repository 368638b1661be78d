"""Files that outlive a loss of power. It knows nothing of what is in them."""

import os
from pathlib import Path


def flush_to_disk(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk when this returns. Raises OSError."""
    if path.is_dir() and os.name != "posix":  # elsewhere folders cannot be flushed
        return
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_durably(unfinished: Path, path: Path) -> None:
    """Put a written file in the place of `path`, in the same file system, whole or not at all. Raises OSError."""
    flush_to_disk(unfinished)
    unfinished.replace(path)
    flush_to_disk(path.parent)
