"""Turn plain data into frames and back: a JSON tree plus raw buffers, never pickle.

A frame is `header | buffer sizes | JSON | buffers`. Both ends use this file; the examiner's end trusts nothing
that it reads: sizes are checked before memory is allocated, dtypes come from a list, byte counts must match
shapes, depth and node counts are capped, and NaN and infinities exist by tag only. In the JSON tree scalars
stand for themselves and everything else is a list that starts with its tag, so that no dict or string of a
student can pass for a tag.
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
import types
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

MAGIC = b"UNR1"
HEADER = struct.Struct("<4sIIQ")  # magic, JSON bytes, number of buffers, bytes of all buffers
MAX_JSON = 8 << 20
MAX_BUFFERS = 4096
MAX_NODES = 1_000_000
MAX_DEPTH = 60
MAX_INT_BITS = 4096
MAX_ITERATED = 10_000  # items taken from a generator
MAX_DIM = 1 << 40
MAX_EMPTY = 1 << 26  # bytes that an array without elements may come to when it is summed over
MAX_EQUAL_HASHES = 16  # keys of one dict or set
JOINED = 1 << 16  # a frame with at most so many bytes of arrays is sent in one piece

#: numpy dtypes that cross the line, by their array-protocol name.
DTYPES = frozenset(["<f8", "<f4", "<f2", "<i8", "<i4", "<i2", "|i1", "|u1", "<u2", "<u4", "<u8", "|b1", "<c8", "<c16"])
#: torch dtypes that cross, with the numpy dtype of their bytes.
TENSOR_DTYPES = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "|i1",
    "uint8": "|u1",
    "bool": "|b1",
    "complex64": "<c8",
    "complex128": "<c16",
}


class WireError(Exception):
    """A frame that is not what the protocol allows."""


class Unsendable(Exception):
    """A value that must not or cannot cross the line; the message says why."""


#: By these names numbers are told from other things; a record that answered to them would pass for an array.
ARRAY_MANNERS = frozenset(["copy", "cpu", "detach", "dtype", "nbytes", "ndim", "numpy", "shape", "size", "tolist"])


@dataclasses.dataclass(frozen=True)
class Record:
    """A namedtuple or dataclass as it arrives: its class name and its fields in order.

    A field is an attribute too, unless its name begins with an underscore or is an array's: numpy reads memory at
    whatever address a value's `__array_interface__` names.
    """

    name: str
    fields: tuple[tuple[str, Any], ...]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ARRAY_MANNERS:
            raise AttributeError(name)
        for key, value in object.__getattribute__(self, "fields"):
            if key == name:
                return value
        raise AttributeError(name)

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __getitem__(self, index: int) -> Any:
        return self.fields[index][1]


class Encoder:
    """Collects buffers while a value is turned into a JSON tree.

    `opaque(value)` gives the tree of a value that has no plain form (a handle, a callback), or raises
    `Unsendable`.
    """

    def __init__(self, opaque: Callable[[Any], list[Any]]) -> None:
        self.opaque = opaque
        self.buffers: list[Any] = []
        self.nodes = 0

    def buffer(self, data: Any) -> int:
        """Add a bytes-like object and return its index."""
        if len(self.buffers) >= MAX_BUFFERS:
            raise Unsendable(f"more than {MAX_BUFFERS} arrays in one value")
        self.buffers.append(data)
        return len(self.buffers) - 1

    def tree(self, value: Any, depth: int = 0) -> Any:
        """Return the JSON tree of `value`; raise Unsendable where there is none."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Unsendable(f"more than {MAX_NODES:,} items in one value")
        if depth > MAX_DEPTH:
            raise Unsendable(f"nested deeper than {MAX_DEPTH} levels")
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return value
        if kind is int:
            if value.bit_length() > MAX_INT_BITS:
                raise Unsendable("an integer of more than 4096 bits")
            return value
        if kind is float:
            return value if math.isfinite(value) else ["f", repr(value)]
        if kind is complex:
            return ["z", self.tree(value.real, depth + 1), self.tree(value.imag, depth + 1)]
        if kind is bytes or kind is bytearray:
            return ["y", self.buffer(bytes(value))]
        if kind is list:
            return ["l", *[self.tree(item, depth + 1) for item in value]]
        if kind is tuple:
            return ["t", *[self.tree(item, depth + 1) for item in value]]
        if isinstance(value, dict):  # ordered and default dicts are dicts too
            return [
                "d",
                *[[self.tree(k, depth + 1), self.tree(v, depth + 1)] for k, v in dict.items(value)],
            ]
        if kind is set or kind is frozenset:
            return ["S", *[self.tree(item, depth + 1) for item in value]]
        if kind is range:
            return ["l", *[self.tree(item, depth + 1) for item in value[: MAX_NODES + 1]]]
        special = self._array_like(value)
        if special is not None:
            return special
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            return [
                "r",
                kind.__name__[:80],
                *[[str(k), self.tree(v, depth + 1)] for k, v in zip(kind._fields, value, strict=True)],
            ]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return [
                "r",
                kind.__name__[:80],
                *[[f.name, self.tree(getattr(value, f.name), depth + 1)] for f in dataclasses.fields(value)],
            ]
        if isinstance(value, types.GeneratorType | map | filter | zip | enumerate | reversed):
            items: list[Any] = []
            for item in value:
                if len(items) >= MAX_ITERATED:
                    raise Unsendable(f"a generator of more than {MAX_ITERATED:,} items")
                items.append(self.tree(item, depth + 1))
            return ["l", *items]
        for base in (bool, int, float, str):
            if isinstance(value, base):  # a subclass arrives as its plain base
                return self.tree(_PLAIN[base](value), depth + 1)
        if isinstance(value, list | tuple):
            return [
                "l" if isinstance(value, list) else "t",
                *[self.tree(item, depth + 1) for item in value],
            ]
        return self.opaque(value)

    def _array_like(self, value: Any) -> list[Any] | None:
        import sys

        numpy = sys.modules.get("numpy")
        if numpy is not None:
            if isinstance(value, numpy.ma.MaskedArray):
                raise Unsendable("a masked array: return a plain array")
            if isinstance(value, numpy.ndarray):
                array = numpy.asarray(value)
                if array.dtype.kind == "f" and array.dtype.itemsize > 8:
                    array = array.astype("<f8")  # long double has no portable form
                name = array.dtype.newbyteorder("<").str
                if name not in DTYPES:
                    raise Unsendable(f"an array of dtype {str(array.dtype)[:40]}: numbers are asked")
                array = numpy.ascontiguousarray(array, dtype=name)
                # ascontiguousarray makes 0-d arrays 1-d: the shape is taken from the original
                return [
                    "a",
                    name,
                    [int(n) for n in value.shape],
                    self.buffer(memoryview(array).cast("B") if array.size else b""),
                ]
            if isinstance(value, numpy.generic):
                array = numpy.asarray(value)
                if array.dtype.kind == "f" and array.dtype.itemsize > 8:
                    array = array.astype("<f8")
                name = array.dtype.newbyteorder("<").str
                if name in DTYPES:
                    return ["s", name, self.buffer(array.astype(name).tobytes())]
                if isinstance(value, numpy.str_):
                    return None
                raise Unsendable(f"a numpy scalar of type {type(value).__name__[:40]}")
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            plain = value.detach()
            if plain.layout is not torch.strided:
                raise Unsendable("a sparse tensor: return a dense one")
            plain = plain.to("cpu")
            if plain.dtype is torch.bfloat16:
                plain = plain.to(torch.float32)
            name = str(plain.dtype).removeprefix("torch.")
            if name not in TENSOR_DTYPES:
                raise Unsendable(f"a tensor of dtype {name[:40]}")
            array = plain.resolve_conj().resolve_neg().contiguous().numpy()
            return ["T", name, [int(n) for n in plain.shape], self.buffer(array.tobytes())]
        return None


