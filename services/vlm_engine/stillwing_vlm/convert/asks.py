"""Questions, answers and watch conditions as messages and back. Refuses what the types cannot hold."""

from typing import Any

from google.protobuf import duration_pb2

from stillwing.vlm.v1 import vlm_pb2
from stillwing_common.errors import InvalidInput, UnsetOneof
from stillwing_rpc.convert import (
    duration_from_wire,
    duration_to_wire,
)
from stillwing_vlm.convert.conversation import (
    call_from_wire,
    call_to_wire,
    format_from_wire,
    format_to_wire,
    turn_from_wire,
    turn_to_wire,
)
from stillwing_vlm.core.requests import (
    FULL_VIEW,
    AskRequest,
    ChoiceRequest,
    ModelSampling,
    Sampling,
    View,
    WatchRequest,
)
from stillwing_vlm.core.results import AnswerDone, ChoiceResult, DoneReason, Provenance, WatchEvent

_REASON_TO_WIRE = {
    DoneReason.STOP: vlm_pb2.AnswerDone.REASON_STOP,
    DoneReason.LENGTH: vlm_pb2.AnswerDone.REASON_LENGTH,
    DoneReason.CANCELLED: vlm_pb2.AnswerDone.REASON_CANCELLED,
    DoneReason.DEADLINE: vlm_pb2.AnswerDone.REASON_DEADLINE,
}

_REASON_FROM_WIRE = {int(wire): reason for reason, wire in _REASON_TO_WIRE.items()}


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
    return vlm_pb2.Ask(
        prompt=request.prompt,
        max_tokens=request.max_tokens,
        json_schema=request.json_schema,
        sampling=_sampling_to_wire(request.sampling),
        view=view_to_wire(request.view),
        deadline=deadline_to_wire(request.deadline_s),
        messages=map(turn_to_wire, request.messages),
        answer_format=None if request.answer_format is None else format_to_wire(request.answer_format),
    )


def ask_from_wire(message: vlm_pb2.Ask) -> AskRequest:
    """One question. Raises UnsetOneof, InvalidInput."""
    return AskRequest(
        prompt=message.prompt,
        max_tokens=message.max_tokens,
        json_schema=message.json_schema,
        sampling=_sampling_from_wire(message.sampling) if message.HasField("sampling") else None,
        view=view_from_wire(message.view) if message.HasField("view") else FULL_VIEW,
        deadline_s=deadline_from_wire(message),
        messages=tuple(map(turn_from_wire, message.messages)),
        answer_format=format_from_wire(message.answer_format) if message.HasField("answer_format") else None,
    )


def _sampling_to_wire(sampling: Sampling | ModelSampling | None) -> vlm_pb2.Sampling | None:
    match sampling:
        case Sampling(temperature, top_p, seed, top_k):
            return vlm_pb2.Sampling(temperature=temperature, top_p=top_p, seed=seed, top_k=top_k)
        case ModelSampling(seed):
            return vlm_pb2.Sampling(as_model=True, seed=seed)
    return None


def _sampling_from_wire(message: vlm_pb2.Sampling) -> Sampling | ModelSampling:
    # The draw's seed is a 64-bit number whatever its sign bit says.
    seed = message.seed & (2**63 - 1)
    if not message.as_model:
        # 0 is what an unset field reads as.
        return Sampling(message.temperature, message.top_p or 1.0, seed, message.top_k)
    if message.temperature or message.top_p or message.top_k:
        raise InvalidInput("sampling as the model's own has no figures beside its seed", field="sampling.as_model")
    return ModelSampling(seed)


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
        thought=done.thought,
        json=done.json,
        tool_call=None if done.tool_call is None else call_to_wire(done.tool_call),
        question_tokens=done.question_tokens,
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
        thought=message.thought,
        json=message.json,
        tool_call=call_from_wire(message.tool_call) if message.HasField("tool_call") else None,
        question_tokens=message.question_tokens,
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
