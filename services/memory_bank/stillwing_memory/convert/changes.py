"""Messages of a bank's state and of its changes to the bank's values and back. It knows no bank and no server."""

from stillwing.memory.v1 import memory_pb2
from stillwing_memory.convert.entities import entity_from_wire, entity_to_wire
from stillwing_memory.convert.keyframes import keyframe_from_wire, keyframe_to_wire
from stillwing_memory.core.changes import Change, EntityChanged, KeyframeForgotten, KeyframePut
from stillwing_memory.core.protocol import BankInfo


def bank_to_wire(info: BankInfo) -> memory_pb2.GetBankResponse:
    """The bank."""
    return memory_pb2.GetBankResponse(
        store=info.store,
        store_version=info.store_version,
        similarity=info.similarity,
        keyframes=info.keyframes,
        entities=info.entities,
        revision=info.revision,
        tenant=info.tenant,
        scorer=info.scorer,
        image_bytes=info.image_bytes,
    )


def bank_from_wire(message: memory_pb2.GetBankResponse) -> BankInfo:
    """The bank."""
    return BankInfo(
        message.store,
        message.store_version,
        message.similarity,
        message.keyframes,
        message.entities,
        message.revision,
        message.tenant,
        message.scorer,
        message.image_bytes,
    )


def change_to_wire(change: Change) -> memory_pb2.WatchChangesResponse:
    """One change."""
    if isinstance(change, KeyframePut):
        return memory_pb2.WatchChangesResponse(revision=change.revision, keyframe_put=keyframe_to_wire(change.keyframe))
    if isinstance(change, KeyframeForgotten):
        gone = keyframe_to_wire(change.keyframe)
        return memory_pb2.WatchChangesResponse(revision=change.revision, keyframe_forgotten=gone)
    return memory_pb2.WatchChangesResponse(revision=change.revision, entity_changed=entity_to_wire(change.entity))


def change_from_wire(message: memory_pb2.WatchChangesResponse) -> Change | None:
    """One change, or None for a kind this version does not know, which readers skip."""
    match message.WhichOneof("change"):
        case "keyframe_put":
            return KeyframePut(message.revision, keyframe_from_wire(message.keyframe_put))
        case "entity_changed":
            return EntityChanged(message.revision, entity_from_wire(message.entity_changed))
        case "keyframe_forgotten":
            return KeyframeForgotten(message.revision, keyframe_from_wire(message.keyframe_forgotten))
        case _:
            return None
