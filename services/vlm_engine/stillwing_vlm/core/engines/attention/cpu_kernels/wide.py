"""Attention of many queries over one piece of cache: each lane of a register is a query.

Where a row of a product takes two registers they are written as one of twice the lanes.

Scores of a block of keys are sums over products of a key's number, spread over all lanes, with that number of each
query; so keys are read where they lie, nothing is transposed, and softmax knows no sums across lanes. It goes tile by
tile over the piece, with the greatest score so far, the sum of weights and the weighted values kept in memory
(Milakov and Gimelshein 2018, "Online normalizer calculation for softmax"), so that several pieces are one softmax. All
sums are float32, and what a query gets does not depend on the queries beside it.

It knows nothing of heads, layers or branches.
"""

from collections.abc import Sequence

from llvmlite import ir

from stillwing_vlm.core.engines.attention.cpu_kernels.emit import F32, I32, I64, POINTER, Emitter, Value
from stillwing_vlm.core.engines.attention.cpu_kernels.tiles import TILE_KINDS, Fetch, Form, Tile, Tiles, Told


def define_wide(module: ir.Module, form: Form, tiles: Tiles) -> None:
    """`wide(told)`; a group is one register of queries.

    Queries float32 `[heads, groups, head_dim, lanes]`, with `Form.dots` bfloat16 `[heads, groups, head_dim / 2, lanes,
    2]`. Scores times `scale` are exponents of 2. `limits` int32 `[groups, lanes]`: how many keys of
    the piece each sees, less all that there are.
    What is kept: `[heads, groups, head_dim + 2, lanes]`, of each group sums, greatest scores and sums of weights.
    """
    form = form.side_by_side
    block = _define_block(module, form)
    e = Emitter(module, form.machine, "wide", [POINTER], public=True)
    told = Told.read(e)
    scores = e.at(told.scratch, e.i64(form.tile_floats))

    def each_tile(head: Value, tile: Tile) -> None:
        def each_group(group: Value) -> None:
            register = e.sum(e.times(head, told.groups), group)
            query = e.register(told.queries, e.times(register, form.head_dim // 2 if form.dots else form.head_dim))
            first = e.times(register, form.head_dim + 2)
            kept = [e.register(told.state, e.sum(first, at)) for at in (0, form.head_dim, form.head_dim + 1)]
            limits = e.register(told.limits, group)
            e.b.call(block, [group, told.groups, query, told.scale, limits, *kept, scores, *tile.arguments()])

        e.loop(e.i64(0), told.groups, 1, [], each_group)

    tiles.walk(e, form, told, each_tile)
    e.b.ret_void()


def _define_block(module: ir.Module, form: Form) -> ir.Function:
    """One group of queries over one tile."""
    kinds = [I64, I64, POINTER, F32, POINTER, POINTER, POINTER, POINTER, POINTER, *TILE_KINDS]
    e = Emitter(module, form.machine, "wide_block", kinds, public=False)
    group, groups, queries, scale, limits, sums, greatest, weights, scores, *parts = e.function.args
    tile = Tile(*parts)
    fetch = Fetch(e, form, tile.next_keys, group, groups, form.tile // form.machine.block)
    _scores(e, form, queries, tile, scores, fetch)
    _hide(e, limits, tile, scores)
    shrunk = _softmax(e, form, e.spread(scale, e.floats), tile.count, greatest, weights, scores)
    fetch = Fetch(e, form, tile.next_values, group, groups, form.head_dim // form.machine.block)
    _values(e, form, tile, scores, sums, shrunk, fetch)
    e.b.ret_void()
    return e.function


def _product(e: Emitter, form: Form, totals: Sequence[Value], many: Value, single: Sequence[Value]) -> list[Value]:
    """`many` with each of `single`, added to its total."""
    add = e.dot_pairs if form.dots else e.fma
    return [add(many, one, total) for total, one in zip(totals, single, strict=True)]


def _scores(e: Emitter, form: Form, queries: Value, tile: Tile, scores: Value, fetch: Fetch) -> None:
    kind, vector = (I32, e.ints) if form.dots else (F32, e.floats)
    stride, depth = tile.key_stride, form.head_dim
    if form.dots:
        # Two numbers at once.
        stride, depth = e.b.lshr(stride, e.i64(1)), depth // 2

    def each_block(key: Value) -> None:
        fetch.step(key, form.machine.block)
        rows = [e.at(tile.keys, e.times(e.sum(key, at), stride), kind) for at in range(form.machine.block)]

        def each_number(number: Value, *totals: Value) -> list[Value]:
            many = e.load(e.register(queries, number), vector)
            single = [e.spread(e.load(e.at(row, number, kind), kind), vector) for row in rows]
            return _product(e, form, totals, many, single)

        found = e.loop(e.i64(0), e.i64(depth), 1, [e.floats_of(0.0)] * len(rows), each_number)
        for at, score in enumerate(found):
            e.store(score, e.register(scores, e.sum(key, at)))

    e.loop(e.i64(0), tile.count, form.machine.block, [], each_block)


def _hide(e: Emitter, limits: Value, tile: Tile, scores: Value) -> None:
    """Keys that a query does not see get no weight; most tiles have none."""
    b = e.b
    seen = tile.seen(e, e.load(limits, e.ints))
    hidden = b.icmp_signed("<", seen, e.spread(b.trunc(tile.count, I32), e.ints))
    bits = b.bitcast(hidden, ir.IntType(e.machine.lanes))

    def each_key(key: Value) -> None:
        place = e.register(scores, key)
        visible = b.icmp_signed("<", e.spread(b.trunc(key, I32), e.ints), seen)
        e.store(b.select(visible, e.load(place, e.floats), e.floats_of(float("-inf"))), place)

    with b.if_then(b.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0)), likely=False):
        e.loop(e.i64(0), tile.count, 1, [], each_key)


def _softmax(
    e: Emitter, form: Form, scale: Value, count: Value, greatest: Value, weights: Value, scores: Value
) -> Value:
    """Scores become weights; gives what earlier sums are to be multiplied by."""
    b, zero = e.b, e.i64(0)
    before = e.load(greatest, e.floats)

    def most(key: Value, held: Value) -> list[Value]:
        return [e.greater(e.load(e.register(scores, key), e.floats), held)]

    (now,) = e.loop(zero, count, 1, [before], most)
    lowered = b.fneg(b.fmul(now, scale))

    def weight(key: Value) -> Value:
        return e.exp2(e.fma(e.load(e.register(scores, key), e.floats), scale, lowered))

    def weigh(key: Value, total: Value) -> list[Value]:
        found = weight(key)
        if not form.dots:
            e.store(found, e.register(scores, key))
            return [b.fadd(total, found)]
        other = weight(e.sum(key, 1))
        # A pair takes the room of one: it is written behind what is still to be read.
        e.store(e.pair_rounded(found, other), e.register(scores, b.lshr(key, e.i64(1))))
        return [b.fadd(total, b.fadd(found, other))]

    (added,) = e.loop(zero, count, 2 if form.dots else 1, [e.floats_of(0.0)], weigh)
    shrunk = e.exp2(b.fmul(b.fsub(before, now), scale))
    e.store(e.fma(e.load(weights, e.floats), shrunk, added), weights)
    e.store(now, greatest)
    return shrunk


def _values(e: Emitter, form: Form, tile: Tile, scores: Value, sums: Value, shrunk: Value, fetch: Fetch) -> None:
    kind, vector = (I32, e.ints) if form.dots else (F32, e.floats)
    steps = e.b.lshr(tile.count, e.i64(1)) if form.dots else tile.count

    def each_block(number: Value) -> None:
        fetch.step(number, form.machine.block)
        places = [e.register(sums, e.sum(number, at)) for at in range(form.machine.block)]

        def each_key(key: Value, *totals: Value) -> list[Value]:
            row = e.at(tile.values, e.sum(e.times(key, tile.value_stride), number), kind)
            single = [e.spread(e.load(e.at(row, at, kind), kind), vector) for at in range(len(places))]
            return _product(e, form, totals, e.load(e.register(scores, key), vector), single)

        totals = [e.b.fmul(e.load(place, e.floats), shrunk) for place in places]
        for place, total in zip(places, e.loop(e.i64(0), steps, 1, totals, each_key), strict=True):
            e.store(total, place)

    e.loop(e.i64(0), e.i64(form.head_dim), form.machine.block, [], each_block)
