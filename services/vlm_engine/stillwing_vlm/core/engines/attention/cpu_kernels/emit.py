"""Building blocks of the CPU kernels: what LLVM's instructions look like from Python.

Everything here runs when a kernel is compiled; what it leaves are instructions. It knows nothing of attention.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

I16, I32, I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
F32, F64 = ir.FloatType(), ir.DoubleType()
POINTER = ir.PointerType()
Value = Any

# 2**x for x between -1/2 and 1/2, highest power first: the coefficients of Cephes' exp2f (S. Moshier).
_EXP2 = (
    1.535336188319500e-4, 1.339887440266574e-3, 9.618437357674640e-3, 5.550332471162809e-2, 2.402264791363012e-1,
    6.931472028550421e-1, 1.0,
)  # fmt: skip
_LEAST_EXPONENT = -126.0
"""Below it 2**x is no normal number; zero is written instead."""


class BFloat(ir.FloatType):  # type: ignore[misc]
    """LLVM's `bfloat`, which llvmlite has no name for."""

    def __str__(self) -> str:
        return "bfloat"


BFloat._create_instance()


@dataclass(frozen=True, slots=True)
class Machine:
    """What the kernels are laid out for."""

    lanes: int
    """float32 numbers in one register."""
    registers: int
    """Registers that one row of a product's block takes."""
    block: int
    """Rows of a product's block. With `registers` it makes eight sums: one takes four cycles, two begin in a cycle."""
    dots_bfloat16: bool
    """Whether pairs of bfloat16 are multiplied and added to float32 in one instruction."""

    @classmethod
    def of(cls, features: dict[str, bool]) -> "Machine":
        """For a processor with these features, by LLVM's names: AVX2 and FMA at least."""
        if all(features.get(each) for each in ("avx512f", "avx512bw", "avx512vl", "avx512dq")):
            return cls(lanes=16, registers=1, block=8, dots_bfloat16=bool(features.get("avx512bf16")))
        # With 16 registers there is no room for eight rows beside what they are multiplied with.
        return cls(lanes=8, registers=2, block=4, dots_bfloat16=False)


