"""Arrow data as the engine should have made it.

The engine leaves a NULL of a struct, and so of a node, relationship or path, out of the struct's children: they are
shorter than the struct, values move to other rows, and a reader runs past the end of them into memory. It widens
DECIMALs of up to 18 digits without their sign. And it declares the keys of maps nullable, which readers of an IPC
stream refuse.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_OURS = {"_ID": "_id", "_LABEL": "_label", "_SRC": "_src", "_DST": "_dst", "_NODES": "_nodes", "_RELS": "_rels"}
_STORED = ((4, pa.int16()), (9, pa.int32()), (18, pa.int64()))
_NARROW_DIGITS = 18
_GRAPH_HEADS = (("_ID", "_LABEL"), ("_SRC", "_DST", "_LABEL", "_ID"), ("_NODES", "_RELS"))


def sound(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with whole structs, fresh from the engine (a slice is beyond repair). Mostly it is the same object."""
    columns = [rebuilt(column, renamed=False) for column in batch.columns]
    if all(new is old for new, old in zip(columns, batch.columns, strict=True)):
        return batch
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def rebuilt(array: pa.Array, *, renamed: bool) -> pa.Array:
    """With whole structs; when `renamed`, also with graph keys as rows spell them and maps that IPC readers accept."""
    kind = array.type
    if not len(array):
        # The engine leaves the offsets of empty strings and lists unset, and pyarrow reads them.
        array = pa.array([], kind)
    if pa.types.is_decimal128(kind) and kind.precision <= _NARROW_DIGITS:
        return _signed(array)
    if not pa.types.is_nested(kind):
        return array
    if pa.types.is_struct(kind):
        return _struct(array, renamed)
    mask = array.is_null() if array.null_count else None
    offsets, items = list_parts(array)
    if pa.types.is_map(kind):
        keys, values = rebuilt(items.field(0), renamed=renamed), rebuilt(items.field(1), renamed=renamed)
        if not renamed and keys is items.field(0) and values is items.field(1):
            return array
        return pa.MapArray.from_arrays(offsets, keys, values, mask=mask)
    values = rebuilt(items, renamed=renamed)
    if values is items:
        return array
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(values, kind.list_size, mask=mask)
    return pa.ListArray.from_arrays(offsets, values, mask=mask)


def _signed(array: pa.Array) -> pa.Array:
    """So few digits are stored in 16, 32 or 64 bits, and come in 128 with zeros for the sign. May be repeated."""
    kind = array.type
    words = pa.Array.from_buffers(pa.int64(), 2 * len(array), [None, array.buffers()[1]], offset=2 * array.offset)
    low = pc.list_element(pa.FixedSizeListArray.from_arrays(words, 2), 0)
    stored = next(width for digits, width in _STORED if kind.precision <= digits)
    wide = low.cast(stored, safe=False).cast(pa.int64()).cast(pa.decimal128(19, 0))
    values = pa.Array.from_buffers(kind, len(array), [None, wide.buffers()[1]], offset=wide.offset)
    return pc.if_else(array.is_valid(), values, pa.scalar(None, kind)) if array.null_count else values


def field_names(kind: pa.StructType) -> list[str]:
    """The keys of a struct; those of nodes, relationships and paths as the engine's rows spell them."""
    names = [kind.field(index).name for index in range(kind.num_fields)]
    if any(tuple(names[: len(head)]) == head for head in _GRAPH_HEADS) and _is_graph_head(kind.field(0).type):
        return [_OURS.get(name, name) for name in names]
    return names


def list_parts(array: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Offsets and items of a list, array or map column, both free of the column's own offset."""
    if not len(array):
        return pa.array([0], pa.int32()), array.values.slice(0, 0)
    if pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        offsets = pa.array(range(0, (len(array) + 1) * size, size) if size else [0] * (len(array) + 1), pa.int32())
        return offsets, array.values.slice(array.offset * size, len(array) * size)
    offsets = array.offsets
    first, last = offsets[0].as_py(), offsets[-1].as_py()
    return pc.subtract(offsets, first), array.values.slice(first, last - first)


def _is_graph_head(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return [kind.field(index).name for index in range(kind.num_fields)] == ["offset", "table"]
    return bool(pa.types.is_list(kind))


def _struct(array: pa.Array, renamed: bool) -> pa.Array:
    kind = array.type
    old = [array.field(index) for index in range(kind.num_fields)]
    new = [rebuilt(field, renamed=renamed) for field in old]
    valid = array.is_valid() if array.null_count else None
    if valid is not None and any(len(field) < len(array) for field in new):
        # The n-th valid struct finds its values at n.
        positions = pc.subtract(pc.cumulative_sum(valid.cast(pa.int32())), 1)
        positions = pc.if_else(valid, positions, pa.scalar(None, pa.int32()))
        new = [field.take(positions) for field in new]
    elif not renamed and all(after is before for after, before in zip(new, old, strict=True)):
        return array
    names = field_names(kind) if renamed else [kind.field(index).name for index in range(kind.num_fields)]
    return pa.StructArray.from_arrays(new, names=names, mask=None if valid is None else pc.invert(valid))
