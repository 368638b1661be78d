"""python tests/support/compile_kernels.py 90

Compiles the engine's kernels at the sizes of a 3B model for a compute capability, on a machine without a card, and
prints one JSON object for each: its name, its shared memory and the most there is, and the bytes its registers spill to
the stack.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from stillwing_vlm.core.engines.kernels import append as append_kernels
from stillwing_vlm.core.engines.kernels import decode as decode_kernels
from stillwing_vlm.core.engines.kernels.append import Segment, append, attend, tile_within
from stillwing_vlm.core.engines.kernels.cache import move, place
from stillwing_vlm.core.engines.kernels.decode import decode, plan_decode
from stillwing_vlm.core.engines.kernels.fused import add_norm, gated
from stillwing_vlm.core.engines.kernels.int8_linear import linear
from stillwing_vlm.core.engines.kernels.tables import DecodeWorkspace, SegmentTable
from stillwing_vlm.core.engines.kernels.writing import turn_and_write, turn_into, write
from stillwing_vlm.core.engines.tensors.scaled import Scaled

HEADS, KV_HEADS, HEAD_DIM, DTYPE = 16, 2, 128, torch.bfloat16
SHARED_KIB = {80: 163, 86: 99, 89: 99, 90: 227}
"""What a block may have, by compute capability."""
CPU = torch.device("cpu")


class NoCard:
    """A driver that knows what to compile for and nothing else."""

    def __init__(self, capability: int) -> None:
        self._target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self._target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int | None = None) -> int:
        return 0


def main() -> None:
    capability = int(sys.argv[1])
    driver.set_active(NoCard(capability))
    launch: Any = JITFunction.run
    seen: set[str] = set()

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        found = launch(self, *args, grid=grid, warmup=True, **kwargs)
        if found.hash not in seen:
            seen.add(found.hash)
            told = {"shared": found.metadata.shared, "most_shared": SHARED_KIB[capability] << 10, "stack": stack(found)}
            print(json.dumps({"kernel": self.fn.__name__, **told}))
        return found

    JITFunction.run = compile_only
    launch_all(capability)


def stack(compiled: Any) -> int:
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    return max(int(size) for size in re.findall(r"STACK:(\d+)", usage.stdout))


def launch_all(capability: int) -> None:
    slab = torch.empty(2, 3, KV_HEADS, 1000, HEAD_DIM, dtype=DTYPE)
    append_kernels.tile_for = lambda _, *what, **how: tile_within(SHARED_KIB[capability] << 10, *what, **how)
    for kernels in (append_kernels, decode_kernels):
        kernels.reads_codes = lambda _: capability >= 89
    joined = torch.empty(400, HEADS + 2 * KV_HEADS, HEAD_DIM, dtype=DTYPE).transpose(0, 1)
    queries, keys, values = joined.split([HEADS, KV_HEADS, KV_HEADS])
    append(queries, *slab[:, 1], torch.zeros(2, dtype=torch.int32))
    append(queries[:, :1], *slab[:, 1, :, 7:8])
    attend(queries, [Segment(*slab[:, 1, :, :700]), Segment(*slab[:, 1, :, 700:])], log_sum=torch.empty(HEADS, 400))
    cos_sin = (torch.empty(400, HEAD_DIM // 2), torch.empty(400, HEAD_DIM // 2))
    turn_into(queries, keys, values, cos_sin, torch.empty_like(queries), *slab[:, 1, :, 5:405])
    place(*torch.empty(2, 3, KV_HEADS, 400, HEAD_DIM, dtype=DTYPE), cos_sin, *slab[:, :, :, 3:403])
    move(*slab, 200, 1, 700)
    move(*slab, 0, 200, 700, (cos_sin[0][:1], cos_sin[1][:1]))
    hidden = torch.empty(400, 2048, dtype=DTYPE)
    add_norm(hidden, hidden, hidden[0], 1e-6)
    gated(torch.empty(400, 2 * 11008, dtype=DTYPE))
    for rows, width in ((1, 1), (8, 1), (1, 32)):
        table = SegmentTable.empty(rows, 3, DTYPE, CPU)
        work = DecodeWorkspace.empty(table, HEADS, KV_HEADS, HEAD_DIM, width=width, splits=66)
        plan_decode(table, work)
        fed = joined[:, : rows * width].split([HEADS, KV_HEADS, KV_HEADS])
        turn_and_write(*fed, cos_sin, torch.empty_like(fed[0]), table, 1)
        write(*fed[1:], table, 1)
        decode(fed[0], table, 1, torch.empty_like(fed[0]), work)
        table = SegmentTable.empty(rows, 3, DTYPE, CPU, scaled=True)
        turn_and_write(*fed, cos_sin, torch.empty_like(fed[0]), table, 1)
        decode(fed[0], table, 1, torch.empty_like(fed[0]), work)
    codes = [Scaled.empty((3, KV_HEADS, 1000, HEAD_DIM), CPU) for _ in range(2)]
    layer = [part[1] for part in codes]
    append(queries, *layer, torch.zeros(2, dtype=torch.int32))
    attend(queries, [Segment(*layer), Segment(*slab[:, 1, :, 700:])])
    place(keys.expand(3, -1, -1, -1), codes[0][:, :, :400], cos_sin, *(part[:, :, 3:403] for part in codes))
    move(*codes, 200, 1, 700)
    for count, outputs in ((1, 2048), (8, 22016), (400, 2560), (400, 22016)):
        weights = torch.empty(outputs, 2048, dtype=torch.int8)
        linear(hidden[:count], weights, torch.empty(outputs), torch.empty(outputs, dtype=DTYPE))


if __name__ == "__main__":
    main()
