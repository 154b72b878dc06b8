"""The wire: every plain value comes back as it was, and no bytes at all give anything but a value or a WireError."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from grader.sandbox.inside import codec
from grader.sandbox.inside.codec import (
    DTYPES,
    HEADER,
    MAGIC,
    MAX_BUFFERS,
    MAX_DEPTH,
    MAX_ITERATED,
    MAX_JSON,
    MAX_NODES,
    TENSOR_DTYPES,
    Decoder,
    Encoder,
    Record,
    Unsendable,
    WireError,
    pack,
    read_head,
    unpack,
)

PAYLOAD = 1 << 20  # what the decoding end allows in these tests
quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def refuse(value: Any) -> list[Any]:
    """Take the place of what makes handles: here nothing may stay behind."""
    raise Unsendable(f"a {type(value).__name__}")


def encoded(value: Any, opaque: Callable[[Any], list[Any]] = refuse) -> bytes:
    """Return the whole frame of a value."""
    encoder = Encoder(opaque)
    tree = encoder.tree(value)
    return b"".join(bytes(piece) for piece in pack(tree, encoder.buffers))


def decoded(frame: bytes, **options: Any) -> Any:
    """Read a frame as the examiner does: the header first, then exactly the body that it announces."""
    if len(frame) < HEADER.size:
        raise WireError("the stream ended")
    head = read_head(frame[: HEADER.size], PAYLOAD)
    body = frame[HEADER.size : HEADER.size + head.body]
    tree, buffers = unpack(head, memoryview(bytearray(body)))
    return Decoder(buffers, **options).value(tree)


def frame_of(text: bytes, buffers: tuple[bytes, ...] = ()) -> bytes:
    """Return a frame with this JSON text and these buffers, whatever they are."""
    sizes = [len(b) for b in buffers]
    head = HEADER.pack(MAGIC, len(text), len(sizes), sum(sizes)) + struct.pack(f"<{len(sizes)}Q", *sizes)
    return head + text + b"".join(buffers)


def same(a: Any, b: Any) -> bool:
    """Tell whether two values are the same: types, shapes, dtypes, and NaN where NaN was."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items(), strict=True))
    return bool(a == b)


# --- round trips -----------------------------------------------------------------------------------------------------

dtypes = st.sampled_from(sorted(DTYPES)).map(np.dtype)
arrays = npst.arrays(dtypes, npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**4095), 2**4095)
    | st.floats(width=64)
    | st.complex_numbers()
    | st.text(st.characters(exclude_categories=()))
    | st.binary(max_size=50)
    | arrays
    | arrays.filter(lambda a: a.size > 0).map(lambda a: a.reshape(-1)[0])
)
keys = st.none() | st.booleans() | st.integers() | st.text() | st.tuples(st.text(), st.integers()) | st.binary()
tags = st.sampled_from(["f", "z", "y", "l", "t", "S", "d", "r", "a", "s", "T", "h", "F", "nan", "<f8", "array"])
values = st.recursive(
    leaves | tags,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(tags, inner)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(tags, inner, max_size=4)
        | st.frozensets(keys, max_size=4)
    ),
    max_leaves=12,
)


@quick
@given(value=values)
@example(value=["a", "<f8", [1], 0])
@example(value=[["h", 1, "float"], {"h": 1}, ("f", "nan")])
@example(value={"": float("nan"), None: [float("inf"), -0.0, -float("inf")]})
@example(value="\ud800\x00\u202e")
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    """Nothing is lost and nothing is taken for something else, least of all a list that looks like a tag."""
    assert same(decoded(encoded(value)), value)


@quick
@given(array=arrays, data=st.data())
def test_arrays_come_back_whatever_their_layout(array: np.ndarray, data: st.DataObject) -> None:
    """A transposed, reversed, strided, broadcast or big-endian array arrives as a plain little-endian one."""
    view = data.draw(
        st.sampled_from(
            [
                array.T,
                array[::-1] if array.ndim else array,
                array[..., ::2] if array.ndim else array,
                np.asfortranarray(array),
                np.broadcast_to(array, (2, *array.shape)),
                array.astype(array.dtype.newbyteorder(">")),
            ]
        )
    )
    got = decoded(encoded(view))
    assert type(got) is np.ndarray
    assert got.dtype == array.dtype
    assert got.dtype.isnative
    assert got.flags.writeable
    assert got.flags.c_contiguous
    assert got.shape == view.shape
    assert np.array_equal(got, view, equal_nan=array.dtype.kind in "fc")


