"""Typed events: every type there and back, what is refused, spans, forks and threads."""

import array
import enum
import gc
import math
import os
import pickle
import struct
import threading
import weakref

import pytest
from event_decoder import event_types, snapshot
from forking import forked
from hypothesis import given, settings
from hypothesis import strategies as st

import rchan
from rchan import _core
from rchan.events.types import FieldType


class Color(enum.Enum):
    RED = 1
    GREEN = 2
    LIME = 2


class Big(enum.IntEnum):
    LOW = -1
    HIGH = 40_000


@pytest.fixture
def trace(channels):
    with rchan.Tracer("app", n_buffers=1, overwrite=True) as tracer:
        yield tracer


def values(trace, name="event"):
    return [event.fields for event in snapshot(trace.channel) if event.name == name]


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


def test_number_and_names_of_values(trace):
    event = trace.event("event", a=rchan.u8, b=rchan.u8)
    assert event(1, 2) and event(b=4, a=3) and event(5, b=6) and event(*[7], b=8)
    assert values(trace) == [{"a": a, "b": a + 1} for a in (1, 3, 5, 7)]
    for wrong, match in (
        (lambda: event(1), "takes 2 fields .a, b.: 'b' is missing"),
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
@settings(max_examples=50, deadline=None)
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


# ---- schemas ----


def test_the_same_is_shared(trace):
    one = trace.event("event", x=rchan.u8, y=Color)
    with rchan.Tracer("app") as other:
        two = other.event("event", x=rchan.u8, y=rchan.enum(rchan.u8, RED=1, GREEN=2, LIME=2))
        assert one.id == two.id
        assert other.event("next").id == 1
    assert trace.event("next").id == 1
    assert [schema.name for schema in trace.schemas.values()] == ["event", "next"]
    assert len(event_types(trace.channel)) == 2


def test_a_conflict_says_what_there_is(trace):
    trace.event("event", x=rchan.u8)
    with rchan.Tracer("app") as other:
        for fields in ({}, {"x": rchan.u16}, {"y": rchan.u8}, {"x": rchan.u8, "y": rchan.u8}):
            with pytest.raises(rchan.SchemaConflict, match=r"event\(x: u8\).*asked for"):
                other.event("event", **fields)


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb", "a\0", "\ud800", "ü" * 128])
def test_names_that_no_event_has(trace, name):
    with pytest.raises(rchan.SchemaError, match="event name"):
        trace.event(name)


@pytest.mark.parametrize("name", ["_x", "a-b", "1a", "ü", "", "x" * 256])
def test_names_that_no_field_has(trace, name):
    with pytest.raises(rchan.SchemaError, match="field name"):
        trace.event("event", **{name: int})


def test_fields_that_cannot_be(trace):
    with pytest.raises(rchan.SchemaError, match="255 is the most"):
        trace.event("event", **{f"f{i}": int for i in range(256)})
    with pytest.raises(rchan.SchemaError, match="x_length"):
        trace.event("event", x=bytes, x_length=int)
    for wrong in (3, None, list, "u8", complex):
        with pytest.raises(rchan.WrongType, match="no type of a field"):
            trace.event("event", x=wrong)
    with pytest.raises(rchan.WrongType, match="name must be a str"):
        trace.event(5)
    assert trace.event("event", **{f"f{i}": int for i in range(255)})(*range(255))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: rchan.string(15), rchan.FieldError),
        (lambda: rchan.string(65536), rchan.FieldError),
        (lambda: rchan.string("x"), rchan.WrongType),
        (lambda: rchan.u8(20), rchan.WrongType),
        (lambda: rchan.enum(rchan.u8), rchan.FieldError),
        (lambda: rchan.enum(rchan.u8, A=256), rchan.FieldError),
        (lambda: rchan.enum(rchan.u8, A="x"), rchan.WrongType),
        (lambda: rchan.enum(rchan.f64, A=1), rchan.WrongType),
        (lambda: rchan.enum(enum.Enum("E", {"A": 2**64})), rchan.FieldError),
        (lambda: rchan.enum(enum.Enum("E", {"A": -1, "B": 2**63})), rchan.FieldError),
        (lambda: rchan.enum(enum.Enum("E", {"A": "x"})), rchan.WrongType),
        (lambda: rchan.array(rchan.array(int)), rchan.WrongType),
        (lambda: rchan.array(bytes), rchan.WrongType),
        (lambda: rchan.array(int, -1), rchan.FieldError),
        (lambda: rchan.array(int, 1.5), rchan.WrongType),
    ],
)
def test_types_that_cannot_be(make, error):
    with pytest.raises(error):
        make()


