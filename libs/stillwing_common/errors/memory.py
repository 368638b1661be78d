"""What the memory bank says of keyframes, its limits and its store."""

from stillwing_common.errors.base import Exhausted, InternalFault, InvalidInput, NotFound, Unavailable, WrongState


class UnknownKeyframe(NotFound):
    """No keyframe has this frame id."""

    reason = "UNKNOWN_KEYFRAME"


class UnknownEntity(NotFound):
    """No entity has this id."""

    reason = "UNKNOWN_ENTITY"


class UnknownInstruction(NotFound):
    """The mission has no instruction of this number; begin it first."""

    reason = "UNKNOWN_INSTRUCTION"


class KeyframeForgotten(NotFound):
    """Retention has taken this keyframe's pixels; raise the bank's limits to keep more."""

    reason = "KEYFRAME_FORGOTTEN"


class ImageLost(NotFound):
    """This keyframe's pixels are gone, or are others than were kept; bring them back from a backup."""

    reason = "IMAGE_LOST"


class BankFull(Exhausted):
    """The bank has reached its limit and keeps what it has; raise the limit or let it forget the oldest."""

    reason = "BANK_FULL"
    retryable = False


class BackupFailed(WrongState):
    """The backup was not made, or cannot be restored here."""

    reason = "BACKUP_FAILED"


class StoreUnavailable(Unavailable):
    """The store does not answer."""

    reason = "STORE_UNAVAILABLE"


class StoreDamaged(InternalFault):
    """The database's own files are damaged; restore a backup."""

    reason = "STORE_DAMAGED"


class StoreTooNew(WrongState):
    """A later version of the memory bank wrote this store; serve it with that version."""

    reason = "STORE_TOO_NEW"


class StoreInUse(WrongState):
    """Another memory bank has this data folder; stop it or choose another folder."""

    reason = "STORE_IN_USE"


class BadPageToken(InvalidInput):
    """The page token is not one this service gave out."""

    reason = "BAD_PAGE_TOKEN"
