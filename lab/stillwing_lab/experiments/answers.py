"""Experiment C: asks in the middle of evictions leave the cache as it was, byte for byte, and are answered."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from matplotlib.figure import Figure

from stillwing_lab.experiments.footage import FrameLoop
from stillwing_lab.experiments.report import COLOURS, Check, ExperimentReport
from stillwing_lab.experiments.subject import REFERENCE_BUDGETS, SYSTEM_TEXT, Subject
from stillwing_training.recall.catalog import RECALL
from stillwing_training.recall.sample import Layout
from stillwing_training.recall.signs import COLOUR_NAMES, question
from stillwing_training.recall.signs import SYSTEM_TEXT as SIGNS_TEXT
from stillwing_training.recall.task import SignStream
from stillwing_vlm.core.local import LocalSession

QUESTION = 'Read all visible text, lyrics, or subtitles on screen. Output verbatim. If no text, say "no text".'
CHUNK_FRAMES = 4
CHUNKS = 120
EVERY = 20
ANSWER_TOKENS = 24
_UNSEEN_SEED = 1_000_003


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One ask: `restored` where every byte of the trunk was the same afterwards; `right` where it can be judged."""

    chunks: int
    evicted_frames: int
    restored: bool
    answer: str
    answer_tokens: int
    time_to_first_token_ms: float
    elapsed_ms: float
    right: bool | None


def run_answers(
    subject: Subject,
    frames: FrameLoop,
    *,
    chunks: int = CHUNKS,
    every: int = EVERY,
    reference: int = REFERENCE_BUDGETS[0],
    on_chunk: Callable[[int], None] = lambda chunk: None,
) -> ExperimentReport:
    """Ask after every `every`-th chunk. The recall model is shown signs and asked for one, and so can be judged."""
    signs = SignStream(Layout(2, CHUNK_FRAMES), _UNSEEN_SEED) if subject.name == RECALL else None
    budget = subject.budget(reference, subject.chunk_tokens(frames, CHUNK_FRAMES))
    session = subject.engine.open(SIGNS_TEXT if signs else SYSTEM_TEXT, budget)
    rows: list[AnswerRow] = []
    for index in range(chunks):
        if signs:
            session.append(*signs.next_chunk())
        else:
            session.append(*(frames(index * CHUNK_FRAMES + place) for place in range(CHUNK_FRAMES)))
        if index % every == every - 1:
            rows.append(_ask(session, index + 1, signs))
        on_chunk(index + 1)
    source = "signs" if signs else frames.source
    about = {"model": subject.name, "frames": source, "budget": budget, "answers are": subject.answers_mean}
    report = ExperimentReport("eviction-c", "Experiment C: answers after eviction leave no trace", about)
    report.checks = _checks(rows)
    report.numbers = {"rows": [asdict(row) for row in rows], "question": QUESTION}
    report.notes = ["", *(f"after {row.chunks} chunks: {row.answer!r}" for row in rows)]
    return report


def _ask(session: LocalSession, chunks: int, signs: SignStream | None) -> AnswerRow:
    asked, wanted, most = QUESTION, None, ANSWER_TOKENS
    if signs is not None:
        # Three signs ago: out of sight of the newest chunk, still in the trunk.
        place = signs.newest - 3
        asked, most = question(int(signs.signs.keys[place])), 1
        wanted = COLOUR_NAMES[signs.signs.colours[place]]
    before = session.video.slab.digest()
    answer = session.ask(asked, max_tokens=most)
    restored = session.video.slab.digest() == before
    return AnswerRow(
        chunks,
        session.info().evicted_frames,
        restored,
        answer.text,
        answer.answer_tokens,
        answer.time_to_first_token_s * 1e3,
        answer.elapsed_s * 1e3,
        None if wanted is None else answer.text.strip() == wanted,
    )


def _checks(rows: list[AnswerRow]) -> list[Check]:
    evicted = [row for row in rows if row.evicted_frames]
    judged = [row for row in rows if row.right is not None]
    checks = [
        Check("asks came after evictions", bool(evicted), f"{len(evicted)} of {len(rows)}"),
        Check(
            "the cache was restored exactly each time",
            all(row.restored for row in rows),
            f"{sum(row.restored for row in rows)} of {len(rows)} digests equal",
        ),
        Check(
            "answers are not empty",
            all(row.answer_tokens > 0 for row in rows),
            f"{sum(row.answer_tokens > 0 for row in rows)} of {len(rows)}",
        ),
    ]
    if judged:
        right = sum(bool(row.right) for row in judged)
        checks.append(Check("answers are about the video", right >= 0.8 * len(judged), f"{right} of {len(judged)}"))
    return checks


def draw_answers(report: ExperimentReport) -> Figure:
    """Time to first token and to the end of each answer, over evicted frames."""
    rows = report.numbers["rows"]
    figure = Figure((7.4, 3.4), layout="constrained")
    axes = figure.subplots()
    chunks = [row["chunks"] for row in rows]
    axes.plot(chunks, [row["elapsed_ms"] for row in rows], marker="o", color=COLOURS[0], label="whole answer")
    first = [row["time_to_first_token_ms"] for row in rows]
    axes.plot(chunks, first, marker="o", color=COLOURS[1], label="first token")
    for row in rows:
        mark = "restored" if row["restored"] else "CHANGED"
        axes.annotate(
            f"{mark}\n{row['evicted_frames']} evicted",
            (row["chunks"], row["elapsed_ms"]),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color="0.35",
        )
    axes.set_ylim(0, 1.35 * max(row["elapsed_ms"] for row in rows))
    axes.set_xlim(0, max(chunks) * 1.08)
    axes.set_xlabel("chunks appended")
    axes.set_ylabel("ms")
    axes.grid(color="0.88", linewidth=0.7)
    axes.legend(frameon=False, loc="center left")
    title = f"Asks leave no trace ({report.subject['model']})"
    axes.set_title(title, loc="left", fontweight="bold")
    return figure
