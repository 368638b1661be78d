"""The vision encoder of a family over one chunk: the published modules, walked with geometry that is computed once a
size.

Attention is chunk-local: windows and grids in time never see across their borders. Knows nothing of caches or sessions.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from transformers.vision_utils import (
    get_vision_cu_seqlens,
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
    get_vision_window_index,
)

from stillwing_vlm.core.engines.qwen.families import Family
from stillwing_vlm.core.inputs.positions import Grid


@dataclass(frozen=True, slots=True)
class _Geometry:
    """What depends on the grid alone. Where there are windows, tokens stand in their order."""

    order: torch.Tensor | None
    back: torch.Tensor | None
    places: torch.Tensor | None
    cos: torch.Tensor
    sin: torch.Tensor
    grid_lengths: list[int]
    window_lengths: list[int]


@dataclass(frozen=True, slots=True)
class VisionFeatures:
    """`merged` `[merged tokens, hidden of the language model]`.

    `deep`: what is added to them after its first layers, of the same shape, one for each layer.
    """

    merged: torch.Tensor
    deep: tuple[torch.Tensor, ...]


class VisionEncoder:
    """Patches of one chunk to embeddings of merged tokens."""

    def __init__(self, visual: Any, family: Family, *, by_length: bool = False) -> None:
        """`visual`: the model's vision transformer module, in evaluation mode. `by_length`: windows stand by length
        instead of by place, and those of one length are attended in one call; sums are then rounded otherwise.
        """
        self._windows_by_length = by_length
        self._visual = visual
        self._family = family
        self._merge_unit = visual.spatial_merge_size**2
        self._full = set(visual.fullatt_block_indexes) if family.windowed_vision else set(range(len(visual.blocks)))
        self._deep: dict[int, Any] = {}
        if family.deepstack:
            self._deep = dict(zip(visual.deepstack_visual_indexes, visual.deepstack_merger_list, strict=True))
        projection = visual.patch_embed.proj
        # A convolution whose kernel equals its stride is one matrix product.
        self._patch_weight = projection.weight.reshape(projection.weight.shape[0], -1)
        self._patch_bias = projection.bias
        self._geometry = lru_cache(maxsize=16)(self._make_geometry)

    def __call__(self, patches: torch.Tensor, grid: Grid) -> VisionFeatures:
        """Features of patches `[patches, channels * time * px * px]`."""
        place = self._geometry(grid)
        hidden = F.linear(patches, self._patch_weight, self._patch_bias)
        if place.places is not None:
            hidden = hidden + place.places
        if place.order is not None:
            hidden = hidden.view(-1, self._merge_unit, hidden.shape[-1])[place.order].flatten(0, 1)
        deep = []
        for index, block in enumerate(self._visual.blocks):
            lengths = place.grid_lengths if index in self._full else place.window_lengths
            hidden = hidden + self._attend(block.attn, block.norm1(hidden), place, lengths)
            hidden = hidden + block.mlp(block.norm2(hidden))
            if index in self._deep:
                deep.append(self._deep[index](hidden))
        merged: torch.Tensor = self._visual.merger(hidden)
        return VisionFeatures(merged if place.back is None else merged[place.back], tuple(deep))

    def _attend(self, attn: Any, hidden: torch.Tensor, place: _Geometry, lengths: list[int]) -> torch.Tensor:
        query, key, value = attn.qkv(hidden).view(hidden.shape[0], 3, attn.num_heads, -1).unbind(1)
        query, key = _turn(query, place), _turn(key, place)
        if self._windows_by_length or len(set(lengths)) == 1:
            out = _attend_by_length(query, key, value, lengths)
        else:
            pieces = zip(*(part.transpose(0, 1).split(lengths, dim=1) for part in (query, key, value)), strict=True)
            out = torch.cat([F.scaled_dot_product_attention(*piece) for piece in pieces], dim=1).transpose(0, 1)
        projected: torch.Tensor = attn.proj(out.reshape(hidden.shape[0], -1))
        return projected

    def _make_geometry(self, grid: Grid) -> _Geometry:
        visual, device = self._visual, self._patch_weight.device
        sizes = torch.tensor([grid])
        order = None
        grid_lengths = get_vision_cu_seqlens(sizes).diff().tolist()
        window_lengths = grid_lengths
        if self._family.windowed_vision:
            order, window_ends = get_vision_window_index(
                sizes,
                spatial_merge_size=visual.spatial_merge_size,
                window_size=visual.window_size,
                patch_size=visual.patch_size,
            )
            window_lengths = window_ends.diff().tolist()
            if self._windows_by_length:
                order, window_lengths = self._by_length(order, window_lengths, grid)
            order = order.to(device)
        where = get_vision_position_ids(sizes, visual.spatial_merge_size).to(device)
        cos, sin = visual.rotary_pos_emb(where, where)

        def arranged(table: torch.Tensor) -> torch.Tensor:
            if order is not None:
                table = table.view(-1, self._merge_unit, table.shape[-1])[order].flatten(0, 1)
            return table[:, None].float()

        return _Geometry(
            order=order,
            back=None if order is None else torch.argsort(order),
            places=self._learned_places(sizes) if self._family.learned_places else None,
            cos=arranged(cos),
            sin=arranged(sin),
            grid_lengths=grid_lengths,
            window_lengths=window_lengths,
        )

    def _by_length(self, order: torch.Tensor, lengths: list[int], grid: Grid) -> tuple[torch.Tensor, list[int]]:
        """The same windows, those of a grid in time by length: whose turn it is changes nothing."""
        unit, per_grid = self._merge_unit, grid.rows * grid.columns // self._merge_unit
        parts: list[torch.Tensor] = list(torch.split(order, [length // unit for length in lengths]))
        parts.sort(key=lambda window: (int(window[0]) // per_grid, -len(window)))
        return torch.cat(parts), [len(window) * unit for window in parts]

    def _learned_places(self, sizes: torch.Tensor) -> torch.Tensor:
        visual = self._visual
        indices, weights = get_vision_interpolation_indices_and_weights(
            sizes,
            num_grid_per_side=visual.num_grid_per_side,
            mode=visual.interpolation_mode,
            align_corners=visual.interpolation_align_corners,
            spatial_merge_size=visual.spatial_merge_size,
        )
        device = self._patch_weight.device
        blended: torch.Tensor = (visual.pos_embed(indices.to(device)) * weights.to(device)[:, :, None]).sum(1)
        return blended.to(self._patch_weight.dtype)


def _attend_by_length(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """Each of the pieces over itself, neighbours of one length in one call; `[tokens, heads, head_dim]`."""
    at, found = 0, []
    for length, run in groupby(lengths):
        count = len(list(run))
        rows = slice(at, at + count * length)
        parts = [part[rows].view(count, length, *part.shape[1:]).transpose(1, 2) for part in (query, key, value)]
        attended = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        found.append(attended.transpose(1, 2).flatten(0, 1))
        at = rows.stop
    return found[0] if len(found) == 1 else torch.cat(found)


def _turn(vectors: torch.Tensor, place: _Geometry) -> torch.Tensor:
    """Rotate `[tokens, heads, head_dim]` by row and column, in float32."""
    wide = vectors.float()
    first, second = wide.chunk(2, dim=-1)
    return (wide * place.cos + torch.cat((-second, first), dim=-1) * place.sin).to(vectors.dtype)