@quick
@given(array=arrays)
def test_what_arrives_is_a_copy(array: np.ndarray) -> None:
    """Writing into what arrived leaves what was sent as it was."""
    before = array.tobytes()
    got = decoded(encoded(array))
    got[...] = 1
    assert array.tobytes() == before


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3), (1,) * 32])
@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_every_dtype_and_shape(dtype: str, shape: tuple[int, ...]) -> None:
    """Shapes keep their zeros and ones, up to 32 dimensions."""
    array = np.ones(shape, dtype)
    assert same(decoded(encoded(array)), array)


def test_an_array_of_ten_megabytes_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large array is sent in pieces, without a copy for each."""
    array = np.arange(1_250_000, dtype=float)
    encoder = Encoder(refuse)
    pieces = pack(encoder.tree(array), encoder.buffers)
    assert len(pieces) == 2
    assert isinstance(pieces[1], memoryview)
    monkeypatch.setitem(globals(), "PAYLOAD", 1 << 24)
    assert np.array_equal(decoded(encoded(array)), array)


class Point(NamedTuple):
    """A namedtuple."""

    x: float
    y: Any


@dataclasses.dataclass
class Pair:
    """A dataclass."""

    first: Any
    fields: Any


class Whole(int):
    """A subclass of int."""

    def __int__(self) -> int:
        return 99

    __index__ = __int__


class Real(float):
    """A subclass of float."""

    def __float__(self) -> float:
        return 99.0


class Word(str):
    """A subclass of str."""

    __slots__ = ()

    def __str__(self) -> str:
        return "other"


class Numbers(np.ndarray):
    """A subclass of ndarray."""


class Row(list[Any]):
    """A subclass of list."""


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Point(1.5, [2]), Record("Point", (("x", 1.5), ("y", [2])))),
        (Pair(1, (2,)), Record("Pair", (("first", 1), ("fields", (2,))))),
        (Whole(3), 3),
        (Real(3.5), 3.5),
        (Word("word"), "word"),
        (Row([1, 2]), [1, 2]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.defaultdict(int, a=1), {"a": 1}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        ({1, 2}, frozenset({1, 2})),
        (bytearray(b"ab"), b"ab"),
        (range(3), [0, 1, 2]),
        ((n for n in range(3)), [0, 1, 2]),
        (map(str, [1]), ["1"]),
        (zip([1], [2], strict=True), [(1, 2)]),
        (np.float64(0.5), np.float64(0.5)),
        (np.int8(-3), np.int8(-3)),
        (np.bool_(True), np.bool_(True)),
        (np.str_("text"), "text"),
        (np.longdouble(0.5), np.float64(0.5)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_what_is_nearly_plain_arrives_plain(value: Any, arrives: Any) -> None:
    """A subclass arrives as its plain base, with the values that it is made of and none of its manners."""
    got = decoded(encoded(value))
    assert same(got, arrives), got


def test_records_never_pass_for_arrays() -> None:
    """Numpy reads memory wherever an `__array_interface__` points: a record's fields must not be asked for it."""
    memory = np.arange(3.0)
    interface = {"data": (memory.ctypes.data, False), "shape": (3,), "typestr": "<f8", "version": 3}
    names = ["__array_interface__", "__array_struct__", "__array__", "_x", "dtype", "shape", "detach", "real"]
    kind = dataclasses.make_dataclass("Liar", names)
    got = decoded(encoded(kind(interface, 1, 2, 3, "<f8", (3,), 4, 0.5)))
    assert isinstance(got, Record)
    assert [name for name in names if hasattr(got, name)] == ["real"]
    assert got[0] == interface
    assert np.asarray(got, dtype=object).shape == (8,)


def test_subclasses_of_arrays_arrive_as_arrays() -> None:
    """A view of a subclass is an ordinary array on the other side; long doubles become doubles."""
    got = decoded(encoded([np.arange(3.0).view(Numbers), np.arange(3, dtype=np.longdouble)]))
    assert [type(a) for a in got] == [np.ndarray, np.ndarray]
    assert [a.dtype.str for a in got] == ["<f8", "<f8"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.ma.masked_all(3), "a masked array"),
        (np.array([None]), "an array of dtype object"),
        (np.array(["a"]), "an array of dtype <U1"),
        (np.zeros(2, dtype="<f8,<i4"), "an array of dtype"),
        (np.array(["2020"], dtype="M8[Y]"), "an array of dtype"),
        (np.datetime64("2020"), "a numpy scalar"),
        (1 << 5000, "an integer of more than 4096 bits"),
        (object(), "a object"),
        (print, "a builtin_function_or_method"),
        ([np.zeros(1)] * (MAX_BUFFERS + 1), "more than 4096 arrays"),
        (iter(range(MAX_ITERATED + 1)), "a range_iterator"),
        ((n for n in range(MAX_ITERATED + 1)), "a generator of more than"),
        (range(10**15), "more than 1,000,000 items"),
        ("x" * (MAX_JSON + 1), "more than 8 MiB"),
    ],
    ids=lambda v: v if isinstance(v, str) and len(v) < 50 else type(v).__name__,
)
def test_what_cannot_cross_is_refused_in_words(value: Any, reason: str) -> None:
    """What has no plain form is refused before it is sent."""
    with pytest.raises(Unsendable, match=reason):
        encoded(value)


