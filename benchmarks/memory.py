"""How fast the memory bank is when it is full: `python benchmarks/memory.py [--rows 100000] [--json]`.

Fills an embedded bank with keyframes whose embeddings (384 numbers) lie in clusters, as those of real texts do, then
measures search by vector against an exact scan in the same run, puts, memory, and filing a chunk in the core alone.
A million rows take about a quarter of an hour to make on two idle cores, nearly all of it the index.
"""

import argparse
import asyncio
import io
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from PIL import Image as PilImage
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import text

from stillwing_common.conditions import hardware
from stillwing_common.types import Frame, Image, ImageEncoding, Pose, PositionNed, Quaternion, Stamp
from stillwing_common.vectors import Vectors
from stillwing_memory.core.bank import BankConfig, StoredBank
from stillwing_memory.core.entities import Entity
from stillwing_memory.core.filing.evidence import choose_keyframe
from stillwing_memory.core.filing.rules import Scored, admit
from stillwing_memory.core.instructions import Chunk, ChunkFrame, ThingView
from stillwing_memory.core.keyframes import ByText, Keyframe
from stillwing_memory.core.scoring import AttentionScorer
from stillwing_memory.core.stores.embedded import EmbeddedPostgres
from stillwing_memory.core.text import EMBEDDING_DIMENSIONS

_BATCH = 5_000
_BREADTHS = (100, 200, 400, 800)
_CLUSTERS = 2_000
_SPREAD = 0.6
_COLUMN_TYPES = [
    "text",
    "int8",
    "text",
    "text",
    "int8",
    "text",
    "text",
    "text",
    "float8",
    "float8",
    "float8",
    "float8[]",
    "text",
    "float8",
    "int8",
    "text",
    "int4",
    "int4",
    "bytea",
    "int8",
    "text[]",
    "halfvec",
]


class Clustered:
    """Stands in for a sentence model: "vector 17" is always the same unit vector, near that of its cluster."""

    name = "minilm"

    def __init__(self) -> None:
        self._centres = np.random.default_rng(1).standard_normal((_CLUSTERS, EMBEDDING_DIMENSIONS))

    def rows(self, first: int, count: int) -> NDArray[np.float64]:
        """Vectors `first` and on."""
        rng = np.random.default_rng([2, first])
        vectors = self._centres[rng.integers(0, _CLUSTERS, count)] + _SPREAD * rng.standard_normal(
            (count, EMBEDDING_DIMENSIONS)
        )
        unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def embed(self, texts: list[str]) -> list[list[float]]:
        """By the number at the end of each text."""
        return [[float(x) for x in self.rows(10**9 + int(one.rstrip(". ").rsplit(" ", 1)[1]), 1)[0]] for one in texts]


def picture() -> Image:
    """A JPEG of 320 x 240."""
    file = io.BytesIO()
    PilImage.effect_noise((320, 240), 40).convert("RGB").save(file, "JPEG", quality=60)
    return Image(ImageEncoding.JPEG, 320, 240, file.getvalue())


