"""The engine's messages to the core's types and back. Refuses what the types cannot hold; decides nothing else."""

from typing import Any

from google.protobuf import duration_pb2

from stillwing.vlm.v1 import vlm_pb2
from stillwing_common.errors import InvalidInput, StillwingError, UnsetOneof
from stillwing_rpc.convert import (
    duration_from_wire,
    duration_to_wire,
    timestamp_from_wire,
    timestamp_to_wire,
    vectors_from_wire,
    vectors_to_wire,
)
from stillwing_rpc.errors import to_status
from stillwing_vlm.core.base import (
    FULL_VIEW,
    AnswerDone,
    AppendResult,
    AskRequest,
    ChoiceRequest,
    ChoiceResult,
    DoneReason,
    Evicted,
    Eviction,
    EvictionLevel,
    EvictionPositions,
    ExportInfo,
    FrameKeys,
    FrameLayout,
    FramePolicy,
    Limits,
    ModelInfo,
    PeriodicExport,
    Pooled,
    Provenance,
    RecallResult,
    Sampling,
    SessionConfig,
    SessionInfo,
    SnapshotInfo,
    TextQuery,
    TokenSaving,
    View,
    WatchEvent,
    WatchRequest,
)
from stillwing_vlm.core.planner import BudgetPlan, BudgetPolicy

SERVICE = "stillwing.vlm.v1.VlmService"

_REASON_TO_WIRE = {
    DoneReason.STOP: vlm_pb2.AnswerDone.REASON_STOP,
    DoneReason.LENGTH: vlm_pb2.AnswerDone.REASON_LENGTH,
    DoneReason.CANCELLED: vlm_pb2.AnswerDone.REASON_CANCELLED,
    DoneReason.DEADLINE: vlm_pb2.AnswerDone.REASON_DEADLINE,
}
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
_REASON_FROM_WIRE = {int(wire): reason for reason, wire in _REASON_TO_WIRE.items()}

_POLICY_TO_WIRE = {
    FramePolicy.IN_ORDER: vlm_pb2.FRAME_POLICY_IN_ORDER,
    FramePolicy.NEWEST_WINS: vlm_pb2.FRAME_POLICY_NEWEST_WINS,
}
_POLICY_FROM_WIRE = {int(wire): policy for policy, wire in _POLICY_TO_WIRE.items()} | {
    int(vlm_pb2.FRAME_POLICY_UNSPECIFIED): FramePolicy.IN_ORDER
}


# Requests


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
        layout=_layout_to_wire(config.layout),
        periodic_export=None
        if config.periodic_export is None
        else vlm_pb2.PeriodicExport(name=config.periodic_export.name, every_chunks=config.periodic_export.every_chunks),
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
        layout=_layout_from_wire(message.layout) if message.HasField("layout") else None,
    )


def _layout_to_wire(layout: FrameLayout | None) -> vlm_pb2.FrameLayout | None:
    if layout is None:
        return None
    return vlm_pb2.FrameLayout(sink=layout.sink, memory=layout.memory, window=layout.window)


def _layout_from_wire(message: vlm_pb2.FrameLayout) -> FrameLayout:
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


def deadline_to_wire(deadline_s: float | None) -> duration_pb2.Duration | None:
    """None stands for none."""
    return None if deadline_s is None else duration_to_wire(deadline_s)


def deadline_from_wire(message: Any) -> float | None:
    """The `deadline` of a request that may carry one."""
    return duration_from_wire(message.deadline) if message.HasField("deadline") else None


def view_to_wire(view: View) -> vlm_pb2.View | None:
    """None stands for everything."""
    if view.recent_chunks is None:
        return None
    return vlm_pb2.View(recent_n=vlm_pb2.RecentN(chunks=view.recent_chunks))


def view_from_wire(message: vlm_pb2.View) -> View:
    """Raises UnsetOneof where neither member is set."""
    kind = message.WhichOneof("view")
    if kind == "full":
        return FULL_VIEW
    if kind == "recent_n":
        return View(message.recent_n.chunks)
    raise UnsetOneof("view", field="view")


def ask_to_wire(request: AskRequest) -> vlm_pb2.Ask:
    """One question."""
    sampling = request.sampling
    return vlm_pb2.Ask(
        prompt=request.prompt,
        max_tokens=request.max_tokens,
        json_schema=request.json_schema,
        sampling=None
        if sampling is None
        else vlm_pb2.Sampling(temperature=sampling.temperature, top_p=sampling.top_p, seed=sampling.seed),
        view=view_to_wire(request.view),
        deadline=deadline_to_wire(request.deadline_s),
    )


