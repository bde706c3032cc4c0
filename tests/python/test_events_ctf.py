"""Trace directories: babeltrace2 reads them as they are; what they say of time and of losses."""

import fcntl
import os
import re
import signal
import struct
import time

import ctf2_reader
import pytest
from event_decoder import HEADER, babeltrace2, babeltrace2_by_ctf2, snapshot, values
from event_values import EVERY, VALUES
from forking import forked, kill

import rchan
from rchan import _core, events
from rchan.events import Clock, Schemas, clock, ctf, packet, tsdl

LINE = re.compile(r"\[(\d+\.\d+)\] \(\+[\d.?]+\) (?:\S+ )?(.+?): \{ .*? \}, \{ .*? \}, \{(.*)\}")


def parsed(lines, warnings):
    """Time, name and fields (as babeltrace2 writes them) of all events, and its warnings."""
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), lines
    return [(float(m[1]), m[2], m[3].strip()) for m in found if m], warnings


def by_ctf1(directory):
    return parsed(*babeltrace2(directory, "--clock-seconds"))


def by_ctf2(directory):
    return parsed(*babeltrace2_by_ctf2(directory, "--clock-seconds"))


@pytest.fixture(params=[by_ctf1, by_ctf2])
def read(request):
    return request.param


@pytest.fixture(params=["monotonic", "counter"])
def any_clock(request):
    if request.param == "counter" and not clock.counter_trusted():
        pytest.skip("the kernel does not keep time by the CPU's counter here")
    return request.param


def test_every_type(trace, tmp_path):
    event = trace.event(
        'all "types" */ {\\}',
        event=rchan.u64,
        string=rchan.string,
        struct=rchan.f64,
        e=rchan.enum(rchan.i8, MINUS=-1, two=2),
        b=rchan.bytes,
        a=rchan.array(rchan.u16),
        f=rchan.array(rchan.i32, 2),
        t=rchan.bool,
        s=rchan.array(str),
    )
    event(2**64 - 1, 'ä"b\\', 0.5, -1, b"\1\2", [7], [-1, 1], True, ["x", ""])
    found, warnings = by_ctf1(ctf.write_trace(trace.channel, tmp_path))
    assert warnings == ""
    assert [name for _, name, _ in found] == ['all "types" */ {\\}']
    assert found[0][2] == (
        'event = 18446744073709551615, string = "ä\\"b\\\\", struct = 0.5, '
        'e = ( "MINUS" : container = -1 ), _b_length = 2, b = [ [0] = 1, [1] = 2 ], '
        "_a_length = 1, a = [ [0] = 7 ], f = [ [0] = -1, [1] = 1 ], "
        't = ( "true" : container = 1 ), _s_length = 2, s = [ [0] = "x", [1] = "" ]'
    )


def test_every_type_by_ctf_2(trace, tmp_path):
    labels = {"": 0, "A": 1, "B": 1, 'a "b"\\\n/*': 2, "ÄÖ": 200}
    event = trace.event(
        'all "types" */ {\\}',
        **EVERY,
        label=rchan.array(rchan.enum(rchan.u8, **labels)),
        least=rchan.enum(rchan.i64, least=-(2**63)),
        most=rchan.enum(rchan.u64, most=2**64 - 1),
        unnamed=rchan.enum(rchan.u8, **{"": 1}),
    )
    event(*VALUES, list(labels.values()), -(2**63), 2**64 - 1, 1)
    trace.event("nothing")()
    found, warnings = by_ctf2(ctf.write_trace(trace.channel, tmp_path, with_ctf2=True))
    assert warnings == ""
    assert [name for _, name, _ in found] == ['all "types" */ {\\}', "nothing"]
    text = re.sub(r'\{ "B", "A" \}', '{ "A", "B" }', found[0][2])  # in any order
    assert text == (
        "u8 = 255, u16 = 65535, u32 = 4294967295, u64 = 18446744073709551615, "
        "i8 = -128, i16 = -32768, i32 = -2147483648, i64 = -9223372036854775808, "
        'f = 0.5, d = 1e+300, b = true, s = "äß€𝄞", t = "x\\\\x00y", y_length = 2, y = { 00 ff }, '
        'e = ( "GREEN" : container = 200 ), fixed = [ [0] = -1, [1] = 1 ], '
        "many_length = 2, many = [ [0] = 18446744073709551615, [1] = 0 ], "
        'names_length = 2, names = [ [0] = "", [1] = "é" ], '
        "flags_length = 3, flags = [ [0] = true, [1] = false, [2] = true ], "
        'colours_length = 2, colours = [ [0] = ( "RED" : container = 1 ), '
        '[1] = ( "GREEN" : container = 200 ) ], none = [ ], '
        "label_length = 5, label = [ [0] = ( <unknown> : container = 0 ), "
        '[1] = ( { "A", "B" } : container = 1 ), [2] = ( { "A", "B" } : container = 1 ), '
        '[3] = ( "a \\"b\\"\\\\\\n/*" : container = 2 ), [4] = ( "ÄÖ" : container = 200 ) ], '
        'least = ( "least" : container = -9223372036854775808 ), '
        'most = ( "most" : container = 18446744073709551615 ), '
        "unnamed = 1"
    )