def test_more_event_types_than_ids(trace):
    lines = ['{"rchan":"events","version":1}\n']
    lines += [f'{{"id":{i},"name":"e{i}","fields":[]}}\n' for i in range(65535)]
    assert trace.channel._append_metadata(0, "".join(lines).encode())
    assert trace.event("e65534").id == 65534
    assert trace.event("e65534")()
    with pytest.raises(rchan.SchemaError, match="65535 is the most"):
        trace.event("one more")


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b'{"id":5,"name":"x","fields":[]}\n',
        b'{"id":0,"fields":[]}\n',
        b'{"id":0,"name":"x","fields":[["a","u9"]]}\n',
        b'{"id":0,"name":"x","fields":[["a",{"enum":"u8"}]]}\n',
        b'{"id":0,"name":"x","fields":[["a",{"array":"bytes"}]]}\n',
        b"[]\n",
        b'{"id":0,"name":"x","fields":[]}',
    ],
)
def test_a_damaged_list_of_types(trace, line):
    assert trace.channel._append_metadata(0, b'{"rchan":"events","version":1}\n' + line)
    with pytest.raises(rchan.CorruptChannel, match="list of event types"):
        trace.event("event")


def test_a_list_of_types_of_another_version(trace):
    assert trace.channel._append_metadata(0, b'{"rchan":"events","version":2}\n')
    with pytest.raises(rchan.CorruptChannel, match="version 2"):
        trace.event("event")


# ---- the channel ----


def test_plain_channels_and_events_do_not_mix(channels):
    with rchan.create("plain", subbuf_size=4096, n_buffers=1) as plain:
        with pytest.raises(rchan.WrongChannel, match="plain records"):
            rchan.Tracer("plain")
        with pytest.raises(rchan.WrongChannel):
            rchan.Tracer(plain)
    with rchan.Tracer("events", n_buffers=1) as trace:
        channel = trace.channel
        for write in (channel.write, channel.write_and_wake):
            with pytest.raises(rchan.WrongChannel, match="Tracer"):
                write(b"x")
        with pytest.raises(rchan.WrongChannel, match="Tracer"):
            channel.reserve(4)
        with pytest.raises(rchan.WrongChannel, match="Tracer"):
            rchan.create("events", n_buffers=1, exist_ok=True)
        channel.wakeup = "write"
        assert channel.wakeup == "write"
        assert trace.event("event")()
        with pytest.raises(rchan.WrongChannel):
            channel.write(b"x")


def test_joining_takes_what_is_there(channels):
    with rchan.Tracer("app", subbuf_size=4096, n_subbufs=3, n_buffers=1):
        with rchan.Tracer("app") as other, rchan.Tracer("app", subbuf_size=4096):
            assert other.channel.n_subbufs == 3
        with pytest.raises(rchan.GeometryError, match="n_subbufs=3; asked for was 8"):
            rchan.Tracer("app", n_subbufs=8)
    with pytest.raises(rchan.GeometryError, match="events need at least"):
        rchan.Tracer("small", subbuf_size=255)
    with pytest.raises(rchan.WrongType, match="clock"):
        rchan.Tracer("app", clock="sundial")


def test_it_stays_after_close(channels):
    with rchan.Tracer("app", n_buffers=1) as trace:
        event = trace.event("event", x=int)
        event(1)
    with pytest.raises(rchan.ChannelClosed):
        event(2)
    with pytest.raises(rchan.ChannelClosed):
        trace.event("more")
    with rchan.Tracer("app") as again:
        assert values(again) == [{"x": 1}]
    rchan.remove("app")
    assert list(channels.iterdir()) == []


