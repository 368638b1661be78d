"""python -m pytest tests/unit/vlm/test_vlm_precision.py -v

bfloat16 through the same path as float32, and who carries out attention.

How far bfloat16 may be off is not a number of our own: the published code in bfloat16, on the same tokens, is off from
its own float32 by so much. Both round the same chain of operations, in another order, so that they differ by chance; a
bit lost on the way, of the eight there are, would double the error, and that is where the line is drawn.
"""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForImageTextToText

from stillwing_common.errors import DeviceAbsent, MissingExtra
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.catalog import AttentionKind, Dtype, ModelSource, load_engine
from stillwing_vlm.core.engines.attention import choice as attention_choice
from stillwing_vlm.core.engines.attention.choice import Heads, choose_attention, disagreement
from stillwing_vlm.core.engines.attention.plain import (
    append_attention,
    append_attention_in_blocks,
    branch_attention,
    merge_pieces,
)
from stillwing_vlm.core.engines.qwen.families import FAMILIES
from stillwing_vlm.core.local import LocalEngine

QUESTIONS = ("Where?", "What is it?", "Next action?", "Which way is out of here?", "Answer with one tool call.", "left")


def frames(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(count)]


def both(directory: Path) -> list[LocalEngine]:
    """The engine in float32 and in bfloat16."""
    return [
        LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1, dtype=dtype))
        for dtype in (Dtype.FLOAT32, Dtype.BFLOAT16)
    ]


class Published:
    """transformers over the same frames in one pass, in float32 and in bfloat16."""

    def __init__(self, directory: Path, engine: LocalEngine, pictures: list[np.ndarray]) -> None:
        loaded = engine.loaded
        self._text = loaded.text
        self._models = [
            AutoModelForImageTextToText.from_pretrained(directory, dtype=dtype).eval()
            for dtype in (torch.float32, torch.bfloat16)
        ]
        self._ids = list(loaded.preparer.opening("You fly."))
        self._kinds = [0] * len(self._ids)
        chunks = [loaded.preparer.pixels(("",), [picture], 1.0).patches for picture in pictures]
        for second, chunk in enumerate(chunks):
            label = f"<{second:.1f} seconds>" if engine.info().engine == "qwen3_vl" else ""
            before, seen = [*self._text.encode(label), self._text.vision_start], chunk.grid.merged_tokens(2)
            pad = self._models[0].config.image_token_id
            self._ids += [*before, *[pad] * seen, self._text.vision_end]
            self._kinds += [0] * len(before) + [1] * seen + [0]
        self._pixels = torch.cat([torch.from_numpy(chunk.patches) for chunk in chunks])
        self._grids = torch.tensor([list(chunk.grid) for chunk in chunks])

    def logits(self, prompt: str) -> list[torch.Tensor]:
        question = self._text.question(prompt)
        found = []
        for model in self._models:
            model.model.rope_deltas = None
            with torch.no_grad():
                whole = model(
                    input_ids=torch.tensor([self._ids + question]),
                    mm_token_type_ids=torch.tensor([self._kinds + [0] * len(question)]),
                    pixel_values=self._pixels,
                    image_grid_thw=self._grids,
                )
            found.append(whole.logits[0, -1].float())
        return found


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_bfloat16_is_as_exact_as_the_published_code(tmp_path: Path, family: str, logits_of: Any) -> None:
    directory = write_tiny_model(tmp_path / "model", family=family)
    engines = both(directory)
    assert [engine.info().dtype for engine in engines] == ["float32", "bfloat16"]
    assert engines[1].info().cache_bytes_per_token == engines[0].info().cache_bytes_per_token // 2
    pictures = frames(8)
    sessions = [engine.open("You fly.", 2000) for engine in engines]
    for picture in pictures:
        for session in sessions:
            session.append(picture)
    published = Published(directory, engines[0], pictures)
    ours, theirs = [], []
    for question in QUESTIONS:
        exact, rounded = published.logits(question)
        spread = exact.var()
        full, half = (logits_of(session, question).float() for session in sessions)
        assert (full - exact).abs().max() < 1e-4 * exact.std()
        ours.append(float((half - exact).square().mean() / spread))
        theirs.append(float((rounded - exact).square().mean() / spread))
    assert 0 < np.mean(ours) ** 0.5 < 2 * np.mean(theirs) ** 0.5


def test_bfloat16_does_not_drift(tmp_path: Path, logits_of: Any) -> None:
    """The sink is rewritten at each eviction; turned from what was turned before, its errors would grow fivefold."""
    sessions = [engine.open("You fly.", 160) for engine in both(write_tiny_model(tmp_path / "model"))]
    errors = []
    for index, picture in enumerate(frames(300, seed=1)):
        for session in sessions:
            session.append(picture)
        if index % 3 == 2:
            exact, rounded = (logits_of(session, "Where?").float() for session in sessions)
            errors.append(float((rounded - exact).square().mean() / exact.var()))
    assert sessions[1].video.trunk.evicted_frames > 200
    early, late = np.median(errors[:30]) ** 0.5, np.median(errors[70:]) ** 0.5
    assert late < 1.5 * early


def test_pieces_attended_alone_merge_to_one_softmax() -> None:
    torch.manual_seed(0)
    queries = torch.randn(6, 4, 8)
    pieces = [(torch.randn(2, size, 8), torch.randn(2, size, 8)) for size in (7, 23, 20)]
    parts = []
    for index, (keys, values) in enumerate(pieces):
        scores = queries @ keys.repeat_interleave(3, 0).transpose(1, 2) / 8**0.5
        if index == 2:
            scores = scores.masked_fill(torch.ones(4, 20, dtype=torch.bool).triu(17), float("-inf"))
        parts.append((scores.softmax(-1) @ values.repeat_interleave(3, 0), scores.logsumexp(-1)))
    assert (merge_pieces(parts) - branch_attention(queries, pieces)).abs().max() < 1e-5


