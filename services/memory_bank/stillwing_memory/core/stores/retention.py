"""How much a tenant's bank holds, and what goes where that is too much. It knows nothing of what is put."""

from dataclasses import dataclass

from stillwing_common.errors import BankFull, InvalidInput
from stillwing_memory.core.stores import keyframe_sql
from stillwing_memory.core.stores.write_transaction import Write

_FORGET_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Retention:
    """How much a tenant's bank holds: keyframes with pixels, and bytes of pixels; 0 is without limit.

    `forget` False refuses what goes beyond (BankFull). True lets the oldest keyframes go: first those that no mission
    has in sight, then those that other missions have, never what the mission that puts has in sight. Each becomes a
    change of the log and keeps everything but its pixels and its place in searches.
    """

    max_keyframes: int = 0
    max_image_bytes: int = 0
    forget: bool = False

    def __post_init__(self) -> None:
        if self.max_keyframes < 0 or self.max_image_bytes < 0:
            raise InvalidInput("limits of retention are not negative; 0 is without limit")

    def exceeded(self, kept_keyframes: int, kept_image_bytes: int) -> bool:
        """Whether so much is too much."""
        return bool(
            (self.max_keyframes and kept_keyframes > self.max_keyframes)
            or (self.max_image_bytes and kept_image_bytes > self.max_image_bytes)
        )


def make_room(write: Write, limits: Retention, newest: int) -> list[str]:
    """Hold the limits; the keyframe just put stays. Returns the images that rows stopped naming. Raises BankFull."""
    freed: list[str] = []
    while limits.exceeded(write.kept_keyframes, write.kept_image_bytes):
        candidates = keyframe_sql.oldest_to_forget(write.connection, _FORGET_AT_ONCE, newest) if limits.forget else []
        if not candidates:
            raise BankFull(
                f"{write.kept_keyframes - 1} keyframes; raise the limit, or start with forgetting",
                max_keyframes=limits.max_keyframes,
                max_image_bytes=limits.max_image_bytes,
            )
        for row in candidates:
            keyframe_sql.forget(write.connection, row["revision"], write.next_revision())
            write.kept_keyframes -= 1
            write.kept_image_bytes -= row["image_bytes"]
            if row["image_ref"]:
                freed.append(row["image_ref"])
            if not limits.exceeded(write.kept_keyframes, write.kept_image_bytes):
                break
    return freed
