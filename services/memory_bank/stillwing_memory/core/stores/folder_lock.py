"""Who owns a folder: a lock that the kernel takes back from a killed process. It knows nothing of what is in it."""

import fcntl
import os
from pathlib import Path
from typing import IO

from stillwing_common.errors import StoreInUse


def take_folder_lock(folder: Path) -> IO[str]:
    """Own the folder until the file that is returned is closed. Raises StoreInUse, which names the holder, OSError."""
    lock_file = (folder / "lock").open("a+")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock_file.seek(0)
        holder = lock_file.read().strip()
        lock_file.close()
        raise StoreInUse(f"process {holder} has {folder}", folder=folder, pid=holder) from error
    lock_file.truncate(0)
    lock_file.write(f"{os.getpid()}\n")
    lock_file.flush()
    return lock_file