def ask_from_wire(message: vlm_pb2.Ask) -> AskRequest:
    """One question. Raises UnsetOneof, InvalidInput."""
    sampling = None
    if message.HasField("sampling"):
        # 0 is what an unset field reads as; the draw's seed is a 64-bit number whatever its sign bit says.
        sampling = Sampling(
            message.sampling.temperature, message.sampling.top_p or 1.0, message.sampling.seed & (2**63 - 1)
        )
    return AskRequest(
        prompt=message.prompt,
        max_tokens=message.max_tokens,
        json_schema=message.json_schema,
        sampling=sampling,
        view=view_from_wire(message.view) if message.HasField("view") else FULL_VIEW,
        deadline_s=deadline_from_wire(message),
    )


def choice_to_wire(request: ChoiceRequest) -> vlm_pb2.AskChoice:
    """A question with its options."""
    return vlm_pb2.AskChoice(
        prompt=request.prompt,
        options=request.options,
        view=view_to_wire(request.view),
        deadline=deadline_to_wire(request.deadline_s),
    )


def choice_from_wire(message: vlm_pb2.AskChoice) -> ChoiceRequest:
    """A question with its options. Raises UnsetOneof, InvalidInput."""
    view = view_from_wire(message.view) if message.HasField("view") else FULL_VIEW
    return ChoiceRequest(message.prompt, tuple(message.options), view, deadline_from_wire(message))


def watch_to_wire(request: WatchRequest) -> vlm_pb2.SetWatch:
    """A watch condition."""
    return vlm_pb2.SetWatch(
        prompt=request.prompt,
        every_chunks=request.every_chunks,
        yes=request.yes,
        no=request.no,
        threshold=request.threshold,
        margin=request.margin,
        view=view_to_wire(request.view),
    )


def watch_from_wire(message: vlm_pb2.SetWatch) -> WatchRequest:
    """A watch condition; what is not said is the default. Raises UnsetOneof, InvalidInput."""
    return WatchRequest(
        message.prompt,
        message.every_chunks or 1,
        message.yes or "yes",
        message.no or "no",
        message.threshold or 0.5,
        message.margin,
        view_from_wire(message.view) if message.HasField("view") else FULL_VIEW,
    )


# Events


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
    )


def provenance_to_wire(provenance: Provenance) -> vlm_pb2.Provenance:
    """What an answer could see."""
    return vlm_pb2.Provenance(
        last_frame_id=provenance.last_frame_id,
        oldest_frame_id=provenance.oldest_frame_id,
        context_tokens=provenance.context_tokens,
        evicted_frames=provenance.evicted_frames,
        recalled_frame_ids=provenance.recalled_frame_ids,
    )


def provenance_from_wire(message: vlm_pb2.Provenance) -> Provenance:
    """What an answer could see."""
    return Provenance(
        message.last_frame_id,
        message.oldest_frame_id,
        message.context_tokens,
        message.evicted_frames,
        tuple(message.recalled_frame_ids),
    )


def done_to_wire(done: AnswerDone) -> vlm_pb2.AnswerDone:
    """The whole answer."""
    return vlm_pb2.AnswerDone(
        reason=_REASON_TO_WIRE[done.reason],
        text=done.text,
        provenance=provenance_to_wire(done.provenance),
        time_to_first_token=duration_to_wire(done.time_to_first_token_s),
        elapsed=duration_to_wire(done.elapsed_s),
        answer_tokens=done.answer_tokens,
    )


def done_from_wire(message: vlm_pb2.AnswerDone) -> AnswerDone:
    """The whole answer. Raises InvalidInput for a reason this version does not know."""
    reason = _REASON_FROM_WIRE.get(message.reason)
    if reason is None:
        raise InvalidInput(f"an answer ended for reason {message.reason}, which is unset or unknown")
    return AnswerDone(
        text=message.text,
        reason=reason,
        provenance=provenance_from_wire(message.provenance),
        time_to_first_token_s=duration_from_wire(message.time_to_first_token),
        elapsed_s=duration_from_wire(message.elapsed),
        answer_tokens=message.answer_tokens,
    )


def choice_done_to_wire(result: ChoiceResult) -> vlm_pb2.ChoiceDone:
    """Scored options."""
    return vlm_pb2.ChoiceDone(
        probabilities=result.probabilities,
        best_index=result.best_index,
        provenance=provenance_to_wire(result.provenance),
        elapsed=duration_to_wire(result.elapsed_s),
    )


