"""What 8 bits cost: one stream through the same model with its cache, its weights or both kept in 8 bits, beside itself
in its own type, every answer's logits compared token by token.

The pilot replays its own flights, so that what changes is decisions; other models watch a video. It knows nothing of
how 8 bits are kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from stillwing_common.conditions import commit, hardware
from stillwing_lab.evaluate.recorded import Flight
from stillwing_lab.experiments.footage import FrameLoop
from stillwing_lab.experiments.report import COLOURS, Check, ExperimentReport
from stillwing_lab.experiments.subject import REFERENCE_BUDGETS, SYSTEM_TEXT, Subject
from stillwing_vlm.core.catalog import KvCacheDtype, WeightDtype
from stillwing_vlm.core.local import LocalSession
from stillwing_vlm.core.requests import AskRequest, SessionConfig

QUESTION = "What is to be seen, and what has changed?"
CHUNK_FRAMES = 2
CHUNKS = 160
EVERY = 4
ANSWER_TOKENS = 16

WAYS: dict[str, dict[str, Any]] = {
    "cache": {"kv_cache_dtype": KvCacheDtype.FP8},
    "weights": {"weight_dtype": WeightDtype.INT8},
    "both": {"kv_cache_dtype": KvCacheDtype.FP8, "weight_dtype": WeightDtype.INT8},
}
"""What is kept in 8 bits."""

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer of the model in its own type, and of the same model otherwise, over the tokens of the first.

    Differences of logits are in logits; `rms_share` is their root mean square over the spread of the exact ones; `kl`
    the mean divergence in nats; `changed_tokens` of `tokens` would have been chosen otherwise; `same_answer`: the
    answer it gave by itself.
    """

    evicted_frames: int
    tokens: int
    max_difference: float
    rms_share: float
    kl: float
    changed_tokens: int
    same_answer: bool


def watched(subject: Subject, frames: FrameLoop, chunks: int) -> Flight:
    """A video as a flight: chunks, and the same question again and again, with the answers of `subject`."""
    budget = subject.budget(REFERENCE_BUDGETS[0], subject.chunk_tokens(frames, CHUNK_FRAMES))
    flight = Flight(SessionConfig(SYSTEM_TEXT, budget))
    session, request = LocalSession(subject.engine.loaded, flight.config), AskRequest(QUESTION, ANSWER_TOKENS)
    for index in range(chunks):
        shown = tuple(frames(index * CHUNK_FRAMES + place) for place in range(CHUNK_FRAMES))
        session.append(*shown)
        flight.events.append(("frames", shown))
        if index % EVERY == EVERY - 1:
            flight.events.append(("ask", (request, session.answer(session.fork(request)).text)))
    return flight


def _logits(subject: Subject, session: LocalSession, request: AskRequest, answer: list[int]) -> Logits:
    """float32[answer tokens, vocabulary]: of each token of an answer, given those before it."""
    loaded = subject.engine.loaded
    prepared = loaded.preparer.ask(replace(request, json_schema="", sampling=None))
    prepared = replace(prepared, question_ids=[*prepared.question_ids, *answer[:-1]])
    branch = session.video.fork_ask(prepared, loaded.clock.monotonic_s())
    found = []
    try:
        while branch.next_tokens:
            (row,) = branch.rows()
            row.every, row.choosing = True, None
            found.append(loaded.backend.step([row])[0].float().cpu().numpy())
    finally:
        session.video.release(branch, answered=False)
    return np.concatenate(found)[-len(answer) :]


def _replayed(
    subject: Subject, flight: Flight, on_ask: Callable[[], None], *, own_answers: bool
) -> list[tuple[Logits, str, int]]:
    """For each ask the logits along the recorded answer, the answer given now, and how many frames had left."""
    loaded, found = subject.engine.loaded, []
    session = LocalSession(loaded, SessionConfig(flight.config.system_prompt, flight.config.max_context_tokens))
    for kind, what in flight.events:
        if kind == "frames":
            session.append(*what)
            continue
        request, answer = what
        ids = loaded.text.encode(answer)
        if ids:
            given = session.answer(session.fork(request)).text if own_answers else answer
            found.append((_logits(subject, session, request, ids), given, session.info().evicted_frames))
        on_ask()
    return found


def _compared(exact: Logits, other: Logits, same: bool, evicted_frames: int) -> Asked:
    wide, near = exact.astype(np.float64), other.astype(np.float64)
    off = near - wide
    told, found = (each - np.logaddexp.reduce(each, axis=-1, keepdims=True) for each in (wide, near))
    return Asked(
        evicted_frames=evicted_frames,
        tokens=len(exact),
        max_difference=float(np.abs(off).max()),
        rms_share=float(np.sqrt(np.square(off).mean()) / wide.std()),
        kl=float((np.exp(told) * (told - found)).sum(axis=-1).mean()),
        changed_tokens=int((wide.argmax(-1) != near.argmax(-1)).sum()),
        same_answer=same,
    )


