"""Event types: shared, in conflict, impossible, damaged; and the channels that hold them."""

import enum
import gc
import pickle
import weakref

import pytest
from event_decoder import event_types, values

import rchan


class Color(enum.Enum):
    RED = 1
    GREEN = 2
    LIME = 2  # noqa: PIE796 - an alias


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


def test_a_channel_that_was_handed_over_stays_open(trace):
    with rchan.open("app") as channel:
        with rchan.Tracer(channel) as other:
            event = other.event("event", x=int)
        assert event(1) and not channel.closed
    assert values(trace) == [{"x": 1}]