def test_pickled_by_name(trace):
    event = trace.event("event", x=Color, y=rchan.string)
    other = pickle.loads(pickle.dumps(trace))
    again = pickle.loads(pickle.dumps(event))
    assert again.id == event.id
    assert again("RED", "y") and other.event("event", x=Color, y=str)(Color.GREEN, "z")
    assert values(trace) == [{"x": 1, "y": "y"}, {"x": 2, "y": "z"}]
    other.close()


def test_nothing_is_kept_alive(channels):
    trace = rchan.Tracer("app", n_buffers=1)
    event = trace.event("event", x=Color)
    with trace.span("span", x=1):
        event("RED")
    gone = weakref.ref(trace), weakref.ref(event)
    trace.close()
    del trace, event
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


# ---- spans ----


def test_a_span_is_two_events(trace):
    with trace.span("parse", file="a.py", n=3) as span:
        assert span.active
        with trace.span("inner"):
            pass
    begin, inner, inner_end, end = snapshot(trace.channel)
    assert begin.fields == {"span": span.id, "file": "a.py", "n": 3}
    assert end.fields == {"span": span.id, "failed": False}
    assert inner.fields["span"] == inner_end.fields["span"] != span.id
    assert [kind.get("span") for kind in event_types(trace.channel)] == ["begin", "end"] * 2


def test_a_span_that_fails(trace):
    with pytest.raises(KeyError), trace.span("parse"):
        raise KeyError
    assert values(trace, "parse:end")[0]["failed"] is True


def test_types_of_a_span_are_those_of_its_first_values(trace):
    def parse(**fields):
        with trace.span("parse", **fields):
            pass

    parse(a=True, b=1, c=1.5, d="x\0", e=b"y", f=[1, 2])
    parse(f=[3], e=b"", d="", c=2, b=-1, a=False)
    kinds = event_types(trace.channel)[0]["fields"]
    assert dict(kinds[1:]) == {
        "a": "bool",
        "b": "i64",
        "c": "f64",
        "d": "text",
        "e": "bytes",
        "f": {"array": "i64"},
    }
    assert values(trace, "parse:begin")[1]["f"] == [3]
    with pytest.raises(rchan.WrongType, match=r"parse:begin\(\): b must be an int, not str"):
        parse(a=True, b="no", c=1.5, d="", e=b"", f=[])
    with pytest.raises(rchan.SchemaConflict):
        parse(a=True)
    with pytest.raises(rchan.WrongType, match=r"'other': x: .*convert it"):
        with trace.span("other", x=None):
            pass
    with pytest.raises(rchan.WrongType, match="span"):
        trace.span("third", span=1)
    assert len(values(trace, "parse:end")) == 2


def test_spans_used_wrongly(trace):
    span = trace.span("parse")
    with span, pytest.raises(rchan.SpanActive):
        span.__enter__()
    with pytest.raises(rchan.SpanActive):
        span.__exit__(None, None, None)
    first = span.id
    with span:
        assert span.id != first
    for wrong in (lambda: trace.span(), lambda: trace.span(5), lambda: trace.span("a", 5)):
        with pytest.raises(rchan.WrongType):
            wrong()


def test_a_span_without_a_begin_has_no_end(channels):
    with rchan.Tracer("app", n_buffers=1, subbuf_size=256, n_subbufs=2) as trace:
        event = trace.event("event", x=rchan.u64)
        with trace.span("parse"):
            pass
        while event(1):
            pass
        with trace.span("parse"):
            for sub in trace.channel.reader(timeout=0):
                del sub
        assert len(values(trace, "parse:end")) <= 1


def test_long_values_of_a_span(trace):
    for _ in range(2):
        with trace.span("parse", a="x" * 5000, b=b"y" * 6000):
            pass
    assert values(trace, "parse:begin")[1]["b"] == b"y" * 6000


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


@given(
    st.lists(SCALARS, max_size=6).flatmap(
        lambda ks: st.tuples(st.just(ks), st.tuples(*map(value_of, ks)))
    )
)
@settings(max_examples=60, deadline=None)
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
