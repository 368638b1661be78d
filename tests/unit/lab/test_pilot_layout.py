"""python -m pytest tests/unit/lab/test_pilot_layout.py

A training sequence is what the published architecture would compute for each question on its own.
"""

from typing import Any

import numpy as np
import pytest
import torch

from stillwing_lab.pilot.config import IMAGE_TOKENS, preprocessor_config
from stillwing_lab.pilot.layout import IGNORE, IMAGE_PAD, Branch, Sequence, lay_out
from stillwing_lab.pilot.model import make_model, patchify, see, think

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
