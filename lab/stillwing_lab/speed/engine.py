"""How long each part of the engine's work takes on a device with full trunks, beside the library's own ways.

Everything is waited for before and after it is timed, so a figure is what a caller waits for, the host's share
included. Pictures are noise and weights are random: speed and memory are the real ones, answers are not. It knows
nothing of what is made of the figures.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image as PilImage
from tokenizers import Tokenizer

from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_lab.speed.device import wait_for
from stillwing_lab.speed.library import LibraryStream
from stillwing_lab.speed.scale import Scale
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.inputs.images import Pixels
from stillwing_vlm.core.inputs.prepare import PreparedAsk, PreparedChunk
from stillwing_vlm.core.inputs.text import ChatText
from stillwing_vlm.core.memory.branch import AskBranch
from stillwing_vlm.core.memory.video_session import VideoSession
from stillwing_vlm.core.requests import AskRequest, SessionConfig

_PICTURES = 4
_WORKERS = 4
_AHEAD = 4
"""Chunks that are made ready while the device is busy with another: as many as a client has credits for."""


class NeverEnds(ChatText):
    """A tokenizer none of whose tokens ends an answer, so that answers have the length that is asked for."""

    @property
    def end_ids(self) -> frozenset[int]:
        return frozenset()


class Speed:
    """Measures one loaded model."""

    def __init__(self, loaded: LoadedEngine, model: Any, scale: Scale, tell: Callable[[str], None]) -> None:
        """`model`: the library's own module, over the same weights. `tell` is told what comes next."""
        text = NeverEnds(Tokenizer.from_str(loaded.text.to_json()))
        self._loaded = replace(loaded, text=text)
        self._model = model
        self._scale = scale
        self._tell = tell
        self.device = torch.device(loaded.backend.device)
        rng = np.random.default_rng(0)
        height, width = scale.frame_px
        self._pictures: list[list[Pixels]] = [
            [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(scale.chunk_frames)]
            for _ in range(_PICTURES)
        ]
        self._chunks = [self._prepared(at) for at in range(_PICTURES)]
        self._encoded = [[_jpeg(frame) for frame in frames] for frames in self._pictures]
        self.patches = self._chunks[0].patches.patches.shape[0]
        self.chunk_tokens = self._chunks[0].patches.grid.merged_tokens(loaded.backend.preprocessing.merge) + 2

    def _prepared(self, at: int) -> PreparedChunk:
        names = tuple(f"{at}/{frame}" for frame in range(self._scale.chunk_frames))
        return self._loaded.preparer.pixels(names, self._pictures[at], 0.5, Stamp(1, "bench"))

    def _timed_ms(self, work: Callable[[], Any]) -> float:
        wait_for(self.device)
        began_s = time.perf_counter()
        work()
        wait_for(self.device)
        return (time.perf_counter() - began_s) * 1e3

    def _median_ms(self, work: Callable[[], Any], repeats: int, warm_up: int = 1) -> float:
        for _ in range(warm_up):
            work()
        return statistics.median(self._timed_ms(work) for _ in range(repeats))

    # Sessions

    def _open(self, budget: int) -> VideoSession:
        """A session whose trunk is full: the next chunk lets one go."""
        opening = self._loaded.preparer.opening("You watch.")
        video = self._loaded.open_session(SessionConfig("You watch.", budget), opening)
        turn = 0
        while not video.trunk.evicted_frames:
            self._append(video, turn)
            turn += 1
        return video

    def _append(self, video: VideoSession, turn: int) -> None:
        video.append(self._chunks[turn % _PICTURES], 0.0)

    def _question(self, answer_tokens: int) -> PreparedAsk:
        """`question_tokens` of them."""
        ask = self._loaded.preparer.ask(AskRequest("What is there? " * self._scale.question_tokens))
        ids = ask.question_ids[: self._scale.question_tokens]
        return replace(ask, question_ids=ids, max_tokens=answer_tokens)

    def _decode(self, branches: Sequence[AskBranch]) -> int:
        """To their ends, a step at a time for all; how many steps."""
        steps = 0
        while live := [branch for branch in branches if not branch.finished]:
            rows = [branch.rows() for branch in live]
            outcomes = iter(self._loaded.backend.advance([row for part in rows for row in part]))
            for branch, part in zip(live, rows, strict=True):
                branch.accept([next(outcomes) for _ in part])
            steps += 1
        return steps

    def _ask(self, videos: Sequence[VideoSession], answer_tokens: int) -> None:
        branches = [video.fork_ask(self._question(answer_tokens), 0.0) for video in videos]
        try:
            self._decode(branches)
        finally:
            for video, branch in zip(videos, branches, strict=True):
                video.release(branch)

    def _token_ms(self, videos: Sequence[VideoSession]) -> tuple[float, float]:
        """Milliseconds to the first token, and of each further one, of one ask of each."""
        repeats, tokens = self._scale.repeats, self._scale.answer_tokens
        first = self._median_ms(lambda: self._ask(videos, 1), repeats, warm_up=2)
        whole = self._median_ms(lambda: self._ask(videos, tokens), max(2, repeats // 4))
        return first, (whole - first) / (tokens - 1)

    # What is measured

    def budget(self, budget: int) -> dict[str, float]:
        """One full trunk: milliseconds of each part, frames a second, bytes at the most; and the library's ways."""
        found, video = self._engine(budget)
        return found | self._library(video)

    def engine_alone(self, budget: int) -> dict[str, float]:
        """The same without the library's ways."""
        return self._engine(budget)[0]

    def _engine(self, budget: int) -> tuple[dict[str, float], VideoSession]:
        self._tell(f"{budget:,} tokens: filling")
        with self._peak() as peak:
            video = self._open(budget)
            self._tell(f"{budget:,} tokens: appends and asks")
            turns = iter(range(1 << 30))
            found = {
                "append_ms": self._median_ms(lambda: self._append(video, next(turns)), 2 * self._scale.repeats, 3),
                "frames_per_s": self._frames_per_s(video),
                **self._rooms_ms(video),
                "fork_ms": self._median_ms(lambda: self._fork_and_drop(video), 5 * self._scale.repeats, 3),
            }
            found["first_token_ms"], found["token_ms"] = self._token_ms([video])
            _, found["step_of_branches_ms"] = self._token_ms([video] * self._scale.branches)
        found["tokens"] = video.trunk.tokens
        found["sink_tokens"] = video.trunk.sink_tokens
        if self.device.type == "cuda":
            found["peak_bytes"] = peak[0]
        return found, video

    @contextmanager
    def _peak(self) -> Iterator[list[int]]:
        """Bytes that tensors took of the device at the most, once it is left."""
        found = [0]
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        yield found
        if self.device.type == "cuda":
            found[0] = torch.cuda.max_memory_reserved(self.device)

    def _fork_and_drop(self, video: VideoSession) -> None:
        video.release(video.fork_ask(self._question(self._scale.answer_tokens), 0.0))

    def _rooms_ms(self, video: VideoSession) -> dict[str, float]:
        """Letting one chunk go, and moving the trunk to the slab's beginning, each by itself."""
        evictions: list[float] = []
        moves: list[float] = []
        trunk = video.trunk
        for turn in range(20 * self._scale.repeats):
            chunk, before = trunk.window[0], trunk.moves
            taken = self._timed_ms(partial(video.slab.make_room, chunk.tokens, chunk.span, len(chunk.frame_ids)))
            (evictions if trunk.moves == before else moves).append(taken)
            self._append(video, turn)
            if moves and len(evictions) >= self._scale.repeats:
                break
        found = {"evict_ms": statistics.median(evictions)}
        return found | ({"compact_ms": statistics.median(moves)} if moves else {})

    def _frames_per_s(self, video: VideoSession) -> float:
        """JPEG files to the trunk, made ready on other threads while the device is busy."""
        preparer, count = self._loaded.preparer, 2 * self._scale.repeats
        frames = [
            tuple(
                Frame(f"{at}/{index}", "", Stamp(1 + at * 10**9 + index * 5 * 10**8, "bench"), None, image)
                for index, image in enumerate(self._encoded[at % _PICTURES])
            )
            for at in range(count)
        ]
        with ThreadPoolExecutor(_WORKERS) as workers:
            ready = [workers.submit(preparer.chunk, chunk) for chunk in frames[:_AHEAD]]
            ready[0].result()
            wait_for(self.device)
            began_s = time.perf_counter()
            for at in range(count):
                chunk = ready[at].result()
                if at + _AHEAD < count:
                    ready.append(workers.submit(preparer.chunk, frames[at + _AHEAD]))
                video.append(chunk, 0.0)
            wait_for(self.device)
            elapsed_s = time.perf_counter() - began_s
        return count * self._scale.chunk_frames / elapsed_s

    def _library(self, video: VideoSession) -> dict[str, float]:
        """The same trunk the library's ways: its cache as a stream, and everything anew for each ask."""
        trunk, scale = video.trunk, self._scale
        self._tell(f"{trunk.budget:,} tokens: transformers' DynamicCache")
        opening = self._loaded.preparer.opening("You watch.")
        library = LibraryStream(self._model, self._loaded, opening)
        question = self._question(1).question_ids
        pictures = [picture[0] for picture in self._pictures]
        turns = iter(range(1 << 30))
        found: dict[str, float] = {}

        def append() -> None:
            library.evict(trunk.sink_tokens, trunk.window[0].tokens)
            library.append(pictures[next(turns) % _PICTURES])

        with _memory_of(found, "dynamic_cache_ran_out"):
            place = slice(trunk.start, trunk.tail)
            slab: Any = video.slab.store
            library.take(slab.keys[:, :, place], slab.values[:, :, place], trunk.cursor)
            found["dynamic_cache_append_ms"] = self._median_ms(append, scale.library_repeats)
            first = self._median_ms(lambda: library.ask(question, 1), scale.library_repeats)
            tokens = min(8, scale.answer_tokens)
            whole = self._median_ms(lambda: library.ask(question, tokens), scale.library_repeats, 0)
            found["dynamic_cache_first_token_ms"] = first
            found["dynamic_cache_token_ms"] = (whole - first) / (tokens - 1)
        library.forget()
        self._tell(f"{trunk.budget:,} tokens: transformers' generate over everything")
        count = len(trunk.window) + 1
        with _memory_of(found, "generate_ran_out"):
            window = [pictures[at % _PICTURES] for at in range(count)]
            found["generate_first_token_ms"] = self._timed_ms(lambda: library.generate(window, question, 1))
        return found

    def soak(self) -> dict[str, Any]:
        """Appends without end: times of all, and memory at the beginning and at the end."""
        self._tell(f"{self._scale.soak_chunks:,} chunks one after another")
        video = self._open(self._scale.session_budget)
        held = [self._allocated()]
        times = [self._timed_ms(partial(self._append, video, turn)) for turn in range(self._scale.soak_chunks)]
        held.append(self._allocated())
        tenth = max(1, len(times) // 10)
        ratio = statistics.median(times[-tenth:]) / statistics.median(times[:tenth])
        return {"append_ms": times, "last_tenth_to_first": ratio, "allocated_bytes": held, "moves": video.trunk.moves}

    def _allocated(self) -> int:
        return torch.cuda.memory_allocated(self.device) if self.device.type == "cuda" else 0

    def sessions(self, count: int) -> dict[str, float]:
        """So many full sessions: one chunk for each in turns, and one decoding step for all of them together."""
        self._tell(f"{count} sessions")
        videos = [self._open(self._scale.session_budget) for _ in range(count)]
        turns = iter(range(1 << 30))

        def append() -> None:
            turn = next(turns)
            self._append(videos[turn % count], turn)

        found = {"append_ms": self._median_ms(append, self._scale.repeats, 2 * count)}
        found["first_token_ms"], found["step_ms"] = self._token_ms(videos)
        found["tokens_per_s"] = count * 1e3 / found["step_ms"]
        return found


@contextmanager
def _memory_of(found: dict[str, float], name: str) -> Iterator[None]:
    """A comparison that does not fit the device is said to, and the others go on."""
    try:
        yield
    except torch.OutOfMemoryError:
        found[name] = 1.0
        torch.cuda.empty_cache()


def _jpeg(pixels: Pixels) -> Image:
    data = BytesIO()
    PilImage.fromarray(pixels).save(data, "JPEG", quality=85)
    return Image(ImageEncoding.JPEG, pixels.shape[1], pixels.shape[0], data.getvalue())
