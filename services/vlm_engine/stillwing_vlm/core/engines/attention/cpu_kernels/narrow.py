"""Attention of few queries, such as those of one decoded token, over one piece of cache: each lane of a register is a
number of a key.

What counts is how fast keys and values come from memory. Tile by tile as in `wide`, but query by query, and in tiles
small enough for the processor's nearest cache, where the other queries find what the first has brought from memory.

It knows nothing of heads, layers or branches.
"""

from dataclasses import replace

from llvmlite import ir

from stillwing_vlm.core.engines.attention.cpu_kernels.emit import F32, I16, I32, I64, POINTER, Emitter, Value
from stillwing_vlm.core.engines.attention.cpu_kernels.tiles import TILE_KINDS, Fetch, Form, Tile, Tiles, Told

_TILE = 32
"""Keys of a tile."""

_SUMS = 8
"""Sums at once: as many as hide how long one takes."""


def define_narrow(module: ir.Module, form: Form, tiles: Tiles) -> None:
    """`narrow(told)`; a group is one query.

    Queries `[heads, groups, head_dim]`, float32, with `Form.dots` bfloat16. Scores times `scale` are exponents of 2.
    `limits` int32 `[groups]`, as in `wide`. What is kept: `[heads, groups, head_dim + 2]`, likewise.
    """
    form = replace(form, tile=_TILE)
    one_query = _define_query(module, form)
    e = Emitter(module, form.machine, "narrow", [POINTER], public=True)
    told = Told.read(e)
    scores = e.at(told.scratch, e.i64(form.tile_floats))

    def each_tile(head: Value, tile: Tile) -> None:
        def each_query(group: Value) -> None:
            row = e.sum(e.times(head, told.groups), group)
            query = e.at(told.queries, e.times(row, form.head_dim // 2 if form.dots else form.head_dim))
            first = e.times(row, form.head_dim + 2)
            kept = [e.at(told.state, e.sum(first, at)) for at in (0, form.head_dim, form.head_dim + 1)]
            limit = e.at(told.limits, group, I32)
            e.b.call(one_query, [group, told.groups, query, told.scale, limit, *kept, scores, *tile.arguments()])

        e.loop(e.i64(0), told.groups, 1, [], each_query)

    tiles.walk(e, form, told, each_tile)
    e.b.ret_void()


def _define_query(module: ir.Module, form: Form) -> ir.Function:
    """One query over one tile."""
    kinds = [I64, I64, POINTER, F32, POINTER, POINTER, POINTER, POINTER, POINTER, *TILE_KINDS]
    e = Emitter(module, form.machine, "narrow_query", kinds, public=False)
    group, groups, query, scale, limit, sums, greatest, weights, scores, *parts = e.function.args
    tile = Tile(*parts)
    fetch = Fetch(e, form, tile.next_keys, group, groups, form.tile // form.machine.lanes)
    most = _scores(e, form, query, limit, tile, greatest, scores, fetch)
    shrunk = _softmax(e, form, scale, tile.count, most, greatest, weights, scores)
    _values(e, form, tile, scores, sums, shrunk, group, groups)
    e.b.ret_void()
    return e.function


def _scores(
    e: Emitter, form: Form, query: Value, limit: Value, tile: Tile, greatest: Value, scores: Value, fetch: Fetch
) -> Value:
    """Gives the greatest so far, of each lane."""
    b, lanes = e.b, form.machine.lanes
    seen = e.spread(tile.seen(e, e.load(limit, I32)), e.ints)
    numbers = ir.Constant(e.ints, list(range(lanes)))
    kind, vector = (I32, e.ints) if form.dots else (F32, e.floats)
    add = e.dot_pairs if form.dots else e.fma
    stride, registers = tile.key_stride, form.head_dim // lanes
    if form.dots:
        # Two numbers at once.
        stride, registers = b.lshr(stride, e.i64(1)), registers // 2
    parts = [e.load(e.register(query, e.i64(part)), vector) for part in range(registers)]

    def products(key: Value) -> Value:
        total = e.floats_of(0.0)
        for part, told in enumerate(parts):
            place = e.at(tile.keys, e.sum(e.times(key, stride), part * lanes), kind)
            total = add(told, e.load(place, vector), total)
        return total

    def block(key: Value, most: Value) -> list[Value]:
        fetch.step(key, lanes)
        found = e.sums_across(lambda at: products(e.sum(key, at)))
        index = b.add(numbers, e.spread(b.trunc(key, I32), e.ints))
        found = b.select(b.icmp_signed("<", index, seen), found, e.floats_of(float("-inf")))
        e.store(found, e.at(scores, key))
        return [e.greater(found, most)]

    (most,) = e.loop(e.i64(0), tile.count, lanes, [e.spread(e.load(greatest, F32), e.floats)], block)
    return most


def _softmax(
    e: Emitter, form: Form, scale: Value, count: Value, most: Value, greatest: Value, weights: Value, scores: Value
) -> Value:
    """Scores become weights; gives what earlier sums are to be multiplied by."""
    b, zero, lanes = e.b, e.i64(0), form.machine.lanes
    before, now = e.load(greatest, F32), e.across("fmax", most)
    scales = e.spread(scale, e.floats)
    lowered = e.spread(b.fneg(b.fmul(now, scale)), e.floats)

    def weigh(key: Value, total: Value) -> list[Value]:
        place = e.at(scores, key)
        found = e.exp2(e.fma(e.load(place, e.floats), scales, lowered))
        if form.dots:
            # Two by two as they lie, behind what is still to be read.
            e.store(e.rounded(found), e.at(scores, key, I16), 2)
        else:
            e.store(found, place)
        return [b.fadd(total, found)]

    (added,) = e.loop(zero, count, lanes, [e.floats_of(0.0)], weigh)
    shrunk = e.exp2(e.spread(b.fmul(b.fsub(before, now), scale), e.floats))
    share = b.extract_element(shrunk, ir.Constant(I32, 0))
    e.store(b.fadd(b.fmul(e.load(weights, F32), share), e.across("fadd", added)), weights)
    e.store(now, greatest)
    return shrunk


def _values(
    e: Emitter, form: Form, tile: Tile, scores: Value, sums: Value, shrunk: Value, group: Value, groups: Value
) -> None:
    b, lanes = e.b, form.machine.lanes
    add = e.dot_pairs if form.dots else e.fma
    kind, vector = (I32, e.ints) if form.dots else (F32, e.floats)
    steps, most_steps = (b.lshr(tile.count, e.i64(1)), form.tile // 2) if form.dots else (tile.count, form.tile)
    registers = form.head_dim // lanes
    together = min(registers, _SUMS)
    keys = _SUMS // together
    fetch = Fetch(e, form, tile.next_values, group, groups, most_steps // keys)
    for begin in range(0, registers, together):
        places = [e.register(sums, e.i64(begin + part)) for part in range(together)]

        def each_keys(key: Value, *totals: Value, begin: int = begin) -> list[Value]:
            if begin == 0:
                fetch.step(key, keys)
            found = []
            for at, total in enumerate(totals):
                own = e.sum(key, at // together)
                weight = e.spread(e.load(e.at(scores, own, kind), kind), vector)
                place = e.at(tile.values, e.sum(e.times(own, tile.value_stride), (begin + at % together) * lanes), kind)
                found.append(add(weight, e.load(place, vector), total))
            return found

        totals = [b.fmul(e.load(place, e.floats), shrunk) for place in places]
        totals += [e.floats_of(0.0)] * (together * (keys - 1))
        totals = e.loop(e.i64(0), steps, keys, totals, each_keys)
        for part, place in enumerate(places):
            total = totals[part]
            for at in range(part + together, len(totals), together):
                total = b.fadd(total, totals[at])
            e.store(total, place)
