"""A Qwen-VL of a few ten thousand random parameters, written as a Hugging Face directory: for tests and benchmarks.

It has everything the real one of its family has (grouped key heads, three rotary axes, windowed and full vision layers
or learned places and deepstack, tied embeddings, a byte-level tokenizer with Qwen's control tokens), and weights large
enough that its attention is far from uniform: with the usual small initialisation every mistake in a cache would pass
unseen.
"""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from stillwing_training.pilot.config import SPECIAL_TOKENS
from stillwing_vlm.core.engines.qwen.families import FAMILIES

_CORPUS = (
    "system user assistant\n You fly a drone. Answer with one tool call.",
    "Next action? Which way? forward left right stop",
    '{"name":"move","arguments":{"direction":"forward","distance_m":1}}',
    '{"name":"turn","arguments":{"direction":"left","angle_deg":15}}',
    '{"name":"final_answer","arguments":{"answer":"reached"}}',
)


def tiny_tokenizer(vocab_size: int = 400) -> Tokenizer:
    """Byte-level BPE with Qwen's control tokens; any text encodes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return tokenizer


def tiny_config(tokenizer: Tokenizer, family: str = "qwen2_5_vl", **text: Any) -> Any:
    """Configuration that fits `tokenizer`; `text` replaces fields of the language model's."""
    ids = tokenizer.get_vocab()
    text_config = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": tokenizer.get_vocab_size() + 8,
        "max_position_embeddings": 32768,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "tie_word_embeddings": True,
        "initializer_range": 0.3,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4},
        **text,
    }
    if family == "qwen3_vl":
        # A head size of its own, and more planes for time than for either side, as in the published ones.
        text_config |= {"head_dim": 24}
        text_config["rope_parameters"] = {"rope_type": "default", "mrope_section": [6, 3, 3], "rope_theta": 1e4}
    return FAMILIES[family].config(
        text_config=text_config,
        vision_config=_tiny_vision(family, int(text_config["hidden_size"])),
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def _tiny_vision(family: str, hidden_size: int) -> dict[str, Any]:
    shared = {
        "num_heads": 2,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "initializer_range": 0.2,
    }
    if family == "qwen2_vl":
        return {**shared, "depth": 2, "embed_dim": 32, "hidden_size": hidden_size, "mlp_ratio": 2}
    inner = {**shared, "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": hidden_size}
    if family == "qwen3_vl":
        return {
            **inner, "depth": 3, "patch_size": 16, "num_position_embeddings": 36, "deepstack_visual_indexes": [0, 1]
        }  # fmt: skip
    return {**inner, "depth": 2, "window_size": 56, "fullatt_block_indexes": [1], "tokens_per_second": 2}


def write_tiny_model(
    directory: Path, seed: int = 0, family: str = "qwen2_5_vl", *, frame_tokens: int = 20, **text: Any
) -> Path:
    """Write weights, configuration, tokenizer and image figures to `directory`; returns it.

    `frame_tokens`: most vision tokens of one frame; larger frames are resized.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny_tokenizer()
    config = tiny_config(tokenizer, family, **text)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = FAMILIES[family].architecture(config)
        _far_from_one(model)
    model.save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    patch_px = config.vision_config.patch_size
    figures = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "min_pixels": (2 * patch_px) ** 2 * 4,
        "max_pixels": (2 * patch_px) ** 2 * frame_tokens,
        "patch_size": patch_px,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    (directory / "preprocessor_config.json").write_text(json.dumps(figures, indent=2))
    return directory


def _far_from_one(model: Any) -> None:
    """Give norms of queries and keys weights that matter: at their start of 1 a forgotten one would change little."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("q_norm.weight", "k_norm.weight")):
                weight.uniform_(0.5, 2.5)


def write_middle_model(directory: Path) -> Path:
    """A model between toy and real, for measurements: 8 layers, 8 query and 4 key heads of 64, frames of 100 tokens.

    Its 30 million weights are random, so its answers mean nothing. What is there already is left as it is.
    """
    if (directory / "preprocessor_config.json").is_file():
        return directory
    return write_tiny_model(
        directory,
        frame_tokens=108,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=131_072,
        initializer_range=0.05,
        rope_parameters={"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 1e6},
    )