def fill(dsn: str, vectors: Clustered, rows: int, step: Callable[[int], None]) -> float:
    """Rows by COPY, then the index; returns seconds for the index. Images are one byte: they lie out of line anyway."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        register_vector(connection)
        defined = connection.execute("SELECT pg_get_indexdef('keyframes_embedding'::regclass)").fetchone()
        assert defined is not None
        connection.execute("DROP INDEX keyframes_embedding")
        columns = (
            "tenant, revision, frame_id, clock_id, capture_ns, vehicle_id, camera_id, mission_id, north_m, east_m, "
            "down_m, orientation_wxyz, caption, score, put_wall_ns, encoding, width_px, height_px, image, image_bytes, "
            "tokens, embedding"
        )
        for first in range(0, rows, _BATCH):
            count = min(_BATCH, rows - first)
            with connection.cursor().copy(f"COPY keyframes ({columns}) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(_COLUMN_TYPES)
                for place, vector in enumerate(vectors.rows(first, count).astype(np.float16), first + 1):
                    copy.write_row(
                        ("default", place, f"f{place}", "c", place, "v", "front", f"m{place % 100}", place % 997 / 10,
                         place % 991 / 10, -2.0, [1.0, 0.0, 0.0, 0.0], f"frame {place}", 0.5, place, "jpeg", 320, 240,
                         b"x", 1, ["frame"], HalfVector(vector))
                    )  # fmt: skip
            step(first + count)
        connection.execute("UPDATE bank SET revision = %s, kept_keyframes = %s", [rows, rows])
        began_s = time.perf_counter()
        connection.execute("SET maintenance_work_mem = '3GB'")
        connection.execute(defined[0])
        connection.execute("ANALYZE")
        return time.perf_counter() - began_s


def p95(values: Sequence[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def exact(bank: StoredBank, vector: list[float], limit: int) -> list[int]:
    """The true neighbours, by a scan."""
    with bank._engine.begin() as connection:
        connection.execute(text("SET LOCAL enable_indexscan = off"))
        query = "SELECT revision FROM keyframes ORDER BY embedding <=> CAST(:v AS halfvec) LIMIT :n"
        rows = connection.execute(text(query), {"v": str(vector), "n": limit})
        return [row.revision for row in rows]


def vectors_of(vectors: Clustered, queries: int) -> list[list[float]]:
    """What is searched for."""
    return [vectors.embed([f"vector {number + 10}"])[0] for number in range(queries)]


async def neighbours(bank: StoredBank, wanted: list[list[float]]) -> tuple[list[float], list[set[str]]]:
    """How long each exact scan takes, ms, and the frames it finds."""
    took_ms, found = [], []
    for vector in wanted:
        began_s = time.perf_counter()
        revisions = await asyncio.to_thread(exact, bank, vector, 10)
        took_ms.append((time.perf_counter() - began_s) * 1e3)
        found.append({f"f{revision}" for revision in revisions})
    return took_ms, found


async def search(
    bank: StoredBank, breadth: int, queries: int, true: list[set[str]], step: Callable[[], None]
) -> dict[str, float]:
    """Latency of searches through the service's core at one breadth, and the share of the true ten that they find."""
    before, bank._config = bank._config, replace(bank._config, search_breadth=breadth)
    took_ms, shares = [], []
    try:
        # The first ones read the index from disk.
        for number in [*range(-10, 0), *range(queries)]:
            began_s = time.perf_counter()
            found = await bank.search_keyframes(ByText(f"vector {number + 10}"), limit=10)
            if number < 0:
                continue
            took_ms.append((time.perf_counter() - began_s) * 1e3)
            if number < len(true):
                shares.append(len(true[number] & {one.keyframe.frame.frame_id for one in found}) / 10)
            step()
    finally:
        bank._config = before
    return {
        "search_p95_ms": round(p95(took_ms), 2),
        "search_median_ms": round(statistics.median(took_ms), 2),
        "recall_at_10": round(statistics.mean(shares), 4),
    }