def test_time_is_the_time_of_day(channels, tmp_path, any_clock, read):
    with rchan.Tracer("app", n_buffers=1, clock=any_clock) as trace:
        event = trace.event("event", x=int)
        before = time.time()
        for i in range(100):
            event(i)
        after = time.time()
        directory = ctf.write_trace(trace.channel, tmp_path, with_ctf2=True)
    found, _ = read(directory)
    times = [when for when, _, _ in found]
    assert times == sorted(times)
    assert before - 0.001 <= times[0] <= times[-1] <= after + 0.001
    assert [fields for _, _, fields in found] == [f"x = {i}" for i in range(100)]


def test_who_wrote_it(trace, tmp_path):
    trace.event("event")()
    lines, _ = babeltrace2(ctf.write_trace(trace.channel, tmp_path))
    assert f"pid = {os.getpid()}, tid = " in lines[0]


def test_many_packets_of_several_buffers(four_cpus, channels, tmp_path, read):
    with rchan.Tracer("app", n_buffers=4, subbuf_size=4096, n_subbufs=64) as trace:
        for cpu in range(4):
            trace.channel.prepare_cpu(cpu)
        event = trace.event("event", x=int)
        mask = os.sched_getaffinity(0)
        for cpu in sorted(mask):
            os.sched_setaffinity(0, {cpu})
            for i in range(500):
                assert event(i)
        os.sched_setaffinity(0, mask)
        directory = ctf.write_trace(trace.channel, tmp_path, with_ctf2=True)
        streams = [path for path in directory.iterdir() if path.name.startswith("stream_")]
        assert len(streams) == 4  # empty ones, too
    found, warnings = read(directory)
    assert len(found) == 500 * len(mask)
    assert warnings == ""


# ---- losses ----


def lossy(**options):
    return rchan.Tracer("app", n_buffers=1, subbuf_size=256, n_subbufs=2, **options)


def test_dropped_events(channels, tmp_path, read):
    with lossy() as trace:
        event = trace.event("event", x=int)
        written = sum(event(i) for i in range(20))
        taken = list(trace.channel.tap(timeout=0))
        trace.channel.subbufs_consumed(0, 2)
        written += event(99)
        trace.flush()
        taken += list(trace.channel.tap(timeout=0))
        directory = ctf.write_trace(trace.channel, tmp_path, taken, with_ctf2=True)
    found, warnings = read(directory)
    assert len(found) == written < 21
    assert f"discarded {21 - written} events" in warnings


def test_dropped_after_the_last_packet(channels, tmp_path, read):
    with lossy() as trace:
        event = trace.event("event", x=int)
        written = sum(event(i) for i in range(20))
        assert trace.channel.buffers[0].full
        found, warnings = read(ctf.write_trace(trace.channel, tmp_path, with_ctf2=True))
    assert len(found) == written
    assert f"discarded {20 - written} events" in warnings


def test_overwritten_packets(channels, tmp_path, read):
    with lossy(overwrite=True) as trace:
        event = trace.event("event", x=int)
        for i in range(12):
            event(i)
        early = list(trace.channel.tap(start="oldest", timeout=0))
        for i in range(50):
            event(i)
        late = list(trace.channel.snapshot())
        gap = late[0].seq - early[-1].seq - 1
        assert gap > 1
        _, warnings = read(ctf.write_trace(trace.channel, tmp_path, early + late, with_ctf2=True))
    assert f"discarded {gap} packets" in warnings


def test_a_reset_is_a_gap(channels, tmp_path, read):
    with lossy() as trace:
        event = trace.event("event", x=int)
        event(1)
        before = list(trace.channel.snapshot())
        event(2)
        trace.flush()
        event(3)
        trace.channel.reset()
        event(4)
        after = list(trace.channel.snapshot())
        found, warnings = read(
            ctf.write_trace(trace.channel, tmp_path, before + after, with_ctf2=True)
        )
    assert [fields for _, _, fields in found] == ["x = 1", "x = 4"]
    assert "discarded 1 packet" in warnings