def test_depth_is_bounded_on_both_sides() -> None:
    """The encoder stops at its depth, and the decoder reads whatever the encoder writes."""
    deep: Any = 0
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert decoded(encoded(deep)) == deep
    with pytest.raises(Unsendable, match="nested deeper"):
        encoded([deep])
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(Unsendable, match="nested deeper"):
        encoded(endless)


def test_tensors_come_back_and_are_refused_where_there_are_none() -> None:
    """Every dtype of a tensor crosses; an exercise without torch reads none."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    sent = [torch.ones(2, 3, dtype=getattr(torch, name)) for name in TENSOR_DTYPES]
    sent += [torch.arange(6.0).reshape(2, 3).T, torch.zeros(0, 4), torch.tensor(3), torch.ones(2, requires_grad=True)]
    sent += [torch.tensor([1 + 2j]).conj(), torch.ones(3).expand(2, 3), torch.nn.Parameter(torch.ones(2))]
    got = decoded(encoded(sent))
    assert [type(t) for t in got] == [torch.Tensor] * len(sent)
    assert all(torch.equal(a, b.detach()) and a.dtype == b.dtype for a, b in zip(got, sent, strict=True))
    assert not any(t.requires_grad for t in got)
    assert decoded(encoded(torch.ones(2, dtype=torch.bfloat16))).dtype == torch.float32
    with pytest.raises(Unsendable, match="sparse"):
        encoded(torch.eye(3).to_sparse())
    with pytest.raises(Unsendable, match="dtype"):
        encoded(torch.ones(2).to(torch.float8_e5m2))
    with pytest.raises(WireError, match="tensor"):
        decoded(encoded(torch.ones(2)), tensors=False)


def test_handles_and_functions_are_refused_unless_asked_for() -> None:
    """A number that stands for a remote object is read only where somebody knows what to do with it."""
    handle, callback = frame_of(b'["h",1,"x"]'), frame_of(b'["F",1]')
    with pytest.raises(WireError, match="handle"):
        decoded(handle)
    with pytest.raises(WireError, match="function"):
        decoded(callback)
    assert decoded(handle, handle=lambda number, name: (number, name)) == (1, "x")
    assert decoded(callback, callback=lambda number: number + 1) == 2


# --- what must be refused ---------------------------------------------------------------------------------------------

MALFORMED = {
    "not json": b"{",
    "an object": b'{"a":1}',
    "nan without its tag": b"NaN",
    "infinity without its tag": b"-Infinity",
    "an overflowing float": b"1e999",
    "an unknown special float": b'["f","1.5"]',
    "a special float of two": b'["f","nan","nan"]',
    "an untagged list": b"[1,2]",
    "an empty list": b"[]",
    "an unknown tag": b'["x",1]',
    "a tag that is no text": b"[null]",
    "a number of very many digits": b"1" * 5000,
    "a number of many digits": b"1" * 2000,
    "a complex of one": b'["z",1.0]',
    "a complex of integers": b'["z",1,2]',
    "bytes without a buffer": b'["y",0]',
    "bytes before the first": b'["y",-1]',
    "bytes by a float": b'["y",0.0]',
    "bytes by a bool": b'["y",false]',
    "a dict of one": b'["d",[1]]',
    "a dict of scalars": b'["d",1]',
    "a dict with a list as key": b'["d",[["l"],1]]',
    "a set of lists": b'["S",["l"]]',
    "a record without a name": b'["r"]',
    "a record with a number as name": b'["r",1]',
    "a record with a number as field": b'["r","R",[1,2]]',
    "an array of objects": b'["a","|O",[1],0]',
    "an array of text": b'["a","<U1",[1],0]',
    "an array of long doubles": b'["a","<f16",[1],0]',
    "an array of bytes swapped": b'["a",">f8",[1],0]',
    "an array with a list as dtype": b'["a",["<f8"],[1],0]',
    "an array without a shape": b'["a","<f8",1,0]',
    "an array of negative size": b'["a","<f8",[-1],0]',
    "an array of half a row": b'["a","<f8",[0.5],0]',
    "an array of truth rows": b'["a","<f8",[true],0]',
    "an array of very many rows": b'["a","<f8",[1099511627777],0]',
    "an array that overflows": b'["a","<f8",[1099511627776,1099511627776],0]',
    "an array of 33 dimensions": b'["a","<f8",[' + b",".join([b"1"] * 33) + b"],0]",
    "a large array of nothing": b'["a","<f8",[0,1099511627776],0]',
    "an array without bytes": b'["a","<f8",[1],1]',
    "a scalar of a shape": b'["s","<f8",[1],0]',
    "a tensor of a numpy dtype": b'["T","<f8",[1],0]',
    "a tensor of no dtype": b'["T"]',
    "deep": b'["l",' * 200 + b"0" + b"]" * 200,
    "very deep": b"[" * 1_000_000,
    "too many nodes": b'["l"' + b",0" * (MAX_NODES + 1) + b"]",
    "not ascii": b'"\xff"',
    "two values": b"1 2",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_trees_are_refused(name: str) -> None:
    """What the encoder would not write is refused, in bounded time."""
    began = time.monotonic()
    with pytest.raises(WireError):
        decoded(frame_of(MALFORMED[name]))
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("tree", "data"),
    [
        (b'["a","<f8",[2],0]', bytes(8)),
        (b'["a","<f8",[1],0]', bytes(9)),
        (b'["a","<f8",[0],0]', bytes(8)),
        (b'["a","|b1",[2],0]', b"\x00\x02"),
        (b'["s","<f8",0]', bytes(4)),
        (b'["T","float64",[2],0]', bytes(8)),
    ],
)
def test_bytes_must_fit_shape_and_type(tree: bytes, data: bytes) -> None:
    """The number of bytes is the product of the shape, and a bool is 0 or 1."""
    pytest.importorskip("torch", reason="torch is not installed") if b"T" in tree else None
    with pytest.raises(WireError):
        decoded(frame_of(tree, (data,)))


@pytest.mark.parametrize(
    "header",
    [
        HEADER.pack(b"UNR2", 1, 0, 0),
        HEADER.pack(MAGIC, MAX_JSON + 1, 0, 0),
        HEADER.pack(MAGIC, 0xFFFFFFFF, 0, 0),
        HEADER.pack(MAGIC, 1, MAX_BUFFERS + 1, 0),
        HEADER.pack(MAGIC, 1, 0xFFFFFFFF, 0),
        HEADER.pack(MAGIC, 1, 1, PAYLOAD + 1),
        HEADER.pack(MAGIC, 1, 1, (1 << 64) - 1),
    ],
)
def test_sizes_that_lie_cost_nothing(header: bytes) -> None:
    """An oversized frame is refused by its header, before anything is allocated for it."""
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            read_head(header, PAYLOAD)
        assert tracemalloc.get_traced_memory()[1] < 1 << 16
    finally:
        tracemalloc.stop()


def test_sizes_of_buffers_must_add_up() -> None:
    """Single sizes that overflow, or that do not make the whole, are refused."""
    for sizes, total in (((4, 5), 8), (((1 << 64) - 1, 9), 8), ((1 << 63, 1 << 63), 0)):
        head = HEADER.pack(MAGIC, 1, len(sizes), total) + struct.pack(f"<{len(sizes)}Q", *sizes)
        with pytest.raises(WireError):
            decoded(head + b"0" + bytes(total))


def test_arrays_of_nothing_cannot_grow() -> None:
    """A tree of arrays that announce much and hold nothing takes no memory."""
    empty = b'["a","<f8",[0,8388608],0]'
    frame = frame_of(b'["l"' + (b"," + empty) * 3000 + b"]", (b"",))
    tracemalloc.start()
    try:
        assert len(decoded(frame)) == 3000
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("tag", [b"d", b"S"])
def test_keys_that_collide_are_refused(tag: bytes) -> None:
    """Keys that all hash alike would take quadratic time."""
    alike = [str(n * (2**61 - 1)).encode() for n in range(1, 50_000)]
    items = alike if tag == b"S" else [b"[" + key + b",0]" for key in alike]
    began = time.monotonic()
    with pytest.raises(WireError, match="collide"):
        decoded(frame_of(b'["' + tag + b'",' + b",".join(items) + b"]"))
    assert time.monotonic() - began < 5


# --- fuzz -------------------------------------------------------------------------------------------------------------


def survives(frame: bytes) -> None:
    """Decode a frame: a value or a WireError must come of it, in little time."""
    began = time.monotonic()
    try:
        value = decoded(frame, handle=lambda *a: a, callback=lambda n: n, tensors=False)
    except WireError:
        pass
    else:
        assert_plain(value)
    assert time.monotonic() - began < 10


def assert_plain(value: Any) -> None:
    """Fail where a value is of a type that must not come off the wire."""
    if isinstance(value, list | tuple | frozenset):
        assert type(value) in (list, tuple, frozenset)
        for item in value:
            assert_plain(item)
    elif isinstance(value, dict):
        assert type(value) is dict
        for pair in value.items():
            assert_plain(pair)
    elif type(value) is Record:
        assert_plain(value.fields)
    elif isinstance(value, np.ndarray | np.generic):
        assert type(value) is np.ndarray or value.shape == ()
        assert value.dtype.str in DTYPES
    else:
        assert value is None or type(value) in (bool, int, float, complex, str, bytes)


@quick
@given(data=st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    """Bytes without any sense are refused."""
    survives(data)


@quick
@given(text=st.binary(max_size=100), buffers=st.lists(st.binary(max_size=20), max_size=3))
def test_any_bytes_in_a_frame(text: bytes, buffers: list[bytes]) -> None:
    """A right header around any text is refused, or read."""
    survives(frame_of(text, tuple(buffers)))


shapes = st.lists(st.integers(-2, 5) | st.sampled_from([1 << 20, 1 << 40, 1 << 62, 0.5, None, True]), max_size=4)
trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 5)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
    | tags
    | shapes
    | st.sampled_from(sorted(DTYPES) + sorted(TENSOR_DTYPES)),
    lambda inner: (
        st.tuples(tags, inner).map(list)
        | st.tuples(tags, inner, inner).map(list)
        | st.tuples(st.sampled_from("asT"), st.sampled_from([*sorted(DTYPES), "float64"]), shapes, inner).map(list)
        | st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=2), inner, max_size=1)
    ),
    max_leaves=20,
)


@settings(quick, max_examples=400)
@given(tree=trees, buffers=st.lists(st.binary(max_size=32), max_size=3))
def test_any_tree(tree: Any, buffers: list[bytes]) -> None:
    """A tree of tags put together at random is refused, or read as plain values."""
    survives(frame_of(json.dumps(tree).encode(), tuple(buffers)))


@settings(quick, max_examples=200)
@given(value=values, data=st.data())
def test_damaged_frames(value: Any, data: st.DataObject) -> None:
    """A right frame with bytes changed, cut out, put in or cut off is refused, or read as plain values."""
    frame = bytearray(encoded(value))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(frame) - 1, 0)))
        match data.draw(st.sampled_from(["change", "cut", "insert", "end"])):
            case "change":
                frame[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
            case "cut":
                del frame[at : at + data.draw(st.integers(1, 8))]
            case "insert":
                frame[at:at] = data.draw(st.binary(min_size=1, max_size=8))
            case "end":
                del frame[at:]
    survives(bytes(frame))


def test_very_many_random_changes() -> None:
    """Thousands of single changes of one rich frame give a value or a WireError, and nothing else."""
    rng = random.Random(3)
    rich = {
        "arrays": [np.arange(12.0).reshape(3, 4), np.ones(3, bool), np.zeros((0, 2), "<c8")],
        ("a", 1): (None, True, -5, 2**70, 0.1, float("nan"), 1j, "text", b"bytes"),
        "more": [{1, 2, 3}, Point(1.0, {"x": [1, [2, [3]]]}), np.float32(0.5)],
    }
    frame = encoded(rich)
    outcomes: collections.Counter[str] = collections.Counter()
    for _ in range(6000):
        damaged = bytearray(frame)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            assert_plain(decoded(bytes(damaged), tensors=False))
            outcomes["read"] += 1
        except WireError:
            outcomes["refused"] += 1
    assert outcomes["read"] > 100
    assert outcomes["refused"] > 1000


def test_the_decoder_knows_every_tag_that_the_encoder_writes() -> None:
    """The table of tags is whole, so that nothing can be sent that is not read."""
    assert set(codec.Decoder._BUILDERS) == set("fzyltSdrasThF")
