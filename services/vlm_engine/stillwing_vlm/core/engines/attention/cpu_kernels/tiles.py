"""How a kernel walks over keys and values: in tiles that stay in the processor's caches, brought into the form its
products want where they do not have it already.

It knows nothing of queries.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from llvmlite import ir

from stillwing_vlm.core.engines.attention.cpu_kernels.emit import (
    F32,
    F64,
    I16,
    I32,
    I64,
    POINTER,
    Emitter,
    Machine,
    Value,
)

_LINE_BYTES = 64
"""What memory gives at once."""


@dataclass(frozen=True, slots=True)
class Form:
    """A kernel's sizes and types."""

    machine: Machine
    head_dim: int
    """A multiple of 16."""
    bfloat16: bool
    """Type of keys and values; otherwise float32."""
    tile: int = 256
    """Keys of a tile, a multiple of 16: its keys, values and scores are in the second cache together."""

    @property
    def side_by_side(self) -> "Form":
        """The same with the registers of one row taken as one wide register, which LLVM takes apart again."""
        machine = self.machine
        return replace(self, machine=replace(machine, lanes=machine.lanes * machine.registers, registers=1))

    @property
    def dots(self) -> bool:
        """Whether products take pairs of bfloat16; otherwise they take float32."""
        return self.bfloat16 and self.machine.dots_bfloat16 and self.head_dim % 32 == 0

    @property
    def element(self) -> Any:
        """Type of a cached number, bfloat16 as its bits."""
        return I16 if self.bfloat16 else F32

    @property
    def element_bytes(self) -> int:
        """Its size."""
        return 2 if self.bfloat16 else 4

    @property
    def most_narrow(self) -> int:
        """Queries up to which it is cheaper to take each alone than to fill a register with them (measured)."""
        return self.machine.lanes // (4 if self.dots else 2)

    @property
    def tile_floats(self) -> int:
        """Room for a tile of keys and one of values."""
        return 2 * self.tile * self.head_dim

    @property
    def scratch_floats(self) -> int:
        """Room for those and a tile of scores."""
        return self.tile_floats + self.tile * self.machine.lanes * self.machine.registers


@dataclass(frozen=True, slots=True)
class Told:
    """What a kernel is told, in this order, each in 64 bits: addresses, counts, strides in elements, one number."""

    queries: Value
    limits: Value
    keys: Value
    values: Value
    state: Value
    scratch: Value
    heads: Value
    groups: Value
    count: Value
    behind: Value
    """How many keys the piece has behind those told of."""
    key_stride: Value
    value_stride: Value
    key_head_stride: Value
    value_head_stride: Value
    scale: Value

    @classmethod
    def read(cls, e: Emitter) -> "Told":
        """From the record that the function's only argument points to."""
        (record,) = e.function.args
        pointers = set(NAMES[: NAMES.index("heads")])
        kinds = [POINTER if name in pointers else F64 if name == "scale" else I64 for name in NAMES]
        values = [e.load(e.at(record, e.i64(at), I64), kind, 8) for at, kind in enumerate(kinds)]
        values[-1] = e.b.fptrunc(values[-1], F32)
        return cls(*values)