# ---- packets that nobody finished ----


def test_a_killed_writer(channels, tmp_path, read):
    with lossy(overwrite=True) as trace:
        event = trace.event("event", x=int)

        def child():
            for i in range(7):
                event(i)

        with forked(child) as pid:
            kill(pid)
        found, _ = read(ctf.write_trace(trace.channel, tmp_path, with_ctf2=True))
        assert [fields for _, _, fields in found] == [f"x = {i}" for i in range(7)][-len(found) :]
        assert len(found) >= 5
        assert event(8)


def test_killed_while_it_finished(trace):
    """The header says more than is true: the length counts."""
    event = trace.event("event", x=int)
    event(1)
    (copy,) = trace.channel.snapshot()
    broken = bytearray(copy.data)
    broken[40:48] = (8 * 250_000).to_bytes(8, "little")
    broken[32:40] = (0).to_bytes(8, "little")
    whole = packet.complete(bytes(broken), records=1, timestamp_end=2**60, finished=False)
    header = packet.PacketHeader.parse(whole)
    assert header.content_size == header.packet_size == len(copy.data)
    assert (header.timestamp_end, header.events) == (2**60, 1)


def test_what_is_no_packet():
    good = HEADER.pack(0xC1FC1FC1, 0, bytes(16), 1, 2, 800, 2048, 0, 0, 0, 0, 0)
    assert packet.PacketHeader.parse(good).content_size == 100
    assert packet.PacketHeader.parse(good).pack() == good
    for damaged, match in (
        (good[:50], "88 bytes at least"),
        (bytes(100), "not begin like"),
        (good[3::-1] + good[4:], "other byte order"),
        (good[:40] + (8 * 3).to_bytes(8, "little") + good[48:], "cannot be"),
        (good[:40] + (2**40).to_bytes(8, "little") + good[48:], "smaller than its content"),
        (good[:24] + (9).to_bytes(8, "little") + good[32:], "before it begins"),
    ):
        with pytest.raises(rchan.DamagedPacket, match=match):
            packet.PacketHeader.parse(damaged)
    with pytest.raises(rchan.DamagedPacket, match="its sub-buffer 200"):
        packet.complete(good + bytes(112), records=0)


# ---- metadata ----


def test_metadata_says_what_it_was_made_from(trace):
    trace.event("a */ b", x=rchan.text, y=rchan.array(rchan.enum(rchan.u8, A=1), 3))
    with trace.span("s", z=1):
        pass
    text = ctf.metadata(trace.channel)
    assert text.startswith("/* CTF 1.8 */\n")
    schemas, when = tsdl.from_text(text)
    assert list(schemas.values()) == list(trace.schemas.values())
    now = Clock.of_channel(trace.channel)
    assert (when.kind, when.anchor, when.uuid) == (now.kind, now.anchor, now.uuid)
    for damaged in ("", text[:200], text.replace('"tsc"', '"x"').replace('"monotonic"', '"x"')):
        with pytest.raises(rchan.CorruptChannel):
            tsdl.from_text(damaged)


def test_ctf_2_beside_it(trace, tmp_path):
    """A reader that goes by the CTF 2 metadata alone finds what was written."""
    every = trace.event("every", **EVERY)
    labels = rchan.enum(rchan.u8, A=1, B=1, ÄÖ=7)
    odd = trace.event('odd "name"', x=rchan.bytes, y=rchan.array(labels), z=labels)
    for _ in range(50):
        every(*VALUES)
        odd(b"\0\xff", ["A", 7], "B")
    with trace.span("work", file="a.py"):
        pass
    directory = ctf.write_trace(trace.channel, tmp_path, with_ctf2=True)
    metadata = ctf2_reader.Metadata.parse((directory / ".metadata.ctf2").read_bytes())
    (stream,) = directory.glob("stream_*")
    found = ctf2_reader.events(metadata, stream.read_bytes())
    expected = list(events.read(directory))
    assert len(found) == len(expected) == 102
    for (name, time_ns, context, payload), event in zip(found, expected, strict=True):
        assert (name, context) == (
            event.name,
            {n: getattr(event, n) for n in ("cpu", "pid", "tid")},
        )
        assert abs(time_ns - event.time_ns) < 1000
        lengths = {n for n in payload if n.endswith("_length")}
        assert {n: v for n, v in payload.items() if n not in lengths} == event.fields
    assert len(by_ctf1(directory)[0]) == 102  # and CTF 1.8 is as it was


