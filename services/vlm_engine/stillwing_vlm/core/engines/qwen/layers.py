"""The layers of the language model, walked one after another: the published modules, with an attention call of the
caller's.

They are walked here because the library's own forward brings its cache and its positions along. Each pass is device
work alone and waits for nothing, so that it can be captured. It knows nothing of caches, branches or sessions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from stillwing_vlm.core.engines.qwen.families import Family
from stillwing_vlm.core.engines.qwen.int8 import Int8Linear
from stillwing_vlm.core.engines.qwen.int8 import side_by_side as int8_side_by_side
from stillwing_vlm.core.engines.qwen.wide_linear import WideLinear, wide_product
from stillwing_vlm.core.engines.tensors.rotary import CosSin, rotate

Attend = Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor]
"""Per layer: un-rotated queries and keys one after the other `[heads + kv_heads, tokens, head_dim]`, and values; the
attention output `[heads, tokens, head_dim]`. Turning them is its matter, as is where keys and values go.
"""


@dataclass(frozen=True, slots=True)
class Between:
    """What stands between a layer's products. `add_norm(hidden, added, norm)` gives their sum and the norm of that;
    `gated` the activated first half of each row times its second.
    """

    add_norm: Callable[[torch.Tensor, torch.Tensor, Any], tuple[torch.Tensor, torch.Tensor]]
    gated: Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class TokenEmbeddings:
    """`hidden` `[tokens, hidden]`, and what is added to the tokens at `places` after each of the first layers."""

    hidden: torch.Tensor
    places: torch.Tensor | None = None
    deep: tuple[torch.Tensor, ...] = ()


class LanguageLayers:
    """Token ids to hidden states to logits."""

    def __init__(self, model: Any, family: Family, *, kernels: bool = False) -> None:
        """`model`: the family's architecture in evaluation mode, on its device. Weights that always work on the same
        input are laid side by side in memory, where its modules go on seeing them. `kernels`: Triton's do what stands
        between products.
        """
        text, config = model.model.language_model, model.config.text_config
        self.heads: int = config.num_attention_heads
        self.kv_heads: int = config.num_key_value_heads
        self.head_dim: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._norms = family.query_key_norms
        self._embedding = text.embed_tokens
        self.device: torch.device = self._embedding.weight.device
        self.dtype: torch.dtype = self._embedding.weight.dtype
        self._layers = list(text.layers)
        self._final_norm = text.norm
        self._head = model.lm_head
        plain = getattr(config, "hidden_act", None) == "silu"
        self.between = fused_between() if kernels and plain else Between(_add_norm, self._gated)
        joined = [(layer.self_attn, layer.mlp) for layer in self._layers]
        self._projections = [_side_by_side(attn.q_proj, attn.k_proj, attn.v_proj) for attn, _ in joined]
        self._outputs = [_side_by_side(attn.o_proj) for attn, _ in joined]
        self._gates = [_side_by_side(mlp.gate_proj, mlp.up_proj) for _, mlp in joined]
        self._ends = [_side_by_side(mlp.down_proj) for _, mlp in joined]

    @property
    def count(self) -> int:
        """How many layers there are."""
        return len(self._layers)

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        """`[tokens, hidden]` of int64[tokens]."""
        found: torch.Tensor = self._embedding(token_ids)
        return found

    def turned(self, raw: torch.Tensor, cos_sin: CosSin) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries and keys of one layer, turned."""
        # Together: fewer, larger operations.
        turned = rotate(raw, cos_sin).to(self.dtype)
        return turned[: self.heads], turned[self.heads :]

    def walk(self, embedding: TokenEmbeddings, attend: Attend, *, needs_output: bool = True) -> torch.Tensor:
        """Hidden states after the last layer and its norm; without `needs_output` the end of the last layer is left
        out, as only keys and values matter then.
        """
        hidden = embedding.hidden
        tokens = hidden.shape[0]
        normed = _norm(self._layers[0].input_layernorm, hidden)
        for index, layer in enumerate(self._layers):
            out = attend(index, *self._projected(index, normed))
            if index == len(self._layers) - 1 and not needs_output:
                break
            added = self._outputs[index](out.transpose(0, 1).reshape(tokens, -1))
            hidden, normed = self.between.add_norm(hidden, added, layer.post_attention_layernorm)
            added = self._ends[index](self.between.gated(self._gates[index](normed)))
            behind = self._layers[index + 1].input_layernorm if index + 1 < len(self._layers) else self._final_norm
            if index < len(embedding.deep):
                hidden = hidden + added
                hidden[embedding.places] += embedding.deep[index]
                normed = _norm(behind, hidden)
            else:
                hidden, normed = self.between.add_norm(hidden, added, behind)
        return normed

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """float32[tokens, vocabulary] of what `walk` gave."""
        found: torch.Tensor = self._head(hidden).float()
        return found

    def _gated(self, flat: torch.Tensor) -> torch.Tensor:
        gate, up = flat.chunk(2, dim=-1)
        found: torch.Tensor = self._layers[0].mlp.act_fn(gate) * up
        return found

    def _projected(self, index: int, normed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries and keys together `[heads + kv_heads, tokens, head_dim]`, and values."""
        flat = self._projections[index](normed)
        by_head = flat.view(flat.shape[0], -1, self.head_dim).transpose(0, 1)
        raw, values = by_head[: self.heads + self.kv_heads], by_head[self.heads + self.kv_heads :]
        if self._norms:
            attn = self._layers[index].self_attn
            raw = torch.cat((_norm(attn.q_norm, raw[: self.heads]), _norm(attn.k_norm, raw[self.heads :])))
        return raw, values


def _add_norm(hidden: torch.Tensor, added: torch.Tensor, module: Any) -> tuple[torch.Tensor, torch.Tensor]:
    total = hidden + added
    return total, _norm(module, total)


def fused_between() -> Between:
    """The same by the kernels, for models whose gate is SiLU."""
    from stillwing_vlm.core.engines.kernels import fused

    def add_norm(hidden: torch.Tensor, added: torch.Tensor, module: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return fused.add_norm(hidden, added, module.weight, module.variance_epsilon)

    return Between(add_norm, fused.gated)


def _side_by_side(*modules: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """The product with linear modules as with one. They keep their parameters, as views of its.

    On the CPU, weights of float32 lie input by input: with one row they are multiplied a quarter faster (measured).
    """
    if isinstance(modules[0], Int8Linear):
        return int8_side_by_side(modules)
    sizes = [module.weight.shape[0] for module in modules]
    weight = torch.cat([module.weight.data for module in modules])
    if weight.device.type == "cpu" and weight.dtype == torch.float32:
        weight = weight.t().contiguous().t()
    for module, part in zip(modules, torch.split(weight, sizes), strict=True):
        module.weight.data = part
    bias = None
    if modules[0].bias is not None:
        bias = torch.cat([module.bias.data for module in modules])
        for module, part in zip(modules, torch.split(bias, sizes), strict=True):
            module.bias.data = part
    product = wide_product if isinstance(modules[0], WideLinear) else F.linear
    return lambda given: product(given, weight, bias)


def _norm(module: Any, hidden: torch.Tensor) -> torch.Tensor:
    """The module's root-mean-square norm in one operation instead of five."""
    return F.rms_norm(hidden, hidden.shape[-1:], module.weight, module.variance_epsilon)
