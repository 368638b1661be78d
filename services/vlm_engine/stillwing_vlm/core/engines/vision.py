"""The vision encoder of Qwen2.5-VL over one chunk: the published modules, walked with geometry that is computed once
a size.

Attention is chunk-local: windows and grids in time never see across their borders. Knows nothing of caches or sessions.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from transformers.vision_utils import get_vision_cu_seqlens, get_vision_position_ids, get_vision_window_index

from stillwing_vlm.core.positions import Grid


@dataclass(frozen=True, slots=True)
class _Geometry:
    """What depends on the grid alone; tokens stand in the order of the windows."""

    order: torch.Tensor
    back: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    grid_lengths: list[int]
    window_lengths: list[int]


class VisionEncoder:
    """Patches of one chunk to embeddings of merged tokens."""

    def __init__(self, visual: Any) -> None:
        """`visual`: the model's vision transformer module, in evaluation mode."""
        self._visual = visual
        self._merge_unit = visual.spatial_merge_size**2
        self._full = set(visual.fullatt_block_indexes)
        weight = visual.patch_embed.proj.weight
        # A convolution whose kernel equals its stride is one matrix product.
        self._patch_weight = weight.reshape(weight.shape[0], -1)
        self._geometry = lru_cache(maxsize=16)(self._make_geometry)

    def __call__(self, patches: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Embeddings `[merged tokens, hidden of the language model]` of patches `[patches, channels * time * px *
        px]`.
        """
        place = self._geometry(grid)
        hidden = F.linear(patches, self._patch_weight)
        hidden = hidden.view(-1, self._merge_unit, hidden.shape[-1])[place.order].flatten(0, 1)
        for index, block in enumerate(self._visual.blocks):
            lengths = place.grid_lengths if index in self._full else place.window_lengths
            hidden = hidden + self._attend(block.attn, block.norm1(hidden), place, lengths)
            hidden = hidden + block.mlp(block.norm2(hidden))
        merged: torch.Tensor = self._visual.merger(hidden)
        return merged[place.back]

    def _attend(self, attn: Any, hidden: torch.Tensor, place: _Geometry, lengths: list[int]) -> torch.Tensor:
        query, key, value = attn.qkv(hidden).view(hidden.shape[0], 3, attn.num_heads, -1).unbind(1)
        query, key = _turn(query, place), _turn(key, place)
        if len(set(lengths)) == 1:
            shape = (len(lengths), lengths[0], attn.num_heads, -1)
            query, key, value = (part.reshape(shape).transpose(1, 2) for part in (query, key, value))
            out = F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
        else:
            pieces = zip(*(part.transpose(0, 1).split(lengths, dim=1) for part in (query, key, value)), strict=True)
            out = torch.cat([F.scaled_dot_product_attention(*piece) for piece in pieces], dim=1).transpose(0, 1)
        projected: torch.Tensor = attn.proj(out.reshape(hidden.shape[0], -1))
        return projected

    def _make_geometry(self, grid: Grid) -> _Geometry:
        visual = self._visual
        sizes = torch.tensor([grid])
        order, window_ends = get_vision_window_index(
            sizes,
            spatial_merge_size=visual.spatial_merge_size,
            window_size=visual.window_size,
            patch_size=visual.patch_size,
        )
        device = self._patch_weight.device
        where = get_vision_position_ids(sizes, visual.spatial_merge_size).to(device)
        cos, sin = visual.rotary_pos_emb(where, where)
        order = order.to(device)

        def arranged(table: torch.Tensor) -> torch.Tensor:
            return table.view(-1, self._merge_unit, table.shape[-1])[order].flatten(0, 1)[:, None].float()

        return _Geometry(
            order=order,
            back=torch.argsort(order),
            cos=arranged(cos),
            sin=arranged(sin),
            grid_lengths=get_vision_cu_seqlens(sizes).diff().tolist(),
            window_lengths=window_ends.diff().tolist(),
        )


def _turn(vectors: torch.Tensor, place: _Geometry) -> torch.Tensor:
    """Rotate `[tokens, heads, head_dim]` by row and column, in float32."""
    wide = vectors.float()
    first, second = wide.chunk(2, dim=-1)
    return (wide * place.cos + torch.cat((-second, first), dim=-1) * place.sin).to(vectors.dtype)
