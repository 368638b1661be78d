"""The snapshots of one session: states of its trunk under an id and, where its owner wants, a name.

A snapshot is a mark in the trunk's book-keeping; nothing is copied, whatever the trunk holds. Used by the device's
owner thread. It knows no cache and no branches.
"""

from dataclasses import dataclass

from stillwing_common.clock import Clock
from stillwing_common.errors import Exhausted, InvalidInput, UnknownSnapshot
from stillwing_common.ids import new_id
from stillwing_vlm.core.memory.marks import TrunkMark
from stillwing_vlm.core.memory.trunk import Trunk
from stillwing_vlm.core.names import check_name
from stillwing_vlm.core.results import SNAPSHOT_ID_PREFIX, SnapshotInfo


@dataclass(slots=True)
class _Snapshot:
    snapshot_id: str
    name: str
    last_frame_id: str
    mark: TrunkMark
    ttl_s: float | None
    expires_s: float | None


class Snapshots:
    """What can be gone back to, oldest first. Ids are unique everywhere, names in their session."""

    def __init__(self, trunk: Trunk, clock: Clock, most: int) -> None:
        self._trunk = trunk
        self._clock = clock
        self._most = most
        self._kept: dict[str, _Snapshot] = {}

    def take(self, ttl_s: float | None, name: str) -> SnapshotInfo:
        """Keep the present state, in place of what has this name. An empty name is none.

        Raises InvalidInput, Exhausted where there are too many; then what had the name has it still.
        """
        if ttl_s is not None and ttl_s <= 0:
            raise InvalidInput("a snapshot's ttl is greater than zero", ttl_s=ttl_s)
        if name:
            check_name(name, "a snapshot")
            if name.startswith(SNAPSHOT_ID_PREFIX):
                raise InvalidInput(f"a snapshot's name does not begin like an id: {SNAPSHOT_ID_PREFIX!r}", name=name)
        self._drop_expired()
        replaced = self._find(name)
        if replaced is None and len(self._kept) >= self._most:
            raise Exhausted(f"at most {self._most} snapshots in a session; delete one or use a name again")
        snapshot_id, trunk = new_id("snp"), self._trunk
        taken = _Snapshot(snapshot_id, name, trunk.last_frame_id, trunk.mark(), ttl_s, self._expiry(ttl_s))
        if replaced is not None:
            self._drop(replaced)
        self._kept[snapshot_id] = taken
        return self._info(taken)

    def restore(self, snapshot: str) -> None:
        """Rewind the trunk to a snapshot, by its id or name. Raises UnknownSnapshot, SnapshotOverwritten."""
        self._drop_expired()
        found = self._find(snapshot)
        if found is None:
            raise UnknownSnapshot(f"no snapshot {snapshot!r} in this session", snapshot_id=snapshot)
        self._trunk.rewind(found.mark)
        found.expires_s = self._expiry(found.ttl_s)

    def delete(self, snapshot: str) -> bool:
        """Forget a snapshot, by its id or name; False where there is none."""
        found = self._find(snapshot)
        if found is not None:
            self._drop(found)
        return found is not None

    def infos(self) -> tuple[SnapshotInfo, ...]:
        """What there is, oldest first, whether or not it can still be restored."""
        now_s = self._clock.monotonic_s()
        return tuple(self._info(kept) for kept in self._kept.values() if not _is_expired(kept, now_s))

    def _info(self, kept: _Snapshot) -> SnapshotInfo:
        restorable = self._trunk.can_rewind(kept.mark)
        return SnapshotInfo(kept.snapshot_id, 0, kept.name, kept.last_frame_id, restorable)

    def _find(self, snapshot: str) -> _Snapshot | None:
        if not snapshot or snapshot in self._kept:
            return self._kept.get(snapshot)
        return next((kept for kept in self._kept.values() if kept.name == snapshot), None)

    def _drop(self, kept: _Snapshot) -> None:
        del self._kept[kept.snapshot_id]
        self._trunk.forget(kept.mark)

    def _expiry(self, ttl_s: float | None) -> float | None:
        return None if ttl_s is None else self._clock.monotonic_s() + ttl_s

    def _drop_expired(self) -> None:
        now_s = self._clock.monotonic_s()
        for kept in [kept for kept in self._kept.values() if _is_expired(kept, now_s)]:
            self._drop(kept)


def _is_expired(kept: _Snapshot, now_s: float) -> bool:
    return kept.expires_s is not None and kept.expires_s <= now_s