def run_precision(
    subject: Subject,
    others: dict[str, Subject],
    flights: Sequence[Flight],
    source: str,
    *,
    on_ask: Callable[[], None] = lambda: None,
) -> ExperimentReport:
    """`others`: the same model under each of `WAYS`. `flights` were answered by `subject`. `on_ask` is called for every
    ask of every way, and of the model in its own type.
    """
    exact = [_replayed(subject, flight, on_ask, own_answers=False) for flight in flights]
    rows: dict[str, list[Asked]] = {}
    for name, other in others.items():
        rows[name] = []
        for flight, wanted in zip(flights, exact, strict=True):
            found = _replayed(other, flight, on_ask, own_answers=True)
            for (logits, answer, evicted), (near, given, _) in zip(wanted, found, strict=True):
                rows[name].append(_compared(logits, near, given == answer, evicted))
    info = subject.engine.info()
    about = {
        "model": subject.name,
        "own type": info.dtype,
        "frames": source,
        "asks": len(rows[next(iter(rows))]),
        "hardware": hardware(),
        "commit": commit(),
    }
    report = ExperimentReport("precision", "What 8 bits cost", about)
    report.numbers = {
        "bytes_per_token": {"own type": info.cache_bytes_per_token}
        | {name: other.engine.info().cache_bytes_per_token for name, other in others.items()},
        "ways": {name: _summary(asked) for name, asked in rows.items()},
        "rows": {name: [asdict(each) for each in asked] for name, asked in rows.items()},
    }
    report.checks = [check for name, asked in rows.items() for check in _checks(name, asked)]
    report.notes = ["", *(_line(name, found) for name, found in report.numbers["ways"].items())]
    return report


def _summary(asked: list[Asked]) -> dict[str, float]:
    tokens = sum(each.tokens for each in asked)
    kl = [each.kl for each in asked]
    return {
        "asks": len(asked),
        "tokens": tokens,
        "max_difference": max(each.max_difference for each in asked),
        "rms_share": float(np.sqrt(np.mean(np.square([each.rms_share for each in asked])))),
        "kl_mean": float(np.mean(kl)),
        "kl_p95": float(np.percentile(kl, 95)),
        "changed_tokens": sum(each.changed_tokens for each in asked) / tokens,
        "changed_answers": sum(not each.same_answer for each in asked) / len(asked),
    }


def _checks(name: str, asked: list[Asked]) -> list[Check]:
    """All numbers are numbers; and, where enough was evicted to tell, errors are no larger at the end."""
    finite = all(np.isfinite((each.kl, each.max_difference)).all() for each in asked)
    checks = [Check(f"{name}: every logit is a number", finite, f"{len(asked)} answers")]
    # Several flights begin several times.
    late = [each.rms_share for each in sorted(asked, key=lambda each: each.evicted_frames) if each.evicted_frames]
    if len(late) >= 12:
        first, last = (float(np.median(part)) for part in (late[: len(late) // 3], late[-(len(late) // 3) :]))
        found = f"{first:.2%} in the first third of the asks after evictions, {last:.2%} in the last"
        checks.append(Check(f"{name}: the error does not grow", last <= 1.5 * first, found))
    return checks


def _line(name: str, found: dict[str, float]) -> str:
    return (
        f"{name}: logits off by {found['rms_share']:.2%} of their spread ({found['max_difference']:.3g} at most), "
        f"divergence {found['kl_mean']:.2g} nats, {found['changed_tokens']:.1%} of {found['tokens']} tokens and "
        f"{found['changed_answers']:.1%} of {found['asks']} answers changed"
    )


def draw_precision(report: ExperimentReport) -> Figure:
    """Divergence at each ask, in order."""
    figure = Figure((7.4, 3.4), layout="constrained")
    axes = figure.subplots()
    for colour, (name, asked) in zip(COLOURS, report.numbers["rows"].items(), strict=False):
        shown = [max(row["kl"], 1e-12) for row in asked]
        axes.plot(shown, ".-", lw=0.7, ms=4, color=colour, label=f"8 bits: {name}")
    axes.set(xlabel="ask", ylabel="divergence from the model's own type, nats", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter("{x:.0e}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(color="0.88", linewidth=0.7)
    axes.legend(frameon=False, ncols=len(report.numbers["rows"]), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure
