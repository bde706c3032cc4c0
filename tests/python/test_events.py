"""Typed events: every type there and back, what is refused, spans, forks and threads."""

import array
import ctypes
import enum
import math
import os
import struct
import threading

import pytest
from event_decoder import snapshot, values
from forking import forked
from hypothesis import given, settings
from hypothesis import strategies as st

import rchan
from rchan import _core
from rchan.events.types import FieldType


class Color(enum.Enum):
    RED = 1
    GREEN = 2
    LIME = 2  # noqa: PIE796 - an alias


class Big(enum.IntEnum):
    LOW = -1
    HIGH = 40_000


INTEGERS = {
    **{f"u{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    **{f"i{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
}


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_to_their_ends(trace, kind):
    event = trace.event("event", x=getattr(rchan, kind))
    low, high = INTEGERS[kind]
    for value in (low, high, 0, 1, True):
        assert event(value) is True
    for value in (low - 1, high + 1, 2**70, -(2**70)):
        with pytest.raises(rchan.FieldError, match=r"event\(\): x is out of range"):
            event(value)
    assert [v["x"] for v in values(trace)] == [low, high, 0, 1, 1]


class Index:
    def __index__(self):
        return 7


class Float:
    def __float__(self):
        return 2.5


GOOD = [
    (rchan.f64, 1.5, 1.5),
    (rchan.f64, 3, 3.0),
    (rchan.f64, Float(), 2.5),
    (rchan.f64, 10**400, math.inf),
    (rchan.f64, -(10**400), -math.inf),
    (rchan.f32, 0.5, 0.5),
    (rchan.f32, 1e300, math.inf),
    (rchan.u64, Index(), 7),
    (rchan.u8, Index(), 7),
    (rchan.bool, True, True),
    (rchan.bool, False, False),
    (rchan.string, "", ""),
    (rchan.string, "aä€😀", "aä€😀"),
    (rchan.text, "a\0b", "a\\x00b"),
    (rchan.text, "a\udc80b", "a\\udc80b"),
    (rchan.bytes, b"a\0b", b"a\0b"),
    (rchan.bytes, bytearray(b"xy"), b"xy"),
    (rchan.bytes, memoryview(b"xyz")[1:], b"yz"),
    (rchan.bytes, b"", b""),
    (rchan.enum(Color), Color.RED, 1),
    (rchan.enum(Color), "LIME", 2),
    (rchan.enum(Color), 2, 2),
    (rchan.enum(Big), Big.HIGH, 40_000),
    (rchan.enum(rchan.i8, A=-3), "A", -3),
    (rchan.enum(rchan.u64, A=2**64 - 1), 2**64 - 1, 2**64 - 1),
    (rchan.array(rchan.u16), [1, 2, 3], [1, 2, 3]),
    (rchan.array(rchan.u16), (), []),
    (rchan.array(rchan.u16), iter([5]), [5]),
    (rchan.array(rchan.u8), b"\1\2", [1, 2]),
    (rchan.array(rchan.f64), array.array("d", [1.5, 2.5]), [1.5, 2.5]),
    (rchan.array(rchan.i64), array.array("b", [1, -2]), [1, -2]),
    (rchan.array(rchan.i32, 3), array.array("i", [1, -2, 3]), [1, -2, 3]),
    (rchan.array(rchan.bool, 2), [True, False], [True, False]),
    (rchan.array(rchan.string), ["a", "", "ü"], ["a", "", "ü"]),
    (rchan.array(rchan.enum(Color)), ["RED", Color.GREEN], [1, 2]),
    (int, -5, -5),
    (float, 1, 1.0),
    (str, "x", "x"),
    (bool, True, True),
    (bytes, b"x", b"x"),
    (Color, Color.GREEN, 2),
]


@pytest.mark.parametrize(("kind", "value", "stored"), GOOD, ids=repr)
def test_there_and_back(trace, kind, value, stored):
    event = trace.event("event", before=rchan.u8, x=kind, after=rchan.string)
    assert event(1, value, "end") is True
    assert values(trace) == [{"before": 1, "x": stored, "after": "end"}]


BAD = [
    (rchan.u8, "1", TypeError, "x must be an int, not str"),
    (rchan.u64, 1.0, TypeError, "x must be an int, not float"),
    (rchan.i32, None, TypeError, "x must be an int, not NoneType"),
    (rchan.f64, "1", TypeError, "x must be a float, not str"),
    (rchan.bool, 1, TypeError, "x must be a bool, not int"),
    (rchan.string, b"x", TypeError, "x must be a str, not bytes"),
    (rchan.text, 5, TypeError, "x must be a str, not int"),
    (rchan.bytes, "x", TypeError, "x must be bytes-like, not str"),
    (rchan.string, "a\0b", ValueError, "x contains a NUL"),
    (rchan.string, "a\ud800", ValueError, "x contains a surrogate"),
    (rchan.bytes, bytes(65536), ValueError, "x is longer than 65535 bytes"),
    (rchan.enum(Color), 3, ValueError, "x is no member of its enum: 3"),
    (rchan.enum(Color), [], TypeError, "x must be a member of its enum"),
    (rchan.array(rchan.u8), 5, TypeError, "x must be a sequence, not int"),
    (rchan.array(rchan.string), "abc", TypeError, "x must be a sequence, not str"),
    (rchan.array(rchan.u8), [1, "2"], TypeError, r"x\[1\] must be an int, not str"),
    (rchan.array(rchan.u8), [256], ValueError, "x is out of range"),
    (rchan.array(rchan.u8, 2), [1], ValueError, "x must have 2 elements, not 1"),
    (rchan.array(rchan.u8), bytes(65536), ValueError, "x has 65536 elements"),
]


@pytest.mark.parametrize(("kind", "value", "error", "match"), BAD)
def test_what_is_refused_is_not_written(trace, kind, value, error, match):
    event = trace.event("event", before=rchan.string, x=kind)
    with pytest.raises(error, match=match) as raised:
        event("before", value)
    assert isinstance(raised.value, rchan.RchanError)
    assert values(trace) == []
    assert trace.channel.stats().total.attempted.records == 0


class Index:
    """Stands for an integer, as numpy.int64 does, and is none."""

    def __index__(self):
        return 7


class Real:
    """Stands for a real number, as numpy.float32 does, and is none."""

    def __float__(self):
        return 0.25


def test_scalars_of_array_libraries(trace):
    """By the protocols that they have; ctypes has memory of a truth value, as numpy.bool_ does."""
    numbers = {"i": rchan.i16, "u": rchan.u64, "f": rchan.f32, "d": float}
    event = trace.event("event", b=bool, **numbers, many=rchan.array(bool))
    true, false = ctypes.c_bool(True), ctypes.c_bool(False)
    assert event(true, Index(), Index(), Real(), Index(), [true, False])
    assert event(b=false, i=Index(), u=Index(), f=Real(), d=Real(), many=())
    first = {"b": 1, "i": 7, "u": 7, "f": 0.25, "d": 7.0, "many": [1, 0]}
    assert values(trace) == [first, first | {"b": 0, "d": 0.25, "many": []}]
    for wrong in (ctypes.c_byte(1), (ctypes.c_bool * 1)(True), Index()):
        with pytest.raises(rchan.WrongType, match="b must be a bool"):
            event(wrong, 1, 1, 1, 1, [])
    with pytest.raises(rchan.WrongType, match="i must be an int, not Real"):
        event(True, Real(), 1, 1, 1, [])
    with trace.span("work", b=true, i=Index(), f=Real()):
        pass
    kinds = dict(trace.schemas.by_name("work:begin").fields)
    assert [str(kinds[name]) for name in "bif"] == ["bool", "i64", "f64"]


def test_scalars_of_numpy(trace):
    numpy = pytest.importorskip("numpy")
    event = trace.event("event", b=bool, i=int, u=rchan.u64, f=float, s=str, a=rchan.array(bool))
    flags = numpy.array([True, False])
    most = numpy.uint64(2**64 - 1)
    assert event(flags[1], numpy.int8(-5), most, numpy.float16(0.5), numpy.str_("x"), flags)
    with trace.span("work", b=flags[0], n=numpy.int32(3), x=numpy.float32(0.5)):
        pass
    found = values(trace)[0]
    assert found == {"b": 0, "i": -5, "u": 2**64 - 1, "f": 0.5, "s": "x", "a": [1, 0]}
    with pytest.raises(rchan.WrongType, match="b must be a bool"):
        event(flags, 1, 1, 1, "", [])


def test_number_and_names_of_values(trace):
    event = trace.event("event", a=rchan.u8, b=rchan.u8)
    alone = trace.event("alone", a=rchan.u8)
    assert event(1, 2) and event(b=4, a=3) and event(5, b=6) and event(*[7], b=8)
    assert values(trace) == [{"a": a, "b": a + 1} for a in (1, 3, 5, 7)]
    for wrong, match in (
        (lambda: event(1), "takes 2 fields .a, b.: 'b' is missing"),
        (alone, "takes 1 field .a.: 'a' is missing"),
        (lambda: event(1, 2, 3), "3 were given"),
        (lambda: event(1, 2, c=3), "3 were given"),
        (lambda: event(1, c=3), "no field 'c'"),
        (lambda: event(1, a=3), "'a' is given twice"),
    ):
        with pytest.raises(rchan.WrongType, match=match):
            wrong()


def test_no_fields_and_the_fast_form(trace):
    nothing, one = trace.event("nothing"), trace.event("event", x=int)
    assert nothing() and nothing.emit() and one.emit(3)
    assert values(trace, "nothing") == [{}, {}]
    assert values(trace) == [{"x": 3}]
    assert (one.name, one.id) == ("event", 1)
    assert "event" in repr(one)


def test_who_and_when(trace):
    event = trace.event("event")
    before = _core.moment()[0]
    event()
    (found,) = snapshot(trace.channel)
    assert (found.pid, found.tid) == (os.getpid(), threading.get_native_id())
    assert found.cpu in os.sched_getaffinity(0)
    base = trace.channel._clock[1]
    if trace.channel._clock[0] == 2:
        assert before <= found.stamp + base <= _core.moment()[0]


def test_threads_have_their_own_id(trace):
    event = trace.event("event")
    ids = []

    def work():
        ids.append(threading.get_native_id())
        event()

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    event()
    assert [e.tid for e in snapshot(trace.channel)] == [*ids, threading.get_native_id()]


def test_a_forked_child_is_itself(trace):
    event = trace.event("event", x=int)
    event(1)

    def child():
        assert event(2)
        other = trace.event("other")  # registered in the child
        assert other()
        with trace.span("span", x=1):
            pass

    with forked(child):
        pass
    assert event(3)
    events = snapshot(trace.channel)
    assert [e.name for e in events] == [
        "event",
        "event",
        "other",
        "span:begin",
        "span:end",
        "event",
    ]
    assert events[1].pid == events[1].tid == events[4].pid != os.getpid()
    assert events[5].pid == os.getpid()


# ---- strings that are too long ----


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
@settings(max_examples=50)
def test_cut_strings_are_marked(tmp_path_factory, given):
    with rchan.Tracer("app", tmp_path_factory.mktemp("cut"), n_buffers=1) as trace:
        trace.event("event", x=rchan.string(20))(given)
        (found,) = values(trace)
    kept, encoded = found["x"], given.encode()
    if len(encoded) <= 20:
        assert kept == given
        return
    text, _, count = kept.rpartition("…[+")
    assert given.startswith(text) and len(kept.encode()) <= 20
    assert len(text.encode()) + int(count.rstrip("]")) == len(encoded)


def test_the_limit_of_a_string(channels):
    with rchan.Tracer("app", n_buffers=1, subbuf_size=4096) as trace:
        trace.event("event", x=str, y=rchan.text)("x" * 1024, "y" * 100_000)
        (found,) = values(trace)
    assert found["x"] == "x" * 1024
    assert found["y"] == "y" * 1008 + f"…[+{100_000 - 1008}]"


def test_an_event_that_is_too_big_is_dropped(channels):
    with rchan.Tracer("app", n_buffers=1, subbuf_size=4096) as trace:
        event = trace.event("event", x=rchan.bytes)
        assert event(bytes(5000)) is False
        assert event(bytes(100)) is True
        assert trace.channel.stats().total.dropped_too_big.records == 1


# ---- recursion ----


class Logs:
    """Its index writes an event of the same type."""

    def __init__(self, event):
        self.event = event

    def __index__(self):
        assert self.event(1, 2)
        return 5


def test_a_field_that_logs(trace):
    event = trace.event("event", x=rchan.u64, y=rchan.i8)
    assert event(Logs(event), Logs(event))
    assert values(trace) == [{"x": 1, "y": 2}, {"x": 1, "y": 2}, {"x": 5, "y": 5}]


def test_a_field_that_raises(trace):
    class Raises:
        def __index__(self):
            raise RuntimeError("mine")

    event = trace.event("event", x=rchan.u64, y=rchan.array(rchan.u8))
    with pytest.raises(RuntimeError, match="mine"):
        event(Raises(), [])
    with pytest.raises(RuntimeError, match="mine"):
        event(1, [Raises()])
    assert values(trace) == []


def test_a_list_that_changes_meanwhile(trace):
    event = trace.event("event", x=rchan.array(rchan.u8))
    given = [1, 2, 3]

    class Clears:
        def __index__(self):
            given.clear()
            return 9

    given[1] = Clears()
    assert event(given)
    assert values(trace) == [{"x": [1, 9, 3]}]


# ---- anything ----

SCALARS = st.sampled_from([*INTEGERS, "f64", "bool", "text", "bytes"])


def value_of(kind):
    if kind in INTEGERS:
        return st.integers(*INTEGERS[kind])
    return {
        "f64": st.floats(allow_nan=False),
        "bool": st.booleans(),
        "text": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        "bytes": st.binary(),
    }[kind]


def any_fields(kinds):
    return st.tuples(st.just(kinds), st.tuples(*map(value_of, kinds)))


@given(st.lists(SCALARS, max_size=6).flatmap(any_fields))
@settings(max_examples=60)
def test_any_values(tmp_path_factory, given):
    kinds, stored = given
    with rchan.Tracer("app", tmp_path_factory.mktemp("any"), n_buffers=1) as trace:
        fields = {f"f{i}": FieldType(kind) for i, kind in enumerate(kinds)}
        assert trace.event("event", **fields)(*stored)
        assert values(trace) == [dict(zip(fields, stored, strict=True))]


def test_memory_that_is_not_native(trace):
    swapped = memoryview(struct.pack(">2H", 1, 2)).cast("B")
    event = trace.event("event", x=rchan.array(rchan.u16))
    assert event(swapped)  # as numbers, not as memory
    assert values(trace) == [{"x": [0, 1, 0, 2]}]
