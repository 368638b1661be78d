"""Sessions kept in files, so that a process that was killed loses nothing but the frames since.

An export is one safetensors file in a folder of the engine's own; clients name it and never see a path. It is written
beside its place, flushed to the disk and then put there in one step: a reader finds the old one or the new one, whole.

It knows no tensors: what is in the file beside the description is the backend's.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stillwing_common.durable import replace_durably
from stillwing_common.errors import Exhausted, ExportNotWritten, ExportUnusable, UnknownExport
from stillwing_vlm.core.backend import Backend, CacheSizes
from stillwing_vlm.core.memory.gate import GatePast
from stillwing_vlm.core.memory.session_state import SavedSession, from_json, to_json
from stillwing_vlm.core.names import check_name
from stillwing_vlm.core.results import ExportInfo

_SUFFIX = ".safetensors"
_REFERENCE, _HOLDER = "gate_reference", "gate_holder"


def write_session(backend: Backend, path: Path, saved: SavedSession) -> int:
    """Write an export and return its bytes. Any thread. Raises ExportNotWritten; then what was there is there still."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        backend.write_cache(unfinished, saved.cache, to_json(saved.state), _past_arrays(saved.gate_past))
        size = unfinished.stat().st_size
        replace_durably(unfinished, path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise ExportNotWritten(f"{path.name}: {error.strerror or error}") from error
    return size


def read_session(backend: Backend, path: Path) -> SavedSession:
    """Read an export. Any thread. Raises ExportUnusable where it is damaged, cut short or of another model."""

    def checked(text: str) -> CacheSizes:
        state = from_json(text)
        for what, ours, theirs in (
            ("engine", backend.name, state.engine),
            ("dtype", backend.dtype, state.dtype),
            ("kv_cache_dtype", backend.kv_cache_dtype, state.kv_cache_dtype or state.dtype),
            ("weights", backend.fingerprint, state.fingerprint),
        ):
            if ours != theirs:
                raise ExportUnusable(
                    f"it was made by model {state.model!r} with {what} {theirs}, and {backend.model!r} with {ours} is "
                    "loaded",
                    field=what,
                )
        past = state.gate_past
        arrays = {} if past is None else {_REFERENCE: (np.uint8, (*past.picture, 3)), _HOLDER: (np.int64, past.places)}
        return CacheSizes(state.trunk.tokens, state.trunk.kept_tokens, arrays)

    try:
        text, cache, arrays = backend.read_cache(path, checked)
    except OSError as error:
        raise ExportUnusable(f"it cannot be read: {error.strerror or error}") from error
    past = GatePast(arrays[_REFERENCE], arrays[_HOLDER]) if arrays else None
    return SavedSession(from_json(text), cache, past)


def _past_arrays(past: GatePast | None) -> dict[str, npt.NDArray[Any]]:
    return {} if past is None else {_REFERENCE: past.reference, _HOLDER: past.holder}


class ExportFolder:
    """The exports of one engine. A folder belongs to one engine at a time."""

    def __init__(self, folder: Path, most: int) -> None:
        """`most`: how many names may be in use. The folder is made where there is none. Raises ExportNotWritten."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExportNotWritten(f"{folder} is no folder to write to: {error.strerror}") from error
        self._folder = folder
        self._most = most

    def path(self, name: str) -> Path:
        """Where the export of this name lies or would lie. Raises InvalidInput for what is no plain name."""
        check_name(name, "an export")
        return self._folder / f"{name}{_SUFFIX}"

    def path_to_write(self, name: str) -> Path:
        """The same; raises Exhausted where the name would be one too many."""
        path = self.path(name)
        if not path.exists() and len(self.infos()) >= self._most:
            raise Exhausted(f"at most {self._most} exports; delete one or use a name again", limit=self._most)
        return path

    def existing_path(self, name: str) -> Path:
        """The same; raises UnknownExport where there is none."""
        path = self.path(name)
        if not path.is_file():
            raise UnknownExport(f"{name!r}", name=name)
        return path

    def infos(self) -> list[ExportInfo]:
        """What there is, oldest first."""
        found = []
        for path in self._folder.glob(f"[!.]*{_SUFFIX}"):
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append(ExportInfo(path.name.removesuffix(_SUFFIX), status.st_size, status.st_mtime_ns))
        return sorted(found, key=lambda info: (info.saved_wall_ns, info.name))

    def delete(self, name: str) -> None:
        """Remove an export; deleting what is gone succeeds. Raises InvalidInput."""
        self.path(name).unlink(missing_ok=True)
