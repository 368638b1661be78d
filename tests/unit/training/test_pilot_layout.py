"""python -m pytest tests/unit/lab/test_pilot_layout.py

A training sequence is what the published architecture would compute for each question on its own.
"""

from typing import Any

import numpy as np
import pytest
import torch

from stillwing_training.pilot.config import IMAGE_TOKENS, preprocessor_config
from stillwing_training.pilot.model import attend, make_model, patchify, see, think
from stillwing_training.pilot.packed import pack, think_packed
from stillwing_training.pilot.sequence import IGNORE, IMAGE_PAD, Branch, Sequence, lay_out

SYSTEM = [1, 40, 41, 2]
FRAME = [3, *([IMAGE_PAD] * IMAGE_TOKENS), 4]


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return make_model(400).eval()


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 112, 140, 3), dtype=np.uint8))


def doubled(pictures: torch.Tensor) -> torch.Tensor:
    """Patches as transformers' image processor gives them, each doubled in time."""
    patches = patchify(pictures)
    count = patches.shape[0] * patches.shape[1]
    return patches.reshape(count, 3, 1, 14, 14).expand(-1, -1, 2, -1, -1).reshape(count, -1)


def test_patches_are_those_of_the_image_processor(pictures: torch.Tensor) -> None:
    from PIL import Image
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    told = {
        k: v for k, v in preprocessor_config().items() if k not in ("image_processor_type", "min_pixels", "max_pixels")
    }
    camera = Image.fromarray(np.random.default_rng(1).integers(0, 256, (240, 320, 3), dtype=np.uint8))
    theirs = Qwen2VLImageProcessorPil(**told)(images=[camera], return_tensors="pt")
    assert theirs["image_grid_thw"].tolist() == [[1, 8, 10]]
    small = torch.from_numpy(np.array(camera.resize((140, 112), Image.Resampling.BICUBIC)))
    assert torch.allclose(doubled(small[None]), theirs["pixel_values"], atol=1e-5)


@torch.no_grad()
def test_many_pictures_at_once_are_seen_as_one_by_one(model: Any, pictures: torch.Tensor) -> None:
    theirs = model.model.visual(doubled(pictures), torch.tensor([[1, 8, 10]] * 3)).pooler_output
    assert torch.allclose(see(model, pictures).flatten(0, 1), theirs.reshape(3 * IMAGE_TOKENS, -1), atol=1e-5)


@torch.no_grad()
def test_a_branch_is_what_the_model_answers_to_that_trunk_and_question_alone(
    model: Any, pictures: torch.Tensor
) -> None:
    branches = [
        Branch(0, [50, 51, 52], [IGNORE, 60, 61], [0, 1, 1]),
        Branch(2, [53, 54, 55, 56], [IGNORE, IGNORE, 60, 61], [0, 0, 1, 1]),
        Branch(2, [57], [62], [1]),
    ]
    # A longer companion in the batch shows that padding is not looked at.
    longer = Sequence(SYSTEM * 3, 3, [Branch(1, list(range(70, 90)), [IGNORE] * 20, [0.0] * 20)])
    batch = lay_out([Sequence(SYSTEM, 3, branches), longer])
    tokens = see(model, torch.cat([pictures, pictures]))
    hidden = think(
        model, *map(torch.from_numpy, (batch.ids,)), tokens, *map(torch.from_numpy, (batch.positions, batch.mask))
    )
    at = len(SYSTEM) + 3 * len(FRAME)
    for branch in branches:
        shown = branch.frame + 1
        ids = torch.tensor([SYSTEM + FRAME * shown + branch.ids])
        theirs = model(
            input_ids=ids,
            pixel_values=doubled(pictures[:shown]),
            image_grid_thw=torch.tensor([[1, 8, 10]] * shown),
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=(ids == IMAGE_PAD).long(),
        ).logits[0, -len(branch.ids) :]
        ours = model.lm_head(hidden[0, at : at + len(branch.ids)])
        assert torch.allclose(ours, theirs, atol=1e-4)
        assert batch.targets[0, at : at + len(branch.ids)].tolist() == branch.targets
        at += len(branch.ids)
    assert (batch.targets[0, at:] == IGNORE).all()


def some_sequences() -> list[Sequence]:
    """Trunks of one, three and five frames, each with branches of several lengths at several frames."""
    rng = np.random.default_rng(4)
    sequences = [Sequence(SYSTEM * (1 + frames % 2), frames) for frames in (3, 1, 5)]
    for sequence in sequences:
        for _ in range(2 * sequence.frames):
            ids = rng.integers(20, 390, rng.integers(1, 9)).tolist()
            sequence.branches.append(Branch(int(rng.integers(sequence.frames)), ids, ids, [0.5] * len(ids)))
    return sequences


def test_packed_sequences_are_thought_about_as_padded_ones_and_teach_the_same(model: Any) -> None:
    sequences = some_sequences()
    tokens = torch.randn(9, IMAGE_TOKENS, 192, generator=torch.Generator().manual_seed(3))
    batch, packed = lay_out(sequences), pack(sequences)
    padded = think(
        model, *map(torch.from_numpy, (batch.ids,)), tokens, *map(torch.from_numpy, (batch.positions, batch.mask))
    )
    begins = [len(sequence.system_ids) + sequence.frames * len(FRAME) for sequence in sequences]
    pairs = list(zip(sequences, begins, strict=True))
    theirs = torch.cat([padded[row, begin : len(s)] for row, (s, begin) in enumerate(pairs)])
    ours = think_packed(model, packed, tokens)
    assert torch.allclose(ours, theirs, atol=2e-5)
    assert packed.targets.tolist() == [
        t for row, (s, begin) in enumerate(pairs) for t in batch.targets[row, begin : len(s)]
    ]
    weights = list(model.model.language_model.parameters())
    for mine, his in zip(
        torch.autograd.grad(ours.pow(3).sum(), weights), torch.autograd.grad(theirs.pow(3).sum(), weights), strict=True
    ):
        assert (mine - his).abs().max() <= 1e-4 * (his.abs().max() + 1e-6)


@torch.no_grad()
@pytest.mark.parametrize("heads_of_keys", [1, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_in_bfloat16_is_the_one_in_float32(heads_of_keys: int, causal: bool) -> None:
    chance = torch.Generator().manual_seed(5)
    q = torch.randn(2, 3, 17, 32, generator=chance)
    k, v = (torch.randn(2, heads_of_keys, 17, 32, generator=chance) for _ in range(2))
    exact = attend(q, k, v, causal=causal)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = attend(q, k, v, causal=causal)
    assert coarse.dtype == torch.bfloat16
    assert torch.allclose(coarse.float(), exact, atol=0.05)
