"""From the kernels' instructions to functions in this process: one second at the most, once for each size and type.

It knows nothing of tensors.
"""

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from stillwing_vlm.core.engines.attention.cpu_kernels.emit import Machine
from stillwing_vlm.core.engines.attention.cpu_kernels.narrow import define_narrow
from stillwing_vlm.core.engines.attention.cpu_kernels.tiles import NAMES, Form, Tiles
from stillwing_vlm.core.engines.attention.cpu_kernels.wide import define_wide


class Record(ctypes.Structure):
    """What a kernel is told, see `tiles.Told`."""

    _fields_ = [(name, ctypes.c_double if name == "scale" else ctypes.c_int64) for name in NAMES]


@dataclass(frozen=True, slots=True)
class Compiled:
    """The kernels of one form. Their calls give the interpreter's lock back while they run."""

    form: Form
    wide: Callable[[int], None]
    """From a record's address."""
    narrow: Callable[[int], None]
    _keeps: Any
    """What owns their code."""

    def lanes_for(self, rows: int) -> tuple[Callable[[int], None], int]:
        """What attends so many queries of one head, and how many of them make a group."""
        if rows <= self.form.most_narrow:
            return self.narrow, 1
        return self.wide, self.form.side_by_side.machine.lanes


@functools.cache
def compiled(head_dim: int, *, bfloat16: bool, without: tuple[str, ...] = ()) -> Compiled:
    """For this processor, which has AVX2 and FMA at least. `without`: what the names of its features that are not to be
    used begin with, as LLVM has them. Raises RuntimeError where LLVM cannot.
    """
    features = llvm.get_host_cpu_features()
    features.update({name: False for name in features if name.startswith(without)})
    form = Form(Machine.of(features), head_dim, bfloat16)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = ir.Module("stillwing")
    module.triple = llvm.get_process_triple()
    tiles = Tiles(module, form)
    define_wide(module, form, tiles)
    define_narrow(module, form, tiles)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    machine = llvm.Target.from_triple(module.triple).create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=3
    )
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    wide, narrow = (kind(engine.get_function_address(name)) for name in ("wide", "narrow"))
    return Compiled(form, wide, narrow, engine)
