"""A session's cache as a safetensors file with a description and a checksum.

Everything in a file is checked against what the description promises before any of it is read into memory: a file may
be cut short, damaged or made up. Knows nothing of what the description says.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from stillwing_common.errors import ExportUnusable
from stillwing_vlm.core.backend import CacheSizes
from stillwing_vlm.core.engines.cache.slab import CacheCopy, SlabShape
from stillwing_vlm.core.engines.tensors.scaled import Cached, Scaled, stored

_FORMAT = "stillwing-session"
_MOST_HEADER_BYTES = 1 << 24
_DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
_ARRAY_DTYPES: dict[type[Any], str] = {np.uint8: "U8", np.int64: "I64"}
_WIDTHS = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "U8": 1, "I64": 8}
"""Bytes of an entry."""


def write(path: Path, copy: CacheCopy, description: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a file, over what is there. Raises OSError."""
    tensors = _tensors(copy) | {name: torch.from_numpy(np.ascontiguousarray(each)) for name, each in arrays.items()}
    metadata = {"format": _FORMAT, "description": description, "sha256": _digest(description, tensors)}
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def read(
    path: Path, shape: SlabShape, sizes: Callable[[str], CacheSizes]
) -> tuple[str, CacheCopy, dict[str, npt.NDArray[Any]]]:
    """Description, cache and arrays. `sizes` checks the description and says what it promises.

    Raises ExportUnusable, what `sizes` raises, OSError.
    """
    header, length = _header(path)
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT:
        raise ExportUnusable("it is no export of a session")
    description = metadata.get("description")
    if not isinstance(description, str):
        raise ExportUnusable("it has no description")
    promised = sizes(description)
    _check_tensors(header, length, shape, promised)
    try:
        tensors = load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ExportUnusable(f"it is damaged: {error}") from error
    if _digest(description, tensors) != metadata.get("sha256"):
        raise ExportUnusable("it is damaged: its checksum is another")
    positions = tensors["kept_positions"].numpy()
    keys, values = (_cached(tensors, name, shape) for name in ("keys", "values"))
    kept_keys = tensors["kept_keys"].to(shape.device)
    arrays = {name: tensors[name].numpy() for name in promised.arrays}
    return description, CacheCopy(keys, values, kept_keys, positions), arrays


def _cached(tensors: dict[str, torch.Tensor], name: str, shape: SlabShape) -> Cached:
    if not shape.scaled:
        return tensors[name].to(shape.device)
    return Scaled(tensors[name], tensors[f"{name}_scales"]).to(shape.device)


def _tensors(copy: CacheCopy) -> dict[str, torch.Tensor]:
    positions = torch.from_numpy(np.ascontiguousarray(copy.kept_positions))
    found = {"kept_keys": copy.kept_keys, "kept_positions": positions}
    for name, part in (("keys", copy.keys), ("values", copy.values)):
        found |= dict(zip((name, f"{name}_scales"), stored(part), strict=False))
    return {name: tensor.cpu().contiguous() for name, tensor in found.items()}


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and how many bytes of tensors follow it."""
    total = path.stat().st_size
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if total < 8 or size > min(_MOST_HEADER_BYTES, total - 8):
            raise ExportUnusable("it is cut short or no export of a session")
        raw = file.read(size)
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ExportUnusable("its header cannot be read") from error
    if not isinstance(header, dict):
        raise ExportUnusable("its header cannot be read")
    return header, total - 8 - size


def _check_tensors(header: dict[str, Any], length: int, shape: SlabShape, sizes: CacheSizes) -> None:
    tokens, kept_tokens, lanes = sizes.tokens, sizes.kept_tokens, [shape.layers, shape.kv_heads]
    kind = "F8_E4M3" if shape.scaled else _DTYPES[shape.dtype]
    wanted: dict[str, tuple[str, list[int]]] = {
        "kept_keys": (_DTYPES[shape.dtype], [*lanes, kept_tokens, shape.head_dim]),
        "kept_positions": ("I64", [3, kept_tokens]),
    } | {name: (_ARRAY_DTYPES[dtype], list(each)) for name, (dtype, each) in sizes.arrays.items()}
    for name in ("keys", "values"):
        wanted[name] = (kind, [*lanes, tokens, shape.head_dim])
        if shape.scaled:
            wanted[f"{name}_scales"] = ("F32", [*lanes, tokens])
    found = {
        name: (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else None
        for name, entry in header.items()
    }
    if found != wanted:
        raise ExportUnusable("its tensors are not those that its description promises")
    promised = sum(_WIDTHS[kind] * math.prod(each) for kind, each in wanted.values())
    if promised != length:
        raise ExportUnusable(f"it is cut short or damaged: {length} bytes of tensors, {promised} promised")


def _digest(description: str, tensors: dict[str, torch.Tensor]) -> str:
    found = hashlib.sha256(description.encode())
    for name in sorted(tensors):
        found.update(name.encode())
        content: Any = tensors[name].flatten().view(torch.uint8).numpy()
        found.update(content)
    return found.hexdigest()
