"""Spans: two events around a block."""

from contextlib import ExitStack

import pytest
from event_decoder import event_types, snapshot, values

import rchan


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
        trace.span("other", x=None)
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
    for wrong in (trace.span, lambda: trace.span(5), lambda: trace.span("a", 5)):
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


def test_spans_in_an_exit_stack(trace):
    with ExitStack() as stack:
        one = stack.enter_context(trace.span("one"))
        stack.enter_context(trace.span("two"))
        assert one.active
    assert not one.active
    assert type(one).__exit__ is type(one).__dict__["__exit__"]
    with pytest.raises(rchan.WrongType, match="with block"):
        one(1)
    with pytest.raises(rchan.WrongType, match="with block"):
        one(x=1)
    with pytest.raises(TypeError):
        type(one).__enter__()
    names = [event.name for event in snapshot(trace.channel)]
    assert names == ["one:begin", "two:begin", "two:end", "one:end"]


def test_a_value_that_makes_spans_itself(trace):
    """They take this one's place in the cache of uses, with fields in order or not in order."""

    class Number:
        def __init__(self, names):
            self.names = names

        def __index__(self):
            for number in range(400):
                trace.span(f"other{number % 40}", **dict.fromkeys(self.names, number))
            return 7

    with trace.span("parse", a=1, b=2, c=3):
        pass
    for number in range(40):
        trace.span(f"other{number}", x=1, y=2)
    with trace.span("parse", c=Number("xy"), b=5, a=4):
        pass
    with trace.span("parse", a=Number("yx"), b=5, c=4):
        pass
    assert [[found[name] for name in "abc"] for found in values(trace, "parse:begin")] == [
        [1, 2, 3],
        [4, 5, 7],
        [7, 5, 4],
    ]
