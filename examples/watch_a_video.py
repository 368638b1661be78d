"""Watch a video through a running engine, go back, and go on in another session: what no part of Stillwing uses yet.

    stillwing-vlm --exports-dir exports
    python examples/watch_a_video.py flight.mcap "Is a red beacon in sight?" [127.0.0.1:50063]

The video may be a recording, a folder of pictures or any file FFmpeg reads. Two frames make a chunk, which the vision
encoder sees together.
"""

import asyncio
import sys
from pathlib import Path

from stillwing_common.errors import SnapshotOverwritten, StillwingError
from stillwing_common.types import Frame
from stillwing_recording.opening import open_recording
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.protocol import Session, Watch
from stillwing_vlm.core.requests import AskRequest, SessionConfig, WatchRequest

CHUNK_FRAMES = 2
NAME = "watch_a_video"


async def tell(watch: Watch) -> None:
    """Print the condition's first state and every change of it."""
    async for event in watch:
        print(f"{event.frame_id}: {'yes' if event.is_true else 'no'} ({event.probability:.0%})")


async def show(session: Session, chunks: list[list[Frame]]) -> int:
    """Append them one after another; the picture tokens that the gate left out."""
    results = [await session.append(*chunk) for chunk in chunks]
    return sum(result.saving.dropped_tokens for result in results if result.saving is not None)


async def ask(session: Session, question: str) -> str:
    """The answer, and the newest frame that it saw."""
    done = await session.ask(AskRequest(question, max_tokens=16)).done()
    return f"{done.text!r}, having seen {done.provenance.last_frame_id}"


async def watch_video(engine: RemoteEngine, path: Path, question: str) -> None:
    """See the module."""
    recording = open_recording(path)
    frames = [entry.value.frame for entry in recording.frames()]
    chunks = [frames[at : at + CHUNK_FRAMES] for at in range(0, len(frames), CHUNK_FRAMES)]
    period_s = recording.info().duration_s / len(frames)
    config = SessionConfig("You watch.", label=NAME, frame_period_s=period_s * CHUNK_FRAMES, gate_levels=1.0)
    session = await engine.open_session(config)
    watch = session.set_watch(WatchRequest(question, margin=0.05))
    telling = asyncio.create_task(tell(watch))
    half = len(chunks) // 2
    await show(session, chunks[:half])
    await session.take_snapshot(name="half")
    dropped = await show(session, chunks[half:])
    print(f"at the end: {await ask(session, question)}; the second half cost {dropped} tokens less for the gate")
    try:
        await session.restore_snapshot("half")
        print(f"back at half: {await ask(session, question)}")
    except SnapshotOverwritten:
        print("too long a video to go back: its first half has left the window")
    await session.export(NAME)
    watch.unset()
    await telling
    await session.close()
    again = await engine.open_session(SessionConfig(from_export=NAME, label=NAME))
    await show(again, chunks[half:])
    print(f"in another session: {await ask(again, question)}")
    await engine.delete_export(NAME)


async def main(path: str, question: str, target: str = "127.0.0.1:50063") -> None:
    """Connect, watch, and close whatever happens."""
    engine = await RemoteEngine.connect(target)
    try:
        await watch_video(engine, Path(path), question)
    finally:
        await engine.close()


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except StillwingError as error:
        sys.exit(f"{NAME}: {error}")
