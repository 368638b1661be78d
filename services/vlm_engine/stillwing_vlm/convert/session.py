"""What a session is opened with, and what becomes of its frames, as messages and back.

Refuses what the types cannot hold; decides nothing else.
"""

from stillwing.vlm.v1 import vlm_pb2
from stillwing_common.errors import InvalidInput, StillwingError
from stillwing_rpc.convert import (
    duration_from_wire,
    duration_to_wire,
    timestamp_from_wire,
    timestamp_to_wire,
)
from stillwing_rpc.errors import to_status
from stillwing_rpc.vectors import vectors_from_wire, vectors_to_wire
from stillwing_vlm.convert.conversation import tools_from_wire, tools_to_wire
from stillwing_vlm.core.requests import (
    Eviction,
    EvictionLevel,
    EvictionPositions,
    FrameLayout,
    FramePolicy,
    PeriodicExport,
    SessionConfig,
)
from stillwing_vlm.core.results import (
    AppendResult,
    Evicted,
    ExportInfo,
    FrameKeys,
    Pooled,
    RecallResult,
    SnapshotInfo,
    TextQuery,
    TokenSaving,
)

SERVICE = "stillwing.vlm.v1.VlmService"

_LEVEL_TO_WIRE = {
    EvictionLevel.OLDEST: vlm_pb2.Eviction.LEVEL_OLDEST,
    EvictionLevel.SUBSAMPLED: vlm_pb2.Eviction.LEVEL_SUBSAMPLED,
}

_LEVEL_FROM_WIRE = {int(wire): level for level, wire in _LEVEL_TO_WIRE.items()}

_POSITIONS_TO_WIRE = {
    EvictionPositions.CONTIGUOUS: vlm_pb2.Eviction.POSITIONS_CONTIGUOUS,
    EvictionPositions.GAP: vlm_pb2.Eviction.POSITIONS_GAP,
}

_POSITIONS_FROM_WIRE = {int(wire): positions for positions, wire in _POSITIONS_TO_WIRE.items()}

_POLICY_TO_WIRE = {
    FramePolicy.IN_ORDER: vlm_pb2.FRAME_POLICY_IN_ORDER,
    FramePolicy.NEWEST_WINS: vlm_pb2.FRAME_POLICY_NEWEST_WINS,
}

_POLICY_FROM_WIRE = {int(wire): policy for policy, wire in _POLICY_TO_WIRE.items()} | {
    int(vlm_pb2.FRAME_POLICY_UNSPECIFIED): FramePolicy.IN_ORDER
}


def config_to_wire(config: SessionConfig) -> vlm_pb2.OpenSession:
    """What a session is opened with; the peer is what the server sees, so it does not travel."""
    return vlm_pb2.OpenSession(
        system_prompt="" if config.from_export else config.system_prompt,
        max_context_tokens=config.max_context_tokens,
        label=config.label,
        eviction=None if config.eviction is None else eviction_to_wire(config.eviction),
        frame_policy=_POLICY_TO_WIRE[config.frame_policy],
        frame_period=duration_to_wire(config.frame_period_s) if config.frame_period_s else None,
        gate_levels=config.gate_levels,
        from_export=config.from_export,
        pooled_layers=config.pooled_layers,
        layout=layout_to_wire(config.layout),
        periodic_export=None
        if config.periodic_export is None
        else vlm_pb2.PeriodicExport(name=config.periodic_export.name, every_chunks=config.periodic_export.every_chunks),
        tools=tools_to_wire(config.tools),
    )


def config_from_wire(message: vlm_pb2.OpenSession, peer: str) -> SessionConfig:
    """What a session is opened with. Raises InvalidInput for a policy this version does not know."""
    policy = _POLICY_FROM_WIRE.get(message.frame_policy)
    if policy is None:
        raise InvalidInput(f"frame_policy {message.frame_policy} is unknown", field="frame_policy")
    if message.from_export and message.system_prompt:
        raise InvalidInput(
            "the prompt of a session that goes on is that of its export; leave it out", field="system_prompt"
        )
    return SessionConfig(
        message.system_prompt,
        message.max_context_tokens,
        message.label,
        peer,
        eviction_from_wire(message.eviction) if message.HasField("eviction") else None,
        policy,
        duration_from_wire(message.frame_period) if message.HasField("frame_period") else 0.0,
        message.gate_levels if message.HasField("gate_levels") else None,
        message.from_export,
        PeriodicExport(message.periodic_export.name, message.periodic_export.every_chunks)
        if message.HasField("periodic_export")
        else None,
        owner=host_of_peer(peer),
        pooled_layers=tuple(message.pooled_layers),
        layout=layout_from_wire(message.layout) if message.HasField("layout") else None,
        tools=tools_from_wire(message.tools),
    )


def layout_to_wire(layout: FrameLayout | None) -> vlm_pb2.FrameLayout | None:
    """None stands for none."""
    if layout is None:
        return None
    return vlm_pb2.FrameLayout(sink=layout.sink, memory=layout.memory, window=layout.window)


def layout_from_wire(message: vlm_pb2.FrameLayout) -> FrameLayout:
    """Raises InvalidInput for one that no session can have."""
    return FrameLayout(message.sink, message.memory, message.window)


def host_of_peer(peer: str) -> str:
    """gRPC's name of a peer without its port, which is another for each of its connections: "ipv4:127.0.0.1"."""
    host, colon, port = peer.rpartition(":")
    return host if colon and port.isdigit() else peer


def eviction_to_wire(eviction: Eviction) -> vlm_pb2.Eviction:
    """How old chunks go."""
    return vlm_pb2.Eviction(level=_LEVEL_TO_WIRE[eviction.level], positions=_POSITIONS_TO_WIRE[eviction.positions])


