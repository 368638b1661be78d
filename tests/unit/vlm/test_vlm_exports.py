"""python -m pytest tests/unit/vlm/test_vlm_exports.py -v

A session in a file: whoever opens it goes on as if nothing had happened, and no file that is damaged, of another model
or made up to do harm is taken for one.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stillwing_common.errors import Exhausted, ExportNotWritten, ExportUnusable, InvalidInput, UnknownExport
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.catalog import ModelSource
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.memory import exports
from stillwing_vlm.core.memory.exports import ExportFolder
from stillwing_vlm.core.requests import Eviction, EvictionLevel, EvictionPositions, SessionConfig

SIZES = [(56, 84), (84, 84), (56, 112)]
WAYS = [Eviction(level, positions) for level in EvictionLevel for positions in EvictionPositions]


def frames(count: int, seed: int = 1) -> list[Frame]:
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        rows_px, columns_px = SIZES[index % 3]
        image = Image(ImageEncoding.RGB8, columns_px, rows_px, rng.bytes(rows_px * columns_px * 3))
        found.append(Frame(f"v/c/{index}", "c", Stamp(index * 10**9, "clock"), None, image))
    return found


def fed(engine: LocalEngine, pictures: list[Frame], **how: Any) -> LocalSession:
    session = engine.open("You fly.", 160, **how)
    for frame in pictures:
        session.append(frame)
    return session


@pytest.fixture
def export(engine: LocalEngine, tmp_path: Path) -> Path:
    path = tmp_path / "flight.safetensors"
    fed(engine, frames(30)).export(path)
    return path


@pytest.mark.parametrize("eviction", WAYS, ids=lambda way: f"{way.level.value} {way.positions.value}")
def test_whoever_opens_it_goes_on_as_if_nothing_had_happened(
    short_engine: LocalEngine, tmp_path: Path, logits_of: Any, eviction: Eviction
) -> None:
    """To the last bit, over evictions, compactions, new beginnings of positions and a recalled memory."""
    path, pictures = tmp_path / "flight.safetensors", frames(120)
    session = fed(short_engine, pictures[:25], eviction=eviction)
    session.recall(pictures[3], pictures[7])
    session.ask("What is it?", max_tokens=3)
    size = session.export(path)
    assert size == path.stat().st_size
    opened = short_engine.open_export(path)
    for frame in pictures[25:]:
        session.append(frame)
        opened.append(frame)
    assert opened.video.slab.digest() == session.video.slab.digest()
    assert torch.equal(logits_of(opened, "Where?"), logits_of(session, "Where?"))
    theirs, ours = session.ask("What is it?", max_tokens=12), opened.ask("What is it?", max_tokens=12)
    assert (ours.text, ours.provenance) == (theirs.text, theirs.provenance)
    if eviction.positions is EvictionPositions.CONTIGUOUS:
        assert opened.video.trunk.rebases > 0
    theirs_info, ours_info = session.info(), opened.info()
    assert ours_info.appended_frames == theirs_info.appended_frames == 120
    assert ours_info.evicted_frames == theirs_info.evicted_frames


@pytest.mark.parametrize("eviction", WAYS, ids=lambda way: f"{way.level.value} {way.positions.value}")
def test_it_tells_where_the_sink_was(engine: LocalEngine, tmp_path: Path, logits_of: Any, eviction: Eviction) -> None:
    """With gaps the sink stays where the stream began, which need not be at position 0."""
    path, pictures = tmp_path / "flight.safetensors", frames(60)
    config = SessionConfig("You fly.", 160, eviction=eviction)
    session = LocalSession(engine.loaded, config, first_position=1000, rebases=False)
    for frame in pictures[:25]:
        session.append(frame)
    session.recall(pictures[3])
    session.export(path)
    opened = engine.open_export(path)
    assert opened.video.trunk.sink_offset == session.video.trunk.sink_offset >= 1000
    for frame in pictures[25:]:
        session.append(frame)
        opened.append(frame)
    assert opened.video.trunk.sink_offset == session.video.trunk.sink_offset
    assert opened.video.slab.digest() == session.video.slab.digest()
    assert torch.equal(logits_of(opened, "Where?"), logits_of(session, "Where?"))


def test_one_of_the_opening_text_alone(engine: LocalEngine, tmp_path: Path, logits_of: Any) -> None:
    path = tmp_path / "flight.safetensors"
    fed(engine, []).export(path)
    opened, session = engine.open_export(path), fed(engine, [])
    assert opened.info().last_frame_id == ""
    for frame in frames(30):
        opened.append(frame)
        session.append(frame)
    assert torch.equal(logits_of(opened, "Where?"), logits_of(session, "Where?"))


def test_it_is_replaced_in_one_step(engine: LocalEngine, export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = export.read_bytes()
    session = fed(engine, frames(35))

    def no_room(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(ExportNotWritten, match="No space left"):
        session.export(export)
    assert export.read_bytes() == before
    assert list(export.parent.iterdir()) == [export]
    monkeypatch.undo()
    session.export(export)
    assert engine.open_export(export).info().appended_frames == 35
    assert list(export.parent.iterdir()) == [export]


def test_a_place_that_cannot_be_written_is_told(engine: LocalEngine, tmp_path: Path) -> None:
    with pytest.raises(ExportNotWritten):
        fed(engine, []).export(tmp_path / "missing" / "flight.safetensors")


def test_it_is_refused_by_another_model(engine: LocalEngine, export: Path, tmp_path: Path) -> None:
    other = LocalEngine.load(ModelSource(str(write_tiny_model(tmp_path / "other", seed=1)), device="cpu"))
    with pytest.raises(ExportUnusable, match="weights") as refused:
        other.open_export(export)
    assert refused.value.metadata["field"] == "weights"
    turned = write_tiny_model(
        tmp_path / "turned", rope_parameters={"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e5}
    )
    with pytest.raises(ExportUnusable, match="weights"):
        LocalEngine.load(ModelSource(str(turned), device="cpu")).open_export(export)


def test_the_gate_goes_on_too(engine: LocalEngine, tmp_path: Path, logits_of: Any) -> None:
    rng = np.random.default_rng(3)
    still = rng.integers(0, 256, (84, 84, 3), dtype=np.uint8)
    pictures = []
    for index in range(40):
        pixels = still.copy()
        pixels[:28, :28] = rng.integers(0, 256, (28, 28, 3))
        image = Image(ImageEncoding.RGB8, 84, 84, pixels.tobytes())
        pictures.append(Frame(f"v/c/{index}", "c", Stamp(index * 10**9, "clock"), None, image))
    path, config = tmp_path / "flight.safetensors", SessionConfig("You fly.", 100, gate_levels=8.0)
    session = LocalSession(engine.loaded, config)
    for frame in pictures[:20]:
        session.append(frame)
    assert session.info().dropped_tokens > 0
    session.export(path)
    opened = engine.open_export(path)
    for frame in pictures[20:]:
        assert opened.append(frame).saving == session.append(frame).saving
    assert opened.video.slab.digest() == session.video.slab.digest()
    assert opened.info().dropped_tokens == session.info().dropped_tokens
    assert opened.info().gate_levels == 8.0


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.5, 0.999])
def test_one_that_is_cut_short_is_refused(engine: LocalEngine, export: Path, share: float) -> None:
    content = export.read_bytes()
    export.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ExportUnusable):
        engine.open_export(export)


def test_every_damage_is_noticed(engine: LocalEngine, export: Path) -> None:
    content = export.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(content), 60).tolist():
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        export.write_bytes(damaged)
        with pytest.raises(ExportUnusable):
            engine.open_export(export)


def test_others_files_are_refused(engine: LocalEngine, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    for content in (
        b"",
        b"short",
        b"\xff" * 4096,
        (2**63).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
    ):
        path.write_bytes(content)
        with pytest.raises(ExportUnusable):
            engine.open_export(path)
    path.write_bytes((200_000).to_bytes(8, "little") + b"[" * 200_000)
    with pytest.raises(ExportUnusable):
        engine.open_export(path)
    save_file({"keys": torch.zeros(3)}, path)
    with pytest.raises(ExportUnusable, match="no export"):
        engine.open_export(path)
    with pytest.raises(ExportUnusable, match="cannot be read"):
        engine.open_export(tmp_path / "absent.safetensors")


def forged(path: Path, change: Any) -> None:
    """The same file with another description, its checksum made to fit."""
    from stillwing_vlm.core.engines.cache.file import _digest

    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    tensors, metadata = load_file(path), header["__metadata__"]
    description = json.loads(metadata["description"])
    change(description, tensors)
    metadata["description"] = json.dumps(description)
    metadata["sha256"] = _digest(metadata["description"], tensors)
    save_file(tensors, path, metadata)


HOSTILE = {
    "a cache larger than all memory": lambda d, t: d["trunk"].update(budget=2**50),
    "more tokens than there are": lambda d, t: d["trunk"]["window"][0].update(tokens=2**40),
    "more tokens than the budget": lambda d, t: d["trunk"].update(budget=20),
    "negative tokens": lambda d, t: d["trunk"]["window"][0].update(tokens=-1),
    "no sink": lambda d, t: d["trunk"].update(sink=[]),
    "a window before the first frame": lambda d, t: d["trunk"].update(sink=d["trunk"]["sink"][:1]),
    "a chunk without frames": lambda d, t: d["trunk"]["window"][0].update(frame_ids=[]),
    "a sink that cannot be written anew": lambda d, t: d["trunk"]["sink"][0].update(kept=False),
    "a window kept that should not be": lambda d, t: d["trunk"]["window"][0].update(kept=True),
    "an unknown version": lambda d, t: d.update(version=2),
    "an unknown field": lambda d, t: d.update(extra=1),
    "a cursor beyond all numbers": lambda d, t: d["trunk"].update(cursor=2**70),
    "another tensor": lambda d, t: t.update(more=torch.zeros(1)),
    "a tensor of another type": lambda d, t: t.update(values=t["values"].double()),
    "a tensor of another shape": lambda d, t: t.update(keys=t["keys"][:, :, 1:].contiguous()),
    "a gate's picture larger than all memory": lambda d, t: d.update(
        gate_levels=8.0, gate_past={"picture": [2**31, 2**31], "places": [1, 1]}
    ),
    "a gate's past without a gate": lambda d, t: d.update(gate_past={"picture": [1, 1], "places": [1, 1]}),
    "fewer positions": lambda d, t: t.update(kept_positions=t["kept_positions"][:, 1:].contiguous()),
}


@pytest.mark.parametrize("harm", HOSTILE.values(), ids=HOSTILE.keys())
def test_one_made_up_to_do_harm_is_refused(engine: LocalEngine, export: Path, harm: Any) -> None:
    forged(export, harm)
    with pytest.raises((ExportUnusable, Exhausted)):
        engine.open_export(export)


def test_a_forgery_that_fits_is_taken(engine: LocalEngine, export: Path) -> None:
    """Otherwise the test above would prove nothing."""
    forged(export, lambda description, tensors: description.update(label="another"))
    assert engine.open_export(export).info().label == "another"


def test_a_folder_takes_plain_names_only(engine: LocalEngine, tmp_path: Path) -> None:
    folder = ExportFolder(tmp_path / "exports", 2)
    for name in ("", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a.b", "-a", "a\0", "ä", "a" * 65, "a\n"):
        with pytest.raises(InvalidInput):
            folder.path(name)
        with pytest.raises(InvalidInput):
            folder.delete(name)
    session = fed(engine, [])
    session.export(folder.path_to_write("one"))
    session.export(folder.path_to_write("Two-2_b"))
    with pytest.raises(Exhausted):
        folder.path_to_write("three")
    session.export(folder.path_to_write("one"))
    assert {info.name for info in folder.infos()} == {"one", "Two-2_b"}
    assert all(info.size_bytes > 0 and info.saved_wall_ns > 0 for info in folder.infos())
    folder.delete("one")
    folder.delete("one")
    with pytest.raises(UnknownExport):
        folder.existing_path("one")
    assert exports.read_session(engine.loaded.backend, folder.existing_path("Two-2_b")).state.last_frame_id == ""
