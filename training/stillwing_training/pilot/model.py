"""The pilot as a module: transformers' own Qwen2.5-VL, with its vision tower run over many equal pictures at once.

It knows nothing of data, tokens or losses.
"""

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from stillwing_training.pilot.config import (
    GRID_COLUMNS,
    GRID_ROWS,
    IMAGE_MEAN,
    IMAGE_STD,
    MERGE,
    PATCH_PX,
    model_config,
)

PATCHES = GRID_ROWS * GRID_COLUMNS


def make_model(vocabulary: int) -> Any:
    """A pilot with random weights, drawn from torch's global generator."""
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**model_config(vocabulary)))


def patchify(pixels: Tensor) -> Tensor:
    """Patches (n, 80, 588) in merge-block order, flattened (channel, row, column), of pictures (n, 112, 140, 3).

    `pixels` are 0 to 255 of any type. Transformers' image processor gives the same with each patch doubled in time.
    """
    count = pixels.shape[0]
    mean = torch.tensor(IMAGE_MEAN, device=pixels.device) * 255
    std = torch.tensor(IMAGE_STD, device=pixels.device) * 255
    x = torch.addcmul(-mean / std, pixels.float(), 1 / std)
    x = x.view(count, GRID_ROWS // MERGE, MERGE, PATCH_PX, GRID_COLUMNS // MERGE, MERGE, PATCH_PX, 3)
    return x.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(count, PATCHES, 3 * PATCH_PX * PATCH_PX)


@functools.lru_cache(maxsize=4)
def _patch_positions(rows: int, columns: int, device: torch.device) -> Tensor:
    """Row and column of each patch, (rows * columns, 2), in merge-block order."""
    row = torch.arange(rows, device=device)[:, None].expand(rows, columns)
    column = torch.arange(columns, device=device)[None].expand(rows, columns)

    def blocks(grid: Tensor) -> Tensor:
        return grid.reshape(rows // MERGE, MERGE, columns // MERGE, MERGE).permute(0, 2, 1, 3).flatten()

    return torch.stack([blocks(row), blocks(column)], -1)


def _rotate_half(x: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([-second, first], -1)


def attend(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False) -> Tensor:
    """Scaled dot-product attention of (n, heads, length, width); `k` and `v` may have one head for all.

    With `causal` nothing looks at what comes after it.
    """
    if not (q.device.type == "cpu" and torch.is_autocast_enabled("cpu")):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=k.shape[1] != q.shape[1])
    # Torch's own kernel takes three times as long on the way back in bfloat16.
    count, heads, length, width = q.shape
    groups = heads // k.shape[1]
    rows = q.reshape(count, k.shape[1], groups * length, width) * width**-0.5
    scores = (rows @ k.mT).view(count, heads, length, length)
    if causal:
        later = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    shares = scores.softmax(-1).view(count, k.shape[1], groups * length, length)
    taken: Tensor = shares @ v
    return taken.view(count, heads, length, width)


def see(model: Any, pixels: Tensor) -> Tensor:
    """Image tokens (n, 20, hidden) of pictures (n, 112, 140, 3)."""
    tower = model.model.visual
    # A still picture is the same patch twice in time, so the filter's two halves add.
    x = patchify(pixels) @ tower.patch_embed.proj.weight.sum(2).flatten(1).t()
    return through_tower(tower, x, GRID_ROWS, GRID_COLUMNS)


def through_tower(tower: Any, x: Tensor, rows: int, columns: int) -> Tensor:
    """Image tokens (n, rows * columns / 4, hidden) of filtered patches (n, rows * columns, width), many at once.

    Equal to transformers' vision tower, which loops over pictures, wherever every block attends to the whole picture.
    """
    count, patches = x.shape[:2]
    cos, sin = (
        part.view(1, patches, 1, -1) for part in tower.rotary_pos_emb(x, _patch_positions(rows, columns, x.device))
    )
    for block in tower.blocks:
        heads = block.attn.num_heads
        q, k, v = block.attn.qkv(block.norm1(x)).view(count, patches, 3, heads, -1).unbind(2)
        q, k = q * cos + _rotate_half(q) * sin, k * cos + _rotate_half(k) * sin
        attended = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        x = x + block.attn.proj(attended.transpose(1, 2).reshape(count, patches, -1))
        x = x + block.mlp(block.norm2(x))
    tokens: Tensor = tower.merger(x.reshape(count * patches, -1))
    return tokens.view(count, patches // MERGE**2, -1)


def think(model: Any, ids: Tensor, image_tokens: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
    """Hidden states (batch, length, hidden) of whole sequences.

    Args:
        model: From `make_model`.
        ids: Token ids (batch, length), with `<|image_pad|>` where image tokens go.
        image_tokens: (pictures, 20, hidden) in the order they occur.
        positions: (3, batch, length).
        mask: bool (batch, length, length), True where a query (second axis) may look at a key (third).
    """
    embedded = model.model.language_model.embed_tokens(ids)
    holes = (ids == model.config.image_token_id)[..., None].expand_as(embedded)
    embedded = embedded.masked_scatter(holes, image_tokens.reshape(-1))
    hidden: Tensor = model.model.language_model(
        inputs_embeds=embedded,
        position_ids=positions,
        attention_mask={"full_attention": mask[:, None]},
        use_cache=False,
    ).last_hidden_state
    return hidden


def as_tensor(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """The array on `device`."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