def eviction_from_wire(message: vlm_pb2.Eviction) -> Eviction:
    """How old chunks go; what is not said is the default. Raises InvalidInput for what this version does not know."""
    level = _LEVEL_FROM_WIRE.get(message.level or vlm_pb2.Eviction.LEVEL_OLDEST)
    positions = _POSITIONS_FROM_WIRE.get(message.positions or vlm_pb2.Eviction.POSITIONS_CONTIGUOUS)
    if level is None or positions is None:
        raise InvalidInput(
            f"eviction level {message.level} or positions {message.positions} is unknown here", field="eviction"
        )
    return Eviction(level, positions)


def appended_to_wire(result: AppendResult) -> vlm_pb2.ChunkAppended:
    """A chunk is in."""
    saving = result.saving
    return vlm_pb2.ChunkAppended(
        frame_ids=result.frame_ids,
        credits=len(result.frame_ids),
        context_tokens=result.context_tokens,
        chunk_tokens=result.chunk_tokens,
        elapsed=duration_to_wire(result.elapsed_s),
        saving=None
        if saving is None
        else vlm_pb2.TokenSaving(
            dropped_tokens=saving.dropped_tokens,
            dropped_share=saving.dropped_share,
            changed_share=saving.changed_share,
        ),
        shown_height_px=result.shown_px[0],
        shown_width_px=result.shown_px[1],
    )


def appended_from_wire(message: vlm_pb2.ChunkAppended) -> AppendResult:
    """A chunk is in."""
    saving = message.saving
    return AppendResult(
        tuple(message.frame_ids),
        message.chunk_tokens,
        message.context_tokens,
        duration_from_wire(message.elapsed),
        TokenSaving(saving.dropped_tokens, saving.dropped_share, saving.changed_share)
        if message.HasField("saving")
        else None,
        (message.shown_height_px, message.shown_width_px),
    )


def evicted_to_wire(evicted: Evicted) -> vlm_pb2.ContextEvicted:
    """Frames that left."""
    return vlm_pb2.ContextEvicted(
        evicted_frame_ids=evicted.frame_ids,
        oldest_frame_id=evicted.oldest_frame_id,
        context_tokens=evicted.context_tokens,
        frame_keys=[_frame_keys_to_wire(each) for each in evicted.frame_keys],
    )


def evicted_from_wire(message: vlm_pb2.ContextEvicted) -> Evicted:
    """Frames that left."""
    keys = tuple(_frame_keys_from_wire(each) for each in message.frame_keys)
    return Evicted(tuple(message.evicted_frame_ids), message.oldest_frame_id, message.context_tokens, keys)


def recalled_to_wire(result: RecallResult) -> vlm_pb2.Recalled:
    """Frames in the memory segment."""
    return vlm_pb2.Recalled(frame_ids=result.frame_ids, context_tokens=result.context_tokens)


def recalled_from_wire(message: vlm_pb2.Recalled) -> RecallResult:
    """Frames in the memory segment."""
    return RecallResult(tuple(message.frame_ids), message.context_tokens)


def pooled_to_wire(pooled: Pooled) -> vlm_pb2.VectorsPooled:
    """Mean vectors."""
    return vlm_pb2.VectorsPooled(
        texts=[
            vlm_pb2.TextQuery(text=each.text, mean_query=vectors_to_wire(each.query), tokens=each.tokens)
            for each in pooled.texts
        ],
        frames=[_frame_keys_to_wire(each) for each in pooled.frames],
    )


def pooled_from_wire(message: vlm_pb2.VectorsPooled) -> Pooled:
    """Mean vectors."""
    texts = tuple(TextQuery(each.text, vectors_from_wire(each.mean_query), each.tokens) for each in message.texts)
    return Pooled(texts, tuple(_frame_keys_from_wire(each) for each in message.frames))


def _frame_keys_to_wire(each: FrameKeys) -> vlm_pb2.FrameKeys:
    return vlm_pb2.FrameKeys(frame_id=each.frame_id, mean_keys=vectors_to_wire(each.keys))


def _frame_keys_from_wire(message: vlm_pb2.FrameKeys) -> FrameKeys:
    return FrameKeys(message.frame_id, vectors_from_wire(message.mean_keys))


def exported_to_wire(info: ExportInfo) -> vlm_pb2.SessionExported:
    """The context is in a file."""
    return vlm_pb2.SessionExported(
        name=info.name,
        size_bytes=info.size_bytes,
        last_frame_id=info.last_frame_id,
        save_time=timestamp_to_wire(info.saved_wall_ns),
    )


def exported_from_wire(message: vlm_pb2.SessionExported) -> ExportInfo:
    """The context is in a file."""
    return ExportInfo(message.name, message.size_bytes, timestamp_from_wire(message.save_time), message.last_frame_id)


def taken_to_wire(info: SnapshotInfo) -> vlm_pb2.SnapshotTaken:
    """A snapshot that was just taken."""
    return vlm_pb2.SnapshotTaken(
        snapshot_id=info.snapshot_id, size_bytes=info.size_bytes, name=info.name, last_frame_id=info.last_frame_id
    )


def taken_from_wire(message: vlm_pb2.SnapshotTaken) -> SnapshotInfo:
    """A snapshot that was just taken."""
    return SnapshotInfo(message.snapshot_id, message.size_bytes, message.name, message.last_frame_id)


def failed_to_wire(error: StillwingError, *, credits: int) -> vlm_pb2.RequestFailed:
    """One bad request, and the frame credits it returns."""
    return vlm_pb2.RequestFailed(status=to_status(error, service=SERVICE), credits=credits)