NAMES = tuple(field.name for field in fields(Told))


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile, ready for products."""

    left: Value
    """Keys told of from its first on."""
    behind: Value
    """Keys of the piece behind those."""
    count: Value
    """How many keys there are, rounded up; those beyond the piece are zeros."""
    keys: Value
    key_stride: Value
    values: Value
    """With `Form.dots` two rows interleaved."""
    value_stride: Value
    next_keys: Value
    """What is to come from memory next."""
    next_values: Value

    def seen(self, e: Emitter, hidden: Value) -> Value:
        """How many of the tile's keys are seen, int32, by whom so many (below zero) of the piece's last are hidden."""
        b = e.b
        left, behind = (b.trunc(value, I32) for value in (self.left, self.behind))
        if isinstance(hidden.type, ir.VectorType):
            left, behind = e.spread(left, hidden.type), e.spread(behind, hidden.type)
        beyond = b.add(hidden, behind)
        zero = ir.Constant(beyond.type, None)
        return b.add(left, b.select(b.icmp_signed("<", beyond, zero), beyond, zero))

    def arguments(self) -> list[Value]:
        """For a function that takes it apart again by `Tile(*…)`."""
        return [getattr(self, field.name) for field in fields(self)]


TILE_KINDS = (I64, I64, I64, POINTER, I64, POINTER, I64, POINTER, POINTER)


class Fetch:
    """Has the keys or the values of the next tile brought from memory little by little while this one is computed.

    A processor waits for nothing that it asked for early enough, but can ask only for so much at once.
    """

    def __init__(self, e: Emitter, form: Form, rows: Value, share: Value, shares: Value, steps: int) -> None:
        """`share` of `shares`: each fetches its part of `rows`, a tile, in so many even steps."""
        lines = form.tile * form.head_dim * form.element_bytes // _LINE_BYTES
        all_steps = e.times(shares, steps)
        self._e, self._rows = e, rows
        self._a_step = e.b.udiv(e.sum(all_steps, lines - 1), all_steps)
        self._first = e.times(e.times(share, steps), self._a_step)

    def step(self, index: Value, stride: int) -> None:
        """The step that a loop takes at `index`, which grows by `stride`."""
        e = self._e
        start = e.sum(self._first, e.times(e.b.udiv(index, e.i64(stride)), self._a_step))

        def line(number: Value) -> None:
            e.fetch(e.at(self._rows, e.times(number, _LINE_BYTES // 4)))

        e.loop(start, e.sum(start, self._a_step), 1, [], line)


def _define_copy(module: ir.Module, form: Form) -> ir.Function:
    """`copy(from, stride, count, upto, to)`: rows `[count, head_dim]` to where they lie close, zeros behind them up to
    `upto`; bfloat16 becomes float32 where products take that.
    """
    e = Emitter(module, form.machine, "copy", [POINTER, I64, I64, I64, POINTER], public=False)
    source, stride, count, upto, target = e.function.args
    lanes, widen = form.machine.lanes, form.bfloat16 and not form.dots
    kind = ir.VectorType(form.element, lanes)
    written = F32 if widen else form.element

    def copy(row: Value) -> None:
        for at in range(0, form.head_dim, lanes):
            found = e.load(e.at(source, e.sum(e.times(row, stride), at), form.element), kind, 2)
            place = e.at(target, e.sum(e.times(row, form.head_dim), at), written)
            e.store(e.widened(found) if widen else found, place, 2)

    def clear(row: Value) -> None:
        for at in range(0, form.head_dim, lanes):
            place = e.at(target, e.sum(e.times(row, form.head_dim), at), written)
            e.store(ir.Constant(ir.VectorType(written, lanes), None), place, 2)

    e.loop(e.i64(0), count, 1, [], copy)
    e.loop(count, upto, 1, [], clear)
    e.b.ret_void()
    return e.function


def _define_interleave(module: ir.Module, form: Form) -> ir.Function:
    """`interleave(from, stride, pairs, to)`: rows of bfloat16 two by two, as int32 `[pairs, head_dim]` that each hold
    a number of both.
    """
    e = Emitter(module, form.machine, "interleave", [POINTER, I64, I64, POINTER], public=False)
    source, stride, pairs, target = e.function.args
    lanes = form.machine.lanes
    kind = ir.VectorType(I16, lanes)

    def body(pair: Value) -> None:
        for at in range(0, form.head_dim, lanes):
            first = e.sum(e.times(pair, e.times(stride, 2)), at)
            even = e.b.zext(e.load(e.at(source, first, I16), kind, 2), e.ints)
            odd = e.b.zext(e.load(e.at(source, e.sum(first, stride), I16), kind, 2), e.ints)
            both = e.b.or_(even, e.b.shl(odd, e.ints_of(16)))
            e.store(both, e.at(target, e.sum(e.times(pair, form.head_dim), at), I32))

    e.loop(e.i64(0), pairs, 1, [], body)
    e.b.ret_void()
    return e.function


class Tiles:
    """The walk itself."""

    def __init__(self, module: ir.Module, form: Form) -> None:
        self._copy = _define_copy(module, form)
        self._interleave = _define_interleave(module, form) if form.dots else None

    def walk(self, e: Emitter, form: Form, told: Told, body: Callable[[Value, Tile], None]) -> None:
        """`body(head, tile)` for each head and each tile of its keys and values, rounded up to whole blocks of 16."""
        b = e.b
        own_keys, own_values = told.scratch, e.at(told.scratch, e.i64(form.tile * form.head_dim))

        def each_head(head: Value) -> None:
            keys = e.at(told.keys, e.times(head, told.key_head_stride), form.element)
            values = e.at(told.values, e.times(head, told.value_head_stride), form.element)

            def each_tile(first: Value) -> None:
                left = b.sub(told.count, first)
                whole = b.icmp_signed(">=", left, e.i64(form.tile))
                here = b.select(whole, e.i64(form.tile), left)
                rounded = b.and_(e.sum(here, 15), e.i64(-16))
                found_keys = e.at(keys, e.times(first, told.key_stride), form.element)
                found_values = e.at(values, e.times(first, told.value_stride), form.element)
                parts = []
                for found, stride, place in (
                    (found_keys, told.key_stride, own_keys), (found_values, told.value_stride, own_values),
                ):  # fmt: skip
                    parts += self._close(e, form, found, stride, here, rounded, whole, place)
                if self._interleave is not None:
                    # Both copies of a tile of bfloat16 fill but half of their room.
                    place = e.at(own_keys, e.i64(form.tile * form.head_dim // 2))
                    b.call(self._interleave, [*parts[2:], b.lshr(rounded, e.i64(1)), place])
                    parts[2:] = [place, e.i64(form.head_dim)]
                # Behind the last tile of a head comes the next head's first.
                more = b.icmp_signed(">", left, e.i64(form.tile))
                then = [
                    b.select(
                        more, e.at(found, e.times(stride, form.tile), form.element), e.at(start, step, form.element)
                    )
                    for found, stride, start, step in (
                        (found_keys, told.key_stride, keys, told.key_head_stride),
                        (found_values, told.value_stride, values, told.value_head_stride),
                    )
                ]
                body(head, Tile(left, told.behind, rounded, *parts, *then))

            e.loop(e.i64(0), told.count, form.tile, [], each_tile)

        e.loop(e.i64(0), told.heads, 1, [], each_head)

    def _close(
        self, e: Emitter, form: Form, found: Value, stride: Value, count: Value, rounded: Value, whole: Value,
        place: Value,
    ) -> list[Value]:  # fmt: skip
        """Rows and their stride: copied where it is no whole tile, or has to become float32."""
        b = e.b
        dim = e.i64(form.head_dim)
        if form.bfloat16 and not form.dots:
            b.call(self._copy, [found, stride, count, rounded, place])
            return [place, dim]
        with b.if_then(b.not_(whole), likely=False):
            b.call(self._copy, [found, stride, count, rounded, place])
        return [b.select(whole, found, place), b.select(whole, stride, dim)]
