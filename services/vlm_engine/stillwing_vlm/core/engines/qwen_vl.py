"""The Qwen-VL families on one device: the published modules, with cache, positions, attention call and decoding of our
own.

The library's cache and position code changes between releases and cannot evict, fork or share a trunk. It knows
nothing of sessions, frames or order: it is told what to write where.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from stillwing_common.errors import Exhausted
from stillwing_vlm.core.backend import CacheSizes, Outcome, PinnedView, Row
from stillwing_vlm.core.engines.attention.choice import Heads, choose_attention
from stillwing_vlm.core.engines.attention.plain import held_bytes
from stillwing_vlm.core.engines.cache import file as kv_file
from stillwing_vlm.core.engines.cache.slab import BranchStore, CacheCopy, KeptChunk, KvSlab, SlabShape
from stillwing_vlm.core.engines.passes.decoding import choose_decoding, kernels_fit
from stillwing_vlm.core.engines.passes.eager import EagerAppend, attend_rows
from stillwing_vlm.core.engines.passes.static_step import StaticDecoder, scratch_bytes
from stillwing_vlm.core.engines.passes.vision import CapturedVision, Encode, PatchStager, StagedPatches
from stillwing_vlm.core.engines.qwen.families import Family, rotary_axes
from stillwing_vlm.core.engines.qwen.figures import model_figures
from stillwing_vlm.core.engines.qwen.fingerprint import fingerprint
from stillwing_vlm.core.engines.qwen.host_memory import free_host_bytes
from stillwing_vlm.core.engines.qwen.layers import LanguageLayers, TokenEmbeddings
from stillwing_vlm.core.engines.qwen.sampling import ReadToken, choose
from stillwing_vlm.core.engines.qwen.vision import VisionEncoder
from stillwing_vlm.core.engines.tensors.rotary import CosSin, Rotary
from stillwing_vlm.core.engines.tensors.transfer import to_device
from stillwing_vlm.core.inputs.chunk_tokens import VISION, ChunkFormat, ChunkLayout
from stillwing_vlm.core.inputs.images import PatchChunk, Preprocessing
from stillwing_vlm.core.inputs.positions import Positions

Note = Callable[[int, torch.Tensor], object]
"""Given a layer and its queries and keys before they are turned, one after the other."""


class QwenVlBackend:
    """The `Backend` of every family in `families`. All methods run on the device's owner thread."""

    def __init__(
        self,
        model: Any,
        family: Family,
        preprocessing: Preprocessing,
        model_name: str,
        attention: str = "auto",
        decoding: str = "auto",
        kv_cache_dtype: str = "auto",
    ) -> None:
        """`model`: the family's architecture in evaluation mode, on its device; `attention` as `choose_attention`,
        `decoding` as `choose_decoding`; `kv_cache_dtype`: "auto" keeps keys and values in the model's type, "fp8" as
        8-bit floats with scales.
        """
        self.published = model
        """The library's own module, over the same weights: to compare with."""
        config = model.config.text_config
        device = model.model.language_model.embed_tokens.weight.device
        kernels = _uses_kernels(device, attention, decoding)
        self._layers = layers = LanguageLayers(model, family, kernels=kernels)
        self._device, self._dtype = layers.device, layers.dtype
        scaled = kv_cache_dtype == "fp8"
        heads = Heads(layers.heads, layers.kv_heads, layers.head_dim, scaled)
        self._attention = choose_attention(attention, self._device, self._dtype, heads)
        self._rotary = _rotary(config, family, layers.head_dim, self._device)
        self._vision: Encode = VisionEncoder(model.model.visual, family, by_length=layers.device.type == "cuda")
        kernels = kernels and kernels_fit(layers)
        self._shape = SlabShape(
            layers.count, layers.kv_heads, layers.head_dim, self._dtype, self._device, scaled, kernels
        )
        self.name = family.name
        self.model = model_name
        self.device = str(self._device)
        self.attention = self._attention.name
        self.attention_reason = self._attention.reason
        self.dtype = str(self._dtype).removeprefix("torch.")
        self.kv_cache_dtype = "fp8" if scaled else self.dtype
        named = list(model.named_parameters())
        self.weight_dtype = "int8" if any(weight.dtype == torch.int8 for _, weight in named) else self.dtype
        self.parameters = sum(weight.numel() for name, weight in named if not name.endswith(".weight_scale"))
        self.fingerprint = fingerprint(named, dict(config.rope_parameters))
        self.vocab_size: int = config.vocab_size
        self._static, self.decoding = choose_decoding(
            decoding, layers, self._rotary, self._attention, self.vocab_size, scaled=scaled
        )
        self.looks_ahead = self._static is not None
        # As passes come, nothing overlaps: one stream, no events, no pinned memory.
        overlaps = self._static is not None and self._device.type == "cuda"
        self._stager = PatchStager(self._device, self._dtype) if overlaps else None
        if self._static is not None:
            self._vision = CapturedVision(self._vision, self._static.capture)
        self.figures = model_figures(model.config, self._dtype.itemsize, scaled=scaled)
        self.preprocessing = preprocessing
        self.pointing = family.pointing
        vision = model.config.vision_config
        self.chunk_format = ChunkFormat(
            merge=preprocessing.merge,
            tokens_per_second=float(vision.tokens_per_second) if family.counts_seconds else None,
            timed_grids=family.timed_grids,
        )

    # Embeddings

    def stage(self, chunk: PatchChunk) -> StagedPatches | None:
        """With static buffers on CUDA, patches go over while the device is busy with others."""
        return None if self._stager is None else self._stager(chunk)

    @torch.inference_mode()
    def embed_text(self, token_ids: Sequence[int]) -> TokenEmbeddings:
        """Text alone."""
        return TokenEmbeddings(self._embed(token_ids))

    @torch.inference_mode()
    def embed_chunk(
        self, chunk: PatchChunk, layout: ChunkLayout, staged: StagedPatches | None = None
    ) -> TokenEmbeddings:
        """One chunk through the vision encoder, its features where the layout wants them."""
        patches = torch.from_numpy(chunk.patches).to(self._device, self._dtype) if staged is None else staged.ready()
        features = self._vision(patches, chunk.grid)
        seen = layout.token_ids == VISION
        hidden = self._embed(np.where(seen, 0, layout.token_ids).tolist())
        places = self._sent(torch.from_numpy(np.flatnonzero(seen)))
        wanted = self._sent(torch.from_numpy(layout.features))
        hidden[places] = features.merged[wanted]
        return TokenEmbeddings(hidden, places, tuple(part[wanted] for part in features.deep))

    def _embed(self, token_ids: Sequence[int]) -> torch.Tensor:
        return self._layers.embed(self._sent(torch.tensor(list(token_ids), dtype=torch.long)))

    def _sent(self, host: torch.Tensor) -> torch.Tensor:
        return host.to(self._device) if self._static is None else to_device(host, self._device)

    # Caches

    @torch.inference_mode()
    def new_store(self, capacity: int) -> KvSlab:
        """An empty slab of `capacity` tokens. Raises Exhausted where it does not fit the device."""
        try:
            return KvSlab(self._shape, self._rotary, capacity)
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
                raise
            raise Exhausted(f"no memory for a cache of {capacity} tokens", tokens=capacity) from error

    def write_cache(
        self, path: Path, cache: CacheCopy, description: str, arrays: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        """Write a copy of a cache to a file. Raises OSError."""
        kv_file.write(path, cache, description, arrays)

    def read_cache(
        self, path: Path, sizes: Callable[[str], CacheSizes]
    ) -> tuple[str, CacheCopy, dict[str, npt.NDArray[Any]]]:
        """Description, cache and arrays of a file that fits this model. Raises ExportUnusable, OSError."""
        return kv_file.read(path, self._shape, sizes)

    @torch.inference_mode()
    def new_branch(self, store: KvSlab, view: PinnedView, capacity: int) -> BranchStore:
        """Room for `capacity` tokens beside the trunk."""
        return BranchStore(self._shape, capacity, store, view)

    @torch.inference_mode()
    def fork_branch(self, branch: BranchStore, capacity: int) -> BranchStore:
        """A branch of a branch."""
        return branch.fork(self._shape, capacity)

    # Passes

    @torch.inference_mode()
    def prefill(
        self, store: KvSlab, start: int, tail: int, embedding: TokenEmbeddings, positions: Positions, offset: int | None
    ) -> KeptChunk | None:
        """Write the tokens' keys and values at `tail`.

        No hidden state leaves the last layer, so its end is not computed.
        """
        cos_sin = self._rotary.cos_sin(positions)
        appends = self._static.appends if self._static is not None and offset is None else None
        if appends is not None and appends.run(store, start, tail, embedding, cos_sin):
            return None
        raw: list[torch.Tensor] = []
        note = None if offset is None else lambda _, unturned: raw.append(unturned[self._layers.heads :])
        self._append(store, start, tail, embedding, cos_sin, note)
        if offset is None:
            return None
        place = slice(tail, tail + embedding.hidden.shape[0])
        return KeptChunk(torch.stack(raw), store.values[:, :, place].clone(), positions - offset)

    @torch.inference_mode()
    def mean_queries(
        self, store: KvSlab, tail: int, embedding: TokenEmbeddings, positions: Positions, layers: Sequence[int]
    ) -> npt.NDArray[np.float32]:
        """Mean queries before rotation, `[layers, heads, head_dim]`; the tokens are written at `tail`."""
        means: dict[int, torch.Tensor] = {}

        def note(layer: int, unturned: torch.Tensor) -> None:
            if layer in layers:
                means[layer] = unturned[: self._layers.heads].double().mean(dim=1)

        self._append(store, 0, tail, embedding, self._rotary.cos_sin(positions), note)
        found: npt.NDArray[np.float32] = torch.stack([means[layer] for layer in layers]).float().cpu().numpy()
        return found

    def _append(
        self, store: KvSlab, start: int, tail: int, embedding: TokenEmbeddings, cos_sin: CosSin, note: Note | None
    ) -> None:
        tokens = embedding.hidden.shape[0]
        append = EagerAppend(self._attention, self._layers, store.keys, store.values, tokens)
        append.begin(cos_sin, torch.tensor((start, tail)))

        def attend(layer: int, unturned: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            if note is not None:
                note(layer, unturned)
            return append.attend(layer, unturned, values)

        self._layers.walk(embedding, attend, needs_output=False)

    @torch.inference_mode()
    def step(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        """Feed all rows in one pass: products over all their tokens together, attention for each row alone."""
        found = self._fed(rows)
        _count(rows)
        return found

    def _fed(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        """The same before the rows' tokens count: where it breaks, they may be fed again."""
        counts = [len(row.token_ids) for row in rows]
        ends = np.cumsum(counts)
        ids = [token if isinstance(token, int) else token.read() for row in rows for token in row.token_ids]
        cos_sin = self._rotary.cos_sin(np.concatenate([row.positions for row in rows], axis=1))
        attend = attend_rows(self._attention, self._layers, rows, cos_sin)
        hidden = self._layers.walk(TokenEmbeddings(self._embed(ids)), attend)
        wanted = [
            range(end - count if row.every else end - 1, end)
            for row, count, end in zip(rows, counts, ends.tolist(), strict=True)
        ]
        places = self._sent(torch.tensor([place for part in wanted for place in part]))
        parts = torch.split(self._layers.logits(hidden[places]), [len(part) for part in wanted])
        return [part if row.every else part[0] for row, part in zip(rows, parts, strict=True)]

    @torch.inference_mode()
    def advance(self, rows: Sequence[Row]) -> list[Outcome]:
        """One pass for all rows; or, where there is a decoder, one for each length and one for rows it cannot take."""
        found = self._stepped(rows) if self._static is None else self._shared(rows, self._static.decoder)
        _count(rows)
        return found

    def _shared(self, rows: Sequence[Row], decoder: StaticDecoder) -> list[Outcome]:
        found: list[Outcome] = [None] * len(rows)
        taken = [at for at, row in enumerate(rows) if decoder.takes(row)]
        left = [at for at in range(len(rows)) if at not in taken]
        for places, advance in ((taken, decoder.advance), (left, self._stepped)):
            if places:
                for at, outcome in zip(places, advance([rows[at] for at in places]), strict=True):
                    found[at] = outcome
        return found

    def _stepped(self, rows: Sequence[Row]) -> list[Outcome]:
        return [
            logits if row.choosing is None else ReadToken(int(choose(logits, row.choosing)))
            for row, logits in zip(rows, self._fed(rows), strict=True)
        ]

    # Tokens

    @torch.inference_mode()
    def log_probabilities(self, logits: torch.Tensor) -> npt.NDArray[np.float64]:
        """float64[vocabulary]."""
        found: npt.NDArray[np.float64] = logits.double().log_softmax(dim=-1).cpu().numpy()
        return found

    def settle(self) -> None:
        """Wait for the device."""
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()

    def scratch_bytes(self, chunk_tokens: int) -> int:
        """What passes hold beside caches: scores or partial results, and steps with their buffers."""
        if self._device.type != "cuda":
            return 0
        scores = held_bytes(self._dtype.itemsize) if self._attention.name == "sdpa" else 0
        if not self._shape.kernels:
            return scores
        layers, processors = self._layers, torch.cuda.get_device_properties(self._device).multi_processor_count
        return scores + scratch_bytes(
            (layers.heads, layers.kv_heads, layers.head_dim),
            self._dtype.itemsize,
            self.figures.append_bytes,
            self.vocab_size if self._static is not None else 0,
            chunk_tokens,
            processors,
        )

    def free_bytes(self) -> int:
        """Memory of the device that is free now and may be taken."""
        if self._device.type == "cuda":
            return int(torch.cuda.mem_get_info(self._device)[0])
        return free_host_bytes()


def _uses_kernels(device: torch.device, attention: str, decoding: str) -> bool:
    """Whether Triton's kernels are asked for: what is carried out as it comes, with torch's attention, has none."""
    asked = attention == "triton" or decoding in ("static", "graphs")
    return device.type == "cuda" and asked and importlib.util.find_spec("triton") is not None


def _count(rows: Sequence[Row]) -> None:
    """The rows' tokens are in their branches."""
    for row in rows:
        row.branch.advance(len(row.token_ids))


def _rotary(config: Any, family: Family, head_dim: int, device: torch.device) -> Rotary:
    rope = config.rope_parameters
    exponents = np.arange(0, head_dim, 2, dtype=np.float64) / head_dim
    axes = rotary_axes(family, list(rope["mrope_section"]))
    return Rotary(float(rope["rope_theta"]) ** -exponents, axes, device)