class Emitter:
    """Writes one function, instruction by instruction."""

    def __init__(
        self, module: ir.Module, machine: Machine, name: str, arguments: Sequence[Any], *, public: bool
    ) -> None:
        self.machine = machine
        self.floats = ir.VectorType(F32, machine.lanes)
        self.ints = ir.VectorType(I32, machine.lanes)
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
        if not public:
            self.function.linkage = "internal"
            self.function.attributes.add("noinline")
        self.b = ir.IRBuilder(self.function.append_basic_block())
        self._module = module

    # Numbers

    def i64(self, value: int) -> Value:
        """A constant index."""
        return ir.Constant(I64, value)

    def floats_of(self, value: float) -> Value:
        """A constant in every lane."""
        return ir.Constant(self.floats, [value] * self.machine.lanes)

    def ints_of(self, value: int) -> Value:
        """A constant in every lane."""
        return ir.Constant(self.ints, [value] * self.machine.lanes)

    def sum(self, *parts: Value) -> Value:
        """Of indices."""
        total = parts[0]
        for part in parts[1:]:
            total = self.b.add(total, self._index(part))
        return total

    def times(self, value: Value, factor: Any) -> Value:
        """Of indices."""
        return self.b.mul(value, self._index(factor))

    # Memory

    def at(self, pointer: Value, index: Value, kind: Any = F32) -> Value:
        """Address of the element `index` of `kind`."""
        return self.b.gep(pointer, [self._index(index)], source_etype=kind)

    def _index(self, value: Any) -> Value:
        return self.i64(value) if isinstance(value, int) else value

    def register(self, pointer: Value, number: Value) -> Value:
        """Address of the register-sized part `number` of float32 or int32."""
        return self.at(pointer, self.times(number, self.machine.lanes))

    def fetch(self, pointer: Value) -> None:
        """Have the processor bring it nearer, and go on."""
        kind = ir.FunctionType(ir.VoidType(), [POINTER, I32, I32, I32])
        to_read, to_second_cache, data = (ir.Constant(I32, each) for each in (0, 2, 1))
        self.b.call(
            self._module.declare_intrinsic("llvm.prefetch.p0", (), kind), [pointer, to_read, to_second_cache, data]
        )

    def load(self, pointer: Value, kind: Any, align: int = 4) -> Value:
        """What lies there."""
        return self.b.load(pointer, typ=kind, align=align)

    def store(self, value: Value, pointer: Value, align: int = 4) -> None:
        """Put it there."""
        self.b.store(value, pointer, align=align)

    def spread(self, value: Value, kind: Any) -> Value:
        """The scalar in every lane of `kind`."""
        first = self.b.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count)
        return self.b.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)

    # Control

    def loop(
        self,
        start: Value,
        stop: Value,
        step: int,
        carried: Sequence[Value],
        body: Callable[..., Sequence[Value] | None],
    ) -> list[Value]:
        """`body(index, *carried)` gives what is carried on; from `start` while below `stop`. The last of it."""
        b = self.b
        before = b.block
        head, inside, behind = (self.function.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(I64)
        index.add_incoming(start, before)
        held = []
        for value in carried:
            phi = b.phi(value.type)
            phi.add_incoming(value, before)
            held.append(phi)
        b.cbranch(b.icmp_signed("<", index, stop), inside, behind)
        b.position_at_end(inside)
        found = body(index, *held) or []
        following = b.add(index, self.i64(step))
        index.add_incoming(following, b.block)
        for phi, value in zip(held, found, strict=True):
            phi.add_incoming(value, b.block)
        b.branch(head)
        b.position_at_end(behind)
        return held

    # Arithmetic

    def call(self, name: str, result: Any, *values: Value) -> Value:
        """One of LLVM's own functions."""
        kind = ir.FunctionType(result, [value.type for value in values])
        return self.b.call(self._module.declare_intrinsic(name, (), kind), values)

    def _suffix(self) -> str:
        return f"v{self.machine.lanes}f32"

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once."""
        return self.call(f"llvm.fma.{self._suffix()}", self.floats, a, b, c)

    def greater(self, a: Value, b: Value) -> Value:
        """The greater of both, lane by lane."""
        return self.b.select(self.b.fcmp_ordered(">", a, b), a, b)

    def exp2(self, x: Value) -> Value:
        """2**x to 2e-7 of itself; 0 below 2**-126. For x up to 127."""
        b = self.b
        low = self.floats_of(_LEAST_EXPONENT)
        clipped = self.greater(x, low)
        whole = self.call(f"llvm.rint.{self._suffix()}", self.floats, clipped)
        rest = b.fsub(clipped, whole)
        found = self.floats_of(_EXP2[0])
        for coefficient in _EXP2[1:]:
            found = self.fma(found, rest, self.floats_of(coefficient))
        exponent = b.shl(b.fptosi(whole, self.ints), self.ints_of(23))
        scaled = b.bitcast(b.add(b.bitcast(found, self.ints), exponent), self.floats)
        return b.select(b.fcmp_ordered("<", x, low), self.floats_of(0.0), scaled)

    def across(self, what: str, vector: Value) -> Value:
        """One number of all lanes: their greatest ("fmax") or their sum ("fadd")."""
        values = [vector] if what == "fmax" else [ir.Constant(F32, 0.0), vector]
        flags = () if what == "fmax" else ("reassoc",)
        kind = ir.FunctionType(F32, [value.type for value in values])
        function = self._module.declare_intrinsic(f"llvm.vector.reduce.{what}.{self._suffix()}", (), kind)
        return self.b.call(function, values, fastmath=flags)

    def sums_across(self, vector: Callable[[int], Value]) -> Value:
        """In lane n the sum over all lanes of `vector(n)`."""

        def pairwise(first: int, step: int) -> Value:
            """Lanes that are `first` modulo `step` hold what is summed; made so that few vectors are held at once."""
            if step == lanes:
                return vector(first)
            low, high = pairwise(first, 2 * step), pairwise(first + step, 2 * step)
            picks = []
            for half in (0, 1):
                # Lane n belongs to `low` where n / step is even, and takes over what it will not be asked for again.
                pick = [n ^ (0 if half == 0 else step) for n in range(lanes)]
                picks.append([p if (n // step) % 2 == 0 else lanes + p for n, p in enumerate(pick)])
            undefined = ir.VectorType(I32, lanes)
            return self.b.fadd(*(self.b.shuffle_vector(low, high, ir.Constant(undefined, p)) for p in picks))

        lanes = self.machine.lanes
        return pairwise(0, 1)

    def dot_pairs(self, a: Value, b: Value, total: Value) -> Value:
        """`total` and, lane by lane, the products of the two bfloat16 that the lanes of `a` and `b` (int32) hold."""
        pairs = ir.VectorType(BFloat(), 2 * self.machine.lanes)
        parts = (self.b.bitcast(a, pairs), self.b.bitcast(b, pairs))
        return self.call("llvm.x86.avx512bf16.dpbf16ps.512", self.floats, total, *parts)

    def rounded(self, value: Value) -> Value:
        """float32 as bfloat16, by its bits in int16 lanes."""
        narrow = self.b.fptrunc(value, ir.VectorType(BFloat(), self.machine.lanes))
        return self.b.bitcast(narrow, ir.VectorType(I16, self.machine.lanes))

    def pair_rounded(self, even: Value, odd: Value) -> Value:
        """Two vectors of float32 as int32 lanes that each hold both in bfloat16."""
        low, high = (self.b.zext(self.rounded(value), self.ints) for value in (even, odd))
        return self.b.or_(low, self.b.shl(high, self.ints_of(16)))

    def widened(self, bits: Value) -> Value:
        """float32 of bfloat16 given as int16 lanes: exact."""
        return self.b.bitcast(self.b.shl(self.b.zext(bits, self.ints), self.ints_of(16)), self.floats)
