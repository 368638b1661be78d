"""python -m pytest tests/unit/lab/test_speed_library.py -v

What the engine is measured against computes the same answers as the engine, so that only time differs.
"""

from pathlib import Path

import numpy as np

from stillwing_lab.speed.library import LibraryStream
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.catalog import ModelSource
from stillwing_vlm.core.local import LocalEngine


def test_all_three_ways_give_the_same_tokens(tmp_path: Path) -> None:
    directory = write_tiny_model(tmp_path / "model")
    engine = LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1))
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (84, 84, 3), dtype=np.uint8) for _ in range(6)]
    session = engine.open("You fly.", 4000)
    opening = engine.loaded.preparer.opening("You fly.")
    library = LibraryStream.load(str(directory), engine.loaded, opening)
    question = engine.loaded.text.question("What is it?")
    for frame in frames:
        session.append(frame)
        library.append(frame)
    ours = session.ask("What is it?", max_tokens=8)
    assert library.tokens == session.info().context_tokens
    theirs = library.ask(question, ours.answer_tokens)
    assert engine.loaded.text.decode(theirs) == ours.text
    # Asking changed nothing, and computing everything anew gives the same.
    assert library.ask(question, ours.answer_tokens) == theirs
    assert library.refill(frames, question, ours.answer_tokens) == theirs
    assert library.generate(frames, question, ours.answer_tokens) == theirs
    assert library.tokens == session.info().context_tokens
    trunk, store = session.video.trunk, session.video.slab.store
    place = slice(trunk.start, trunk.tail)
    library.take(store.keys[:, :, place], store.values[:, :, place], trunk.cursor)
    assert library.ask(question, ours.answer_tokens) == theirs
    before = library.tokens
    library.evict(trunk.sink_tokens, 11)
    assert library.tokens == before - 11