_PLAIN: dict[type, Callable[[Any], Any]] = {
    bool: bool,
    int: int.__int__,
    float: float.__float__,
    str: lambda value: str.__str__(value) if type(str.__str__(value)) is str else "".join(value),
}


class Decoder:
    """Rebuilds a value from a JSON tree and its buffers, trusting neither.

    `handle(id, type_name)` and `callback(id)` build what stands for a remote object; by default both are
    refused. `tensors=False` refuses tensors (a numpy exercise has none).
    """

    def __init__(
        self,
        buffers: list[memoryview],
        *,
        handle: Callable[[int, str], Any] | None = None,
        callback: Callable[[int], Any] | None = None,
        tensors: bool = True,
    ) -> None:
        self.buffers = buffers
        self.handle = handle
        self.callback = callback
        self.tensors = tensors
        self.nodes = 0

    def value(self, tree: Any, depth: int = 0) -> Any:
        """Return the value of `tree`; raise WireError on anything that the encoder would not write."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise WireError("too many nodes")
        if depth > MAX_DEPTH + 4:
            raise WireError("nested too deep")
        if tree is None or isinstance(tree, bool | str):
            return tree
        if isinstance(tree, int):
            if tree.bit_length() > MAX_INT_BITS:
                raise WireError("an integer that is too large")
            return tree
        if isinstance(tree, float):
            if not math.isfinite(tree):  # JSON's 1e999 is infinity without a tag
                raise WireError("a special float without its tag")
            return tree
        if type(tree) is not list or not tree or type(tree[0]) is not str:
            raise WireError("an untagged value")
        tag, *rest = tree
        build = self._BUILDERS.get(tag)
        if build is None:
            raise WireError("an unknown tag")
        return build(self, rest, depth)

    def _float(self, rest: list[Any], depth: int) -> float:
        if rest not in (["nan"], ["inf"], ["-inf"]):
            raise WireError("a malformed special float")
        return float(rest[0])

    def _complex(self, rest: list[Any], depth: int) -> complex:
        if len(rest) != 2:
            raise WireError("a malformed complex number")
        real, imag = (self.value(part, depth + 1) for part in rest)
        if type(real) is not float or type(imag) is not float:
            raise WireError("a malformed complex number")
        return complex(real, imag)

    def _bytes(self, rest: list[Any], depth: int) -> bytes:
        if len(rest) != 1:
            raise WireError("malformed bytes")
        return bytes(self._buffer(rest[0]))

    def _list(self, rest: list[Any], depth: int) -> list[Any]:
        return [self.value(item, depth + 1) for item in rest]

    def _tuple(self, rest: list[Any], depth: int) -> tuple[Any, ...]:
        return tuple(self.value(item, depth + 1) for item in rest)

    def _set(self, rest: list[Any], depth: int) -> frozenset[Any]:
        hashes: dict[int, int] = {}
        return frozenset(self._key(item, depth + 1, hashes) for item in rest)

    def _key(self, tree: Any, depth: int, hashes: dict[int, int]) -> Any:
        """Return a key; `hashes` counts those of its dict, for numbers chosen to collide take quadratic time."""
        key = self.value(tree, depth)
        try:
            value = hash(key)
        except TypeError:
            raise WireError("an unhashable key") from None
        hashes[value] = hashes.get(value, 0) + 1
        if hashes[value] > MAX_EQUAL_HASHES:
            raise WireError("keys that collide")
        return key

    def _dict(self, rest: list[Any], depth: int) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        hashes: dict[int, int] = {}
        for pair in rest:
            if type(pair) is not list or len(pair) != 2:
                raise WireError("a malformed dict")
            out[self._key(pair[0], depth + 1, hashes)] = self.value(pair[1], depth + 1)
        return out

    def _record(self, rest: list[Any], depth: int) -> Record:
        if not rest or type(rest[0]) is not str:
            raise WireError("a malformed record")
        fields = []
        for pair in rest[1:]:
            if type(pair) is not list or len(pair) != 2 or type(pair[0]) is not str:
                raise WireError("a malformed record")
            fields.append((pair[0], self.value(pair[1], depth + 1)))
        return Record(rest[0], tuple(fields))

    def _buffer(self, index: Any) -> memoryview:
        if type(index) is not int or not 0 <= index < len(self.buffers):
            raise WireError("a buffer that is not there")
        return self.buffers[index]

    def _raw(self, rest: list[Any], name: Any) -> Any:
        import numpy

        if len(rest) != 3:
            raise WireError("a malformed array")
        shape = rest[1]
        if name not in DTYPES:
            raise WireError("a dtype that is not allowed")
        if type(shape) is not list or len(shape) > 32:
            raise WireError("a malformed shape")
        count = room = 1
        for n in shape:
            if type(n) is not int or not 0 <= n <= MAX_DIM:
                raise WireError("a malformed shape")
            count *= n
            room *= max(n, 1)
        dtype = numpy.dtype(name)
        if not count and room * dtype.itemsize > MAX_EMPTY:
            raise WireError("a malformed shape")
        data = self._buffer(rest[2])
        if count * dtype.itemsize != len(data):
            raise WireError("an array whose bytes do not fit its shape")
        if dtype.kind == "b" and count and bytes(data).strip(b"\0\1"):
            raise WireError("a boolean that is neither true nor false")
        try:
            return numpy.frombuffer(bytearray(data), dtype=dtype).reshape(shape)
        except ValueError:
            raise WireError("a malformed shape") from None

    def _array(self, rest: list[Any], depth: int) -> Any:
        return self._raw(rest, rest[0] if rest and type(rest[0]) is str else None)

    def _scalar(self, rest: list[Any], depth: int) -> Any:
        if len(rest) != 2 or type(rest[0]) is not str:
            raise WireError("a malformed scalar")
        return self._raw([rest[0], [], rest[1]], rest[0])[()]

    def _tensor(self, rest: list[Any], depth: int) -> Any:
        if not self.tensors:
            raise WireError("a tensor in an exercise that has none")
        import torch

        name = rest[0] if rest and type(rest[0]) is str else ""
        if name not in TENSOR_DTYPES:
            raise WireError("a dtype that is not allowed")
        return torch.from_numpy(self._raw(rest, TENSOR_DTYPES[name]))

    def _handle(self, rest: list[Any], depth: int) -> Any:
        if self.handle is None or len(rest) != 2 or type(rest[0]) is not int or type(rest[1]) is not str:
            raise WireError("a handle where none may be")
        return self.handle(rest[0], rest[1])

    def _callback(self, rest: list[Any], depth: int) -> Any:
        if self.callback is None or len(rest) != 1 or type(rest[0]) is not int:
            raise WireError("a function where none may be")
        return self.callback(rest[0])

    _BUILDERS: ClassVar[dict[str, Callable[..., Any]]] = {
        "f": _float,
        "z": _complex,
        "y": _bytes,
        "l": _list,
        "t": _tuple,
        "S": _set,
        "d": _dict,
        "r": _record,
        "a": _array,
        "s": _scalar,
        "T": _tensor,
        "h": _handle,
        "F": _callback,
    }


def pack(tree: Any, buffers: list[Any]) -> list[bytes | memoryview]:
    """Return the pieces of one frame, to be written one after the other."""
    text = json.dumps(tree, allow_nan=False, separators=(",", ":")).encode("ascii")
    if len(text) > MAX_JSON:
        raise Unsendable(f"more than {MAX_JSON >> 20} MiB of lists and numbers: use arrays")
    sizes = [len(b) if isinstance(b, bytes) else b.nbytes for b in buffers]
    head = HEADER.pack(MAGIC, len(text), len(sizes), sum(sizes)) + struct.pack(f"<{len(sizes)}Q", *sizes) + text
    if sum(sizes) <= JOINED:
        return [b"".join((head, *buffers))]
    return [head, *buffers]


@dataclasses.dataclass(frozen=True)
class FrameHead:
    """The checked sizes of a frame whose body is still to be read."""

    json_bytes: int
    buffers: int
    payload: int

    @property
    def body(self) -> int:
        """Return how many bytes follow the header."""
        return 8 * self.buffers + self.json_bytes + self.payload


def read_head(data: bytes | bytearray, max_payload: int) -> FrameHead:
    """Return the sizes in a header; raise WireError before anything is allocated for an oversized frame."""
    magic, json_bytes, buffers, payload = HEADER.unpack(data)
    if magic != MAGIC:
        raise WireError("not a frame")
    if json_bytes > MAX_JSON or buffers > MAX_BUFFERS or payload > max_payload:
        raise WireError("reply too large")
    return FrameHead(json_bytes, buffers, payload)


def _refuse(value: Any) -> Any:
    raise WireError("a JSON value that the protocol does not use")


def unpack(head: FrameHead, body: bytearray | memoryview) -> tuple[Any, list[memoryview]]:
    """Split a frame's body into its JSON tree and its buffers; raise WireError on any mismatch."""
    view = memoryview(body)
    if len(view) != head.body:
        raise WireError("a frame of the wrong length")
    sizes = struct.unpack(f"<{head.buffers}Q", view[: 8 * head.buffers])
    if sum(sizes) != head.payload:
        raise WireError("buffer sizes that do not add up")
    start = 8 * head.buffers + head.json_bytes
    try:
        tree = json.loads(
            bytes(view[8 * head.buffers : start]),
            parse_constant=_refuse,
            object_pairs_hook=_refuse,
        )
    except (ValueError, RecursionError):
        raise WireError("not the JSON of a frame") from None
    out = []
    for size in sizes:
        out.append(view[start : start + size])
        start += size
    return tree, out
