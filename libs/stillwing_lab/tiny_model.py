"""A Qwen2.5-VL of a few ten thousand random parameters, written as a Hugging Face directory: for tests and benchmarks.

It has everything the real one has (grouped key heads, three rotary axes, windowed and full vision layers, tied
embeddings, a byte-level tokenizer with Qwen's control tokens), and weights large enough that its attention is far from
uniform: with the usual small initialisation every mistake in a cache would pass unseen.
"""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

CONTROL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
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
        special_tokens=list(CONTROL_TOKENS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return tokenizer


def tiny_config(tokenizer: Tokenizer, **text: Any) -> Qwen2_5_VLConfig:
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
    hidden_size: Any = text_config["hidden_size"]
    vision_config = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "out_hidden_size": hidden_size,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 56,
        "fullatt_block_indexes": [1],
        "tokens_per_second": 2,
        "initializer_range": 0.2,
    }
    return Qwen2_5_VLConfig(
        text_config=text_config,
        vision_config=vision_config,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def write_tiny_model(directory: Path, seed: int = 0, **text: Any) -> Path:
    """Write weights, configuration, tokenizer and image figures to `directory`; returns it."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny_tokenizer()
    architecture: Any = Qwen2_5_VLForConditionalGeneration
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = architecture(tiny_config(tokenizer, **text))
    model.save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    figures = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "min_pixels": 28 * 28 * 4,
        "max_pixels": 28 * 28 * 20,
        "patch_size": 14,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    (directory / "preprocessor_config.json").write_text(json.dumps(figures, indent=2))
    return directory
