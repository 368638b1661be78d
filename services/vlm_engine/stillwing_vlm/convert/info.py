"""What the engine says of its model, its sessions and its exports, as messages and back."""

from stillwing.vlm.v1 import vlm_pb2
from stillwing_common.errors import InvalidInput
from stillwing_rpc.convert import (
    duration_from_wire,
    duration_to_wire,
    timestamp_from_wire,
    timestamp_to_wire,
)
from stillwing_vlm.convert.conversation import chat_from_wire, chat_to_wire
from stillwing_vlm.convert.session import eviction_from_wire, eviction_to_wire, layout_from_wire, layout_to_wire
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.planner import BudgetPlan, BudgetPolicy
from stillwing_vlm.core.results import ExportInfo, ModelInfo, PathProof, SessionInfo, SnapshotInfo


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
        default_layout=layout_to_wire(info.default_layout),
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
        chat=chat_to_wire(info.chat),
        max_question_tokens=info.limits.max_question_tokens,
        max_tools=info.limits.max_tools,
        max_messages=info.limits.max_messages,
        max_conversation_chars=info.limits.max_conversation_chars,
        budget_plan=None if info.budget_plan is None else _plan_to_wire(info.budget_plan),
        path_proofs=[
            vlm_pb2.PathProof(setting=proof.setting, wanted=proof.wanted, is_taken=proof.is_taken, reason=proof.reason)
            for proof in info.path_proofs
        ],
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
        default_layout=layout_from_wire(message.default_layout) if message.HasField("default_layout") else None,
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
        chat=chat_from_wire(message.chat),
        path_proofs=tuple(
            PathProof(proof.setting, proof.wanted, proof.is_taken, proof.reason) for proof in message.path_proofs
        ),
    )


def _limits_from_wire(message: vlm_pb2.GetModelResponse) -> Limits:
    try:
        return Limits(
            max_sessions=message.max_sessions,
            max_asks=message.max_asks,
            max_text_chars=message.max_text_chars,
            max_watches=message.max_watches,
            idle_timeout_s=duration_from_wire(message.idle_timeout),
            max_question_tokens=message.max_question_tokens,
            max_tools=message.max_tools,
            max_messages=message.max_messages,
            max_conversation_chars=message.max_conversation_chars,
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
        layout=layout_to_wire(info.layout),
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
        layout=layout_from_wire(message.layout) if message.HasField("layout") else None,
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


def export_to_wire(info: ExportInfo) -> vlm_pb2.ExportInfo:
    """One export."""
    return vlm_pb2.ExportInfo(
        name=info.name, size_bytes=info.size_bytes, save_time=timestamp_to_wire(info.saved_wall_ns)
    )


def export_from_wire(message: vlm_pb2.ExportInfo) -> ExportInfo:
    """One export."""
    return ExportInfo(message.name, message.size_bytes, timestamp_from_wire(message.save_time))