def choice_done_from_wire(message: vlm_pb2.ChoiceDone) -> ChoiceResult:
    """Scored options."""
    return ChoiceResult(
        tuple(message.probabilities),
        message.best_index,
        provenance_from_wire(message.provenance),
        duration_from_wire(message.elapsed),
    )


def watch_changed_to_wire(event: WatchEvent) -> vlm_pb2.WatchChanged:
    """A condition's new state."""
    return vlm_pb2.WatchChanged(
        is_true=event.is_true,
        probability=event.probability,
        frame_id=event.frame_id,
        provenance=provenance_to_wire(event.provenance),
    )


def watch_changed_from_wire(message: vlm_pb2.WatchChanged) -> WatchEvent:
    """A condition's new state."""
    return WatchEvent(message.is_true, message.probability, message.frame_id, provenance_from_wire(message.provenance))


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


def recalled_to_wire(result: RecallResult) -> vlm_pb2.Recalled:
    """Frames in the memory segment."""
    return vlm_pb2.Recalled(frame_ids=result.frame_ids, context_tokens=result.context_tokens)


def recalled_from_wire(message: vlm_pb2.Recalled) -> RecallResult:
    """Frames in the memory segment."""
    return RecallResult(tuple(message.frame_ids), message.context_tokens)


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


def export_to_wire(info: ExportInfo) -> vlm_pb2.ExportInfo:
    """One export."""
    return vlm_pb2.ExportInfo(
        name=info.name, size_bytes=info.size_bytes, save_time=timestamp_to_wire(info.saved_wall_ns)
    )


def export_from_wire(message: vlm_pb2.ExportInfo) -> ExportInfo:
    """One export."""
    return ExportInfo(message.name, message.size_bytes, timestamp_from_wire(message.save_time))


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


# Descriptions


def model_to_wire(info: ModelInfo) -> vlm_pb2.GetModelResponse:
    """What is loaded."""
    return vlm_pb2.GetModelResponse(
        engine=info.engine,
        model=info.model,
        device=info.device,
        dtype=info.dtype,
        kv_cache_dtype=info.kv_cache_dtype,
        weight_dtype=info.weight_dtype,
        attention=info.attention,
        attention_reason=info.attention_reason,
        decoding=info.decoding,
        default_gate_levels=info.default_gate_levels,
        layers=info.layers,
        default_layout=_layout_to_wire(info.default_layout),
        parameters=info.parameters,
        cache_bytes_per_token=info.cache_bytes_per_token,
        default_max_context_tokens=info.default_max_context_tokens,
        budget_reason=info.budget_reason,
        can_snapshot=info.can_snapshot,
        can_recall=info.can_recall,
        default_eviction=eviction_to_wire(info.default_eviction),
        can_export=info.can_export,
        can_recall_kept=info.can_recall_kept,
        max_sessions=info.limits.max_sessions,
        max_asks=info.limits.max_asks,
        max_text_chars=info.limits.max_text_chars,
        max_watches=info.limits.max_watches,
        idle_timeout=duration_to_wire(info.limits.idle_timeout_s),
        budget_plan=None if info.budget_plan is None else _plan_to_wire(info.budget_plan),
    )


def _plan_to_wire(plan: BudgetPlan) -> vlm_pb2.BudgetPlan:
    safe, aggressive = plan.fitting_tokens
    return vlm_pb2.BudgetPlan(
        free_bytes=plan.free_bytes,
        reserved_bytes=plan.reserved_bytes,
        safe_tokens=safe,
        aggressive_tokens=aggressive,
        window_frames=plan.window_frames or 0,
        policy=plan.policy.name.lower(),
        memory_tokens=plan.memory_tokens,
        frame_tokens=plan.frame_tokens,
    )


def _plan_from_wire(message: vlm_pb2.GetModelResponse) -> BudgetPlan:
    plan = message.budget_plan
    if plan.policy.upper() not in BudgetPolicy.__members__:
        raise InvalidInput(f"{plan.policy!r} is no budget policy", policy=plan.policy)
    return BudgetPlan(
        memory_tokens=plan.memory_tokens,
        window_frames=plan.window_frames or None,
        frame_tokens=plan.frame_tokens,
        reason=message.budget_reason,
        policy=BudgetPolicy[plan.policy.upper()],
        free_bytes=plan.free_bytes,
        reserved_bytes=plan.reserved_bytes,
        fitting_tokens=(plan.safe_tokens, plan.aggressive_tokens),
    )