def test_a_trace_is_not_written_over(trace, tmp_path):
    ctf.write_trace(trace.channel, tmp_path)
    with pytest.raises(rchan.ChannelExists, match="holds a trace"):
        ctf.write_trace(trace.channel, tmp_path)
    with rchan.create("plain", n_buffers=1) as plain, pytest.raises(rchan.WrongChannel):
        ctf.write_trace(plain, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_clock(channels, any_clock):
    with rchan.Tracer("app", n_buffers=1, clock=any_clock) as trace:
        _, *before = _core.moment()
        trace.event("event")()
        _, *after = _core.moment()
        (event,) = snapshot(trace.channel)
        found = Clock.of_channel(trace.channel)
    when = found.monotonic_ns(event.stamp), found.realtime_ns(event.stamp)
    for earliest, time_ns, latest in zip(before, when, after, strict=True):
        assert earliest - 1_000_000 <= time_ns <= latest + 1_000_000
    assert abs(found.stamp_of_realtime(found.realtime_ns(event.stamp)) - event.stamp) < 10
    assert found.same_boot


def test_a_channel_from_before_the_boot(channels):
    with rchan.Tracer("app", n_buffers=1) as trace:
        trace.event("event", x=int)(5)
        uuid = trace.channel._clock[6]
    control = bytearray((channels / "app.chan").read_bytes())
    at = control.index(uuid) + 16
    control[at] ^= 1  # another boot's id
    with (channels / "app.chan").open("r+b") as file:
        file.seek(at)
        file.write(control[at : at + 1])
    with pytest.raises(rchan.IncompatibleChannel, match="started anew"):
        rchan.Tracer("app")
    with rchan.open("app") as old:  # it can be read
        assert not Clock.of_channel(old).same_boot
        assert len(Schemas.of_channel(old)) == 1
        assert [event.fields for event in snapshot(old)] == [{"x": 5}]


def test_a_stopped_registration_is_waited_for_and_then_named(trace):
    """Another process holds the lock of the list of event types, and is stopped."""

    def hold():
        fd = os.open(trace.channel.path, os.O_RDWR)
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, (1 << 40) - 3, 1, 0)
        fcntl.fcntl(fd, 37, lock)  # F_OFD_SETLK

    with forked(hold) as pid:
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(rchan.ChannelBusy, match="list of event types"):
            trace.event("event")
        kill(pid)
    assert trace.event("event")()
    assert values(trace) == [{}]


def test_a_clock_that_stands_still(trace, channels):
    control = (channels / "app.chan").read_bytes()
    at = control.index(trace.channel._clock[6]) - 32
    with (channels / "app.chan").open("r+b") as file:
        file.seek(at)
        file.write(bytes(8))
    with pytest.raises(rchan.CorruptChannel, match="stands still"):
        ctf.metadata(trace.channel)


def test_a_frequency_that_cannot_be_measured_is_not_believed(channels):
    """The machine was suspended: one of the clocks stood meanwhile."""
    if not clock.counter_trusted():
        pytest.skip("the kernel does not keep time by the CPU's counter here")
    with rchan.Tracer("app", n_buffers=1) as trace:
        control = (channels / "app.chan").read_bytes()
        at = control.index(trace.channel._clock[6]) - 16  # the anchor's CLOCK_MONOTONIC
        there = int.from_bytes(control[at : at + 8], "little")
        assert there == trace.channel._clock[4]
        with (channels / "app.chan").open("r+b") as file:
            file.seek(at)
            file.write((there - 10**12).to_bytes(8, "little"))
        assert Clock.of_channel(trace.channel).frequency == trace.channel._clock[2]


def test_a_counter_that_the_kernel_does_not_trust(channels, monkeypatch, tmp_path):
    source = tmp_path / "current_clocksource"
    monkeypatch.setattr(clock, "_CLOCKSOURCE", source)
    for text in (None, "hpet\n", "kvm-clock\n"):
        if text is not None:
            source.write_text(text)
        with pytest.raises(rchan.Unsupported, match="clock='auto'"):
            rchan.Tracer("other", clock="counter")
    with rchan.Tracer("app", n_buffers=1) as trace:
        assert Clock.of_channel(trace.channel).kind == "monotonic"
        before = time.monotonic_ns()
        assert trace.event("event")()
        (event,) = snapshot(trace.channel)
        assert before <= event.stamp <= time.monotonic_ns()


def test_readers_are_told_of_events_as_the_channel_says(channels):
    with rchan.Tracer("app", n_buffers=1) as trace:
        event = trace.event("event", x=int)
        trace.channel.wakeup = ("records", 2)
        with rchan.RelayFile(trace.channel.buffers[0]) as file:
            event(1)
            assert not file.poll(0)
            event(2)
            assert file.poll(0)
