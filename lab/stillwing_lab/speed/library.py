"""What the engine is measured against: the same weights driven the usual way, with transformers' own cache.

One stream. Eviction concatenates what stays, an ask works on a deep copy of the cache, and `refill` computes the whole
context anew. It knows nothing of the engine's cache; positions are given to it, so that both compute the same numbers.
"""

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch
from transformers import DynamicCache, Qwen2_5_VLForConditionalGeneration

from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.inputs.chunk_tokens import VISION, ChunkLayout, lay_out
from stillwing_vlm.core.inputs.images import PatchChunk, Pixels
from stillwing_vlm.core.inputs.positions import Positions, text_positions


class LibraryStream:
    """A stream over transformers' model, its DynamicCache and its whole-sequence forward."""

    @classmethod
    def load(
        cls, directory: str, loaded: LoadedEngine, opening_ids: list[int], dtype: torch.dtype = torch.float32
    ) -> Self:
        """Over weights of its own, on the CPU, with the attention that the library chooses."""
        architecture: Any = Qwen2_5_VLForConditionalGeneration
        model = architecture.from_pretrained(directory, dtype=dtype, local_files_only=True).eval()
        return cls(model, loaded, opening_ids)

    def __init__(self, model: Any, loaded: LoadedEngine, opening_ids: list[int]) -> None:
        """`model`: the library's own module, on its device. `loaded` lends its tokenizer, preprocessing and layout of
        chunks.
        """
        self._model = model
        self._device: torch.device = model.get_input_embeddings().weight.device
        self._loaded = loaded
        self._opening = opening_ids
        self._opening_positions, self._first_cursor = text_positions(0, len(opening_ids))
        self.cursor = self._first_cursor
        self.cache = DynamicCache()
        self._forward(self._embed(opening_ids), self._opening_positions)

    @property
    def attention(self) -> str:
        """Who carries out the library's attention."""
        return str(self._model.config._attn_implementation)

    @property
    def tokens(self) -> int:
        """Tokens in the cache."""
        return int(self.cache.get_seq_length())

    @torch.inference_mode()
    def append(self, pixels: Pixels) -> int:
        """One frame through the vision encoder into the cache; its tokens."""
        patches, layout = self._laid_out(pixels, self.cursor)
        self._forward(self._chunk(patches, layout), layout.positions)
        self.cursor = layout.cursor
        return layout.tokens

    @torch.inference_mode()
    def evict(self, sink_tokens: int, tokens: int) -> None:
        """Let `tokens` after the sink go, by concatenating what stays."""
        for layer in self.cache.layers:
            for name in ("keys", "values"):
                whole = getattr(layer, name)
                kept = torch.cat((whole[:, :, :sink_tokens], whole[:, :, sink_tokens + tokens :]), dim=2)
                setattr(layer, name, kept)

    @torch.inference_mode()
    def ask(self, question_ids: list[int], answer_tokens: int) -> list[int]:
        """`answer_tokens` greedy tokens on a deep copy of the cache, which is then put back."""
        snapshot = copy.deepcopy(self.cache)
        answer = self._decode(question_ids, answer_tokens)
        self.cache = snapshot
        return answer

    @torch.inference_mode()
    def refill(self, frames: Sequence[Pixels], question_ids: list[int], answer_tokens: int) -> list[int]:
        """The whole context anew in one pass, vision encoder and all, and the answer; this stream's cache stays."""
        kept, kept_cursor = self.cache, self.cursor
        self.cache, cursor = DynamicCache(), self._first_cursor
        embeddings, positions = [self._embed(self._opening)], [self._opening_positions]
        for pixels in frames:
            patches, layout = self._laid_out(pixels, cursor)
            embeddings.append(self._chunk(patches, layout))
            positions.append(layout.positions)
            cursor = layout.cursor
        self._forward(torch.cat(embeddings), _joined(positions))
        self.cursor = cursor
        answer = self._decode(question_ids, answer_tokens)
        self.cache, self.cursor = kept, kept_cursor
        return answer

    @torch.inference_mode()
    def take(self, keys: torch.Tensor, values: torch.Tensor, cursor: int) -> None:
        """Start from keys and values `[layers, kv_heads, tokens, head_dim]` that were computed elsewhere."""
        self.cache = DynamicCache()
        for layer, (key, value) in enumerate(zip(keys, values, strict=True)):
            self.cache.update(key[None].clone(), value[None].clone(), layer)
        self.cursor = cursor

    @torch.inference_mode()
    def generate(self, frames: Sequence[Pixels], question_ids: list[int], answer_tokens: int) -> list[int]:
        """The same by the library's own `generate`: its prompt, its positions, its cache. The stream's cache stays."""
        config, text = self._model.config, self._loaded.text
        laid_out = [self._laid_out(pixels, 0) for pixels in frames]
        pictures = [
            [config.image_token_id if each == VISION else int(each) for each in layout.token_ids]
            for _, layout in laid_out
        ]
        ids = torch.tensor([[*self._opening, *(each for part in pictures for each in part), *question_ids]])
        weight = self._model.get_input_embeddings().weight
        grids = torch.tensor([list(patches.grid) for patches, _ in laid_out])
        out = self._model.generate(
            input_ids=ids.to(self._device),
            attention_mask=torch.ones_like(ids).to(self._device),
            mm_token_type_ids=(ids == config.image_token_id).int().to(self._device),
            pixel_values=torch.cat([torch.from_numpy(patches.patches) for patches, _ in laid_out]).to(weight),
            image_grid_thw=grids.to(self._device),
            max_new_tokens=answer_tokens,
            min_new_tokens=answer_tokens,
            do_sample=False,
            pad_token_id=text.end_id,
        )
        found: list[int] = out[0, ids.shape[1] :].tolist()
        return found

    def forget(self) -> None:
        """Give the cache's memory back."""
        self.cache = DynamicCache()

    def _laid_out(self, pixels: Pixels, cursor: int) -> tuple[PatchChunk, ChunkLayout]:
        backend = self._loaded.backend
        patches = self._loaded.preparer.pixels(("",), [pixels], 1.0).patches
        return patches, lay_out(cursor, patches.grid, backend.chunk_format, self._loaded.text)

    def _chunk(self, patches: PatchChunk, layout: ChunkLayout) -> torch.Tensor:
        grid = torch.tensor([list(patches.grid)], device=self._device)
        pixels = torch.from_numpy(patches.patches).to(self._model.get_input_embeddings().weight)
        (image,) = self._model.model.get_image_features(pixels, grid).pooler_output
        ids = torch.from_numpy(layout.token_ids).to(self._device)
        embedding = self._embed(ids.clamp_min(0).tolist())
        embedding[ids == VISION] = image
        return embedding

    def _embed(self, ids: Sequence[int]) -> torch.Tensor:
        with torch.inference_mode():
            found: torch.Tensor = self._model.get_input_embeddings()(torch.tensor(list(ids), device=self._device))
        return found

    def _forward(self, embedding: torch.Tensor, positions: Positions) -> torch.Tensor:
        with torch.inference_mode():
            # By place, not by name: the cache is `past_key_values` up to transformers 5.23 and `cache` from 5.24 on.
            at = torch.from_numpy(positions)[:, None].to(self._device)
            out = self._model.model.language_model(
                None, None, at, self.cache, inputs_embeds=embedding[None], use_cache=True
            )
            logits: torch.Tensor = self._model.lm_head(out.last_hidden_state[0, -1])
        return logits

    def _decode(self, question_ids: list[int], answer_tokens: int) -> list[int]:
        positions, cursor = text_positions(self.cursor, len(question_ids))
        logits, answer = self._forward(self._embed(question_ids), positions), []
        for _ in range(answer_tokens):
            answer.append(int(logits.argmax()))
            if len(answer) < answer_tokens:
                positions, cursor = text_positions(cursor, 1)
                logits = self._forward(self._embed(answer[-1:]), positions)
        return answer


def _joined(positions: Sequence[Positions]) -> Positions:
    return torch.cat([torch.from_numpy(each) for each in positions], dim=1).numpy()