def model_from_wire(message: vlm_pb2.GetModelResponse) -> ModelInfo:
    """What is loaded; limits that do not travel are the defaults."""
    return ModelInfo(
        engine=message.engine,
        model=message.model,
        device=message.device,
        dtype=message.dtype,
        kv_cache_dtype=message.kv_cache_dtype,
        weight_dtype=message.weight_dtype,
        attention=message.attention,
        attention_reason=message.attention_reason,
        decoding=message.decoding,
        default_gate_levels=message.default_gate_levels,
        layers=message.layers,
        default_layout=_layout_from_wire(message.default_layout) if message.HasField("default_layout") else None,
        parameters=message.parameters,
        cache_bytes_per_token=message.cache_bytes_per_token,
        default_max_context_tokens=message.default_max_context_tokens,
        budget_reason=message.budget_reason,
        can_snapshot=message.can_snapshot,
        can_recall=message.can_recall,
        default_eviction=eviction_from_wire(message.default_eviction),
        can_export=message.can_export,
        can_recall_kept=message.can_recall_kept,
        budget_plan=_plan_from_wire(message) if message.HasField("budget_plan") else None,
        limits=_limits_from_wire(message),
    )


def _limits_from_wire(message: vlm_pb2.GetModelResponse) -> Limits:
    try:
        return Limits(
            max_sessions=message.max_sessions,
            max_asks=message.max_asks,
            max_text_chars=message.max_text_chars,
            max_watches=message.max_watches,
            idle_timeout_s=duration_from_wire(message.idle_timeout),
        )
    except ValueError as error:
        raise InvalidInput(f"limits: {error}", field="limits") from error


def session_to_wire(info: SessionInfo) -> vlm_pb2.SessionInfo:
    """One open session."""
    return vlm_pb2.SessionInfo(
        session_id=info.session_id,
        label=info.label,
        peer=info.peer,
        create_time=timestamp_to_wire(info.created_wall_ns),
        context_tokens=info.context_tokens,
        max_context_tokens=info.max_context_tokens,
        sink_tokens=info.sink_tokens,
        appended_frames=info.appended_frames,
        evicted_frames=info.evicted_frames,
        live_asks=info.live_asks,
        answered_asks=info.answered_asks,
        last_frame_id=info.last_frame_id,
        oldest_frame_id=info.oldest_frame_id,
        eviction=eviction_to_wire(info.eviction),
        recallable_frames=info.recallable_frames,
        gate_levels=info.gate_levels,
        dropped_tokens=info.dropped_tokens,
        layout=_layout_to_wire(info.layout),
        dropped_frames=info.dropped_frames,
        watches=info.watches,
        snapshots=[
            vlm_pb2.SnapshotInfo(
                snapshot_id=snapshot.snapshot_id,
                size_bytes=snapshot.size_bytes,
                name=snapshot.name,
                last_frame_id=snapshot.last_frame_id,
                is_restorable=snapshot.is_restorable,
            )
            for snapshot in info.snapshots
        ],
    )


def session_from_wire(message: vlm_pb2.SessionInfo) -> SessionInfo:
    """One open session."""
    return SessionInfo(
        session_id=message.session_id,
        label=message.label,
        peer=message.peer,
        created_wall_ns=timestamp_from_wire(message.create_time),
        context_tokens=message.context_tokens,
        max_context_tokens=message.max_context_tokens,
        sink_tokens=message.sink_tokens,
        appended_frames=message.appended_frames,
        evicted_frames=message.evicted_frames,
        live_asks=message.live_asks,
        answered_asks=message.answered_asks,
        last_frame_id=message.last_frame_id,
        oldest_frame_id=message.oldest_frame_id,
        eviction=eviction_from_wire(message.eviction),
        recallable_frames=message.recallable_frames,
        gate_levels=message.gate_levels,
        dropped_tokens=message.dropped_tokens,
        layout=_layout_from_wire(message.layout) if message.HasField("layout") else None,
        dropped_frames=message.dropped_frames,
        watches=message.watches,
        snapshots=tuple(
            SnapshotInfo(
                snapshot_id=snapshot.snapshot_id,
                size_bytes=snapshot.size_bytes,
                name=snapshot.name,
                last_frame_id=snapshot.last_frame_id,
                is_restorable=snapshot.is_restorable,
            )
            for snapshot in message.snapshots
        ),
    )