def test_attention_that_cannot_run_is_refused_and_said_why(tmp_path: Path) -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    for device, dtype, head_dim in ((cpu, torch.bfloat16, 128), (cuda, torch.float32, 128), (cuda, torch.bfloat16, 20)):
        with pytest.raises(DeviceAbsent, match="say sdpa or auto"):
            choose_attention("flash", device, dtype, Heads(4, 2, head_dim))
    directory = write_tiny_model(tmp_path / "model")
    with pytest.raises(DeviceAbsent, match="float32 with heads of 16"):
        load_engine(ModelSource(str(directory), device="cpu", attention=AttentionKind.FLASH))
    with pytest.raises(DeviceAbsent, match="llvm"):
        choose_attention("llvm", cuda, torch.float32, Heads(4, 2, 64))
    for kind in (AttentionKind.SDPA, AttentionKind.LLVM):
        pytest.importorskip("llvmlite", reason="needs llvmlite: pip install llvmlite")
        assert load_engine(ModelSource(str(directory), device="cpu", attention=kind)).info().attention == kind.value


def test_on_a_card_nothing_but_torchs_own_comes_by_itself() -> None:
    for dtype, heads in ((torch.bfloat16, Heads(4, 2, 64)), (torch.float32, Heads(4, 2, 64, scaled=True))):
        chosen = choose_attention("auto", torch.device("cuda"), dtype, heads)
        assert (chosen.name, chosen.reason) == ("sdpa", "torch's own: others come by flag on CUDA")


class Largest(TorchDispatchMode):
    """Notes the most entries of any tensor that is made."""

    most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            self.most = max(self.most, found.numel())
        return found


@pytest.mark.parametrize(("count", "total"), [(1, 40), (9, 9), (50, 900)])
def test_a_cards_append_attends_as_torchs_own_call_and_holds_a_bounded_part_of_it(
    count: int, total: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = torch.Generator().manual_seed(3)
    keys, values = torch.randn(2, 2, total, 4, generator=draw)
    queries = torch.randn(8, count, 4, generator=draw)
    wanted = append_attention(queries, keys, values)
    assert (append_attention_in_blocks(queries, keys, values) - wanted).abs().max() < 1e-5
    # Four queries at a time; keys themselves are a quarter of their scores.
    monkeypatch.setattr("stillwing_vlm.core.engines.attention.plain._MAX_SCORES", 8 * total * 4)
    with Largest() as largest:
        found = append_attention_in_blocks(queries, keys, values)
    assert (found - wanted).abs().max() < 1e-5
    assert largest.most <= max(8 * total * 4, found.numel())


def test_kernels_that_break_are_refused_with_what_they_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no kernel image")

    own = choose_attention("sdpa", torch.device("cpu"), torch.float32, Heads(4, 2, 64))
    for wrong, said in ((replace(own, append=broken), "no kernel image"), (replace(own, append=_zeros), "differs by")):
        monkeypatch.setattr(attention_choice, "_flash", lambda *_, wrong=wrong: wrong)
        with pytest.raises(DeviceAbsent, match=said.replace("differs by", "differs from torch's own by")):
            choose_attention("flash", torch.device("cpu"), torch.float32, Heads(4, 2, 64))


def _zeros(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(queries)


def test_attention_that_gives_other_numbers_is_told_from_one_that_rounds() -> None:
    """What flash-attn has to pass on the device before it is used."""
    cpu, sdpa = torch.device("cpu"), choose_attention("sdpa", torch.device("cpu"), torch.bfloat16, Heads(4, 2, 64))
    for dtype, most in ((torch.float32, 1e-5), (torch.bfloat16, 4 * 2**-8)):
        assert disagreement(sdpa, cpu, dtype, 64) < most

    def uncausal(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return torch.cat([sdpa.append(queries[:, at : at + 1], keys, values) for at in range(queries.shape[1])], dim=1)

    def unmerged(queries: torch.Tensor, pieces: Any) -> torch.Tensor:
        return torch.stack([sdpa.branch(queries, pieces[:-1]), sdpa.branch(queries, pieces[-1:])]).mean(0)

    def ungrouped(queries: torch.Tensor, pieces: Any) -> torch.Tensor:
        return sdpa.branch(queries.view(3, 2, *queries.shape[1:]).transpose(0, 1).reshape(queries.shape), pieces)

    def broken(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return torch.full_like(queries, float("nan"))

    for wrong in (
        replace(sdpa, append=uncausal),
        replace(sdpa, branch=unmerged),
        replace(sdpa, branch=ungrouped),
        replace(sdpa, append=broken),
    ):
        assert not disagreement(wrong, cpu, torch.bfloat16, 64) < 0.05


@pytest.mark.skipif(importlib.util.find_spec("flash_attn") is not None, reason="flash-attn is installed here")
def test_flash_attention_that_is_not_installed_is_named() -> None:
    with pytest.raises(MissingExtra, match="pip install flash-attn"):
        choose_attention("flash", torch.device("cuda"), torch.bfloat16, Heads(4, 2, 128))


@pytest.mark.skipif(importlib.util.find_spec("triton") is not None, reason="triton is installed here")
def test_kernels_without_their_compiler_are_named() -> None:
    with pytest.raises(MissingExtra, match="pip install triton"):
        choose_attention("triton", torch.device("cuda"), torch.bfloat16, Heads(4, 2, 128))