async def measure(rows: int, queries: int, progress: Progress) -> dict[str, Any]:
    """All figures."""
    vectors = Clustered()
    with tempfile.TemporaryDirectory(prefix="swm-") as folder:
        bank = await StoredBank.open(BankConfig(folder=Path(folder) / "m", similarity="token_overlap"))
        try:
            bank._similarity = vectors
            assert isinstance(bank._server, EmbeddedPostgres)
            task = progress.add_task("rows", total=rows)
            index_s = await asyncio.to_thread(
                fill, bank._server.dsn, vectors, rows, lambda done: progress.update(task, completed=done)
            )
            searching = progress.add_task("searches and puts", total=(len(_BREADTHS) + 1) * queries)
            wanted = vectors_of(vectors, queries)
            exact_ms, true = await neighbours(bank, wanted[:50])
            by_breadth = {}
            for breadth in sorted({*_BREADTHS, bank._config.search_breadth}):
                by_breadth[breadth] = await search(bank, breadth, queries, true, lambda: progress.advance(searching))
            used = by_breadth[bank._config.search_breadth]
            put_ms = []
            image = picture()
            for number in range(queries):
                frame = Frame(f"put/{number}", "front", Stamp(number, "c2"), None, image)
                began_s = time.perf_counter()
                await bank.put_keyframe(Keyframe(frame, caption=f"vector {10**6 + number}"))
                put_ms.append((time.perf_counter() - began_s) * 1e3)
                progress.advance(searching)
            server = psutil.Process(bank._server.pid)
            processes = [server, *server.children(recursive=True)]
            private = sum(one.memory_full_info().uss for one in processes)
            return {
                "rows": rows,
                "index_s": round(index_s, 1),
                "search_breadth": bank._config.search_breadth,
                **used,
                "exact_median_ms": round(statistics.median(exact_ms), 2),
                "search_against_exact": round(statistics.median(exact_ms) / used["search_median_ms"], 1),
                "by_breadth": by_breadth,
                "put_p95_ms": round(p95(put_ms), 2),
                "put_median_ms": round(statistics.median(put_ms), 2),
                "service_mib": round(psutil.Process().memory_info().rss / 2**20),
                "database_private_mib": round(private / 2**20),
            }
        finally:
            await bank.close()


def chunks(count: int) -> Iterator[tuple[Chunk, list[Entity]]]:
    """Chunks of three frames with pooled vectors of four layers, and five things: what a 3B model would hand over."""
    rng = np.random.default_rng(3)

    def vectors(heads: int) -> Vectors:
        return Vectors(rng.standard_normal((4, heads, 128), np.float32))

    image = picture()
    entities = [Entity(f"ent_{n}", f"thing {n}", Stamp(0, "")) for n in range(5)]
    views = tuple(ThingView(one.entity_id, vectors(16), 6) for one in entities)
    pose = Pose(PositionNed(0, 0, 0), Quaternion(1, 0, 0, 0))
    for number in range(count):
        frames = tuple(
            ChunkFrame(Keyframe(Frame(f"{number}/{n}", "", Stamp(n, "c"), pose, image), mission_id="m"), vectors(2))
            for n in range(3)
        )
        yield Chunk("m", 1, number + 1, frames, views), entities


def filing_ms(count: int) -> list[float]:
    """Milliseconds of the processor for scoring, choosing, tagging and admitting one chunk, without store or wire."""
    active: tuple[Scored, ...] = ()
    found = []
    for chunk, entities in chunks(count):
        began_s = time.thread_time()
        keyframe = choose_keyframe(chunk, entities, AttentionScorer())
        active = admit(active, Scored(str(chunk.number), keyframe.score), 3)
        found.append((time.thread_time() - began_s) * 1e3)
    return found


def told(figures: dict[str, Any]) -> str:
    """For people: a line a figure, and one for each breadth of search."""
    lines = [f"{name:24} {value}" for name, value in figures.items() if name != "by_breadth"]
    lines += [
        f"breadth {breadth:<16} {one['search_median_ms']} ms, p95 {one['search_p95_ms']} ms, "
        f"finds {one['recall_at_10']:.1%} of the true ten"
        for breadth, one in figures["by_breadth"].items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    given = parser.parse_args()
    filing = filing_ms(200)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        figures = asyncio.run(measure(given.rows, given.queries, progress))
    figures |= {"filing_cpu_p95_ms": round(p95(filing), 2), "filing_cpu_median_ms": round(statistics.median(filing), 2)}
    machine = f"{hardware()}, Python {platform.python_version()}"
    body = json.dumps({"machine": machine, "load": os.getloadavg()[0], **figures}, indent=2)
    if given.out:
        given.out.write_text(body + "\n", encoding="utf-8")
    print(body if given.json else f"{machine}\n{told(figures)}")


if __name__ == "__main__":
    main()
