"""Damaged traces: what is damaged is skipped and counted, the rest is read, nothing crashes."""

import struct

import pytest
from event_decoder import HEADER
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rchan
from rchan import events
from rchan.events import ctf

EVENTS, PER_PACKET = 40, 4
EVENT_SIZE = 20 + 4 + 8
SIZE = HEADER.size + PER_PACKET * EVENT_SIZE


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A trace of ten packets with four events each: its files' bytes."""
    where = tmp_path_factory.mktemp("trace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RCHAN_DIR", str(tmp_path_factory.mktemp("channels")))
        with rchan.Tracer("app", n_buffers=1, subbuf_size=256, n_subbufs=64) as trace:
            event = trace.event("event", number=rchan.u32, text=rchan.string)
            for i in range(EVENTS):
                event(i, "abcdefg")
                if i % PER_PACKET == PER_PACKET - 1:
                    trace.flush()
            ctf.write_trace(trace.channel, where, list(trace.channel.tap(timeout=0)))
        rchan.remove("app")
    stream = (where / "stream_0").read_bytes()
    assert len(stream) == SIZE * EVENTS // PER_PACKET
    return (where / "metadata").read_text(), stream


@pytest.fixture
def read_again(pristine, tmp_path):
    """Read the trace with another stream file: the numbers of its events, and the report."""

    def read(stream):
        (tmp_path / "metadata").write_text(pristine[0])
        (tmp_path / "stream_0").write_bytes(stream)
        with events.read(tmp_path) as reading:
            found = [event.fields["number"] for event in reading]
        with events.read(tmp_path) as again:
            for table in again.tables().values():
                table.validate(full=True)
                assert table["number"].to_pylist() == found
            assert again.report == reading.report
        return found, reading.report

    return read


def changed(stream, packet, offset, format, value):
    data = bytearray(stream)
    struct.pack_into(format, data, packet * SIZE + offset, value)
    return bytes(data)


def without(packet, first=0):
    """All numbers but those of a packet, from its event `first` on."""
    gone = range(packet * PER_PACKET + first, (packet + 1) * PER_PACKET)
    return [i for i in range(EVENTS) if i not in gone]


BEGIN, END, CONTENT, PACKET, COUNT = 24, 32, 40, 48, 84
SECOND = HEADER.size + EVENT_SIZE
ROWS = [
    ("magic", 0, "=I", 0x12345678, 0, {"magic": 1}),
    ("byte order", 0, "=I", 0xC11FFCC1, 0, {"byte_order": 1}),
    ("stream id", 4, "=I", 7, 0, {"magic": 1}),
    ("uuid", 8, "=Q", 1, 0, {"other_trace": 1}),
    ("content below the header", CONTENT, "=Q", 80, 0, {"size": 1}),
    ("content of odd bits", CONTENT, "=Q", SIZE * 8 - 1, 0, {"size": 1}),
    ("content above the packet", CONTENT, "=Q", 2**60, 0, {"size": 1}),
    ("packet of odd bits", PACKET, "=Q", SIZE * 8 + 1, 0, {"size": 1}),
    ("packet of nothing", PACKET, "=Q", 0, 0, {"size": 1}),
    ("packet over the end", PACKET, "=Q", 2**40, 4, {"size": 1}),
    ("end before begin", END, "=Q", 0, 0, {"time": 1}),
    ("count", COUNT, "=I", 9, 4, {"count": 1}),
    ("unknown id", SECOND, "=H", 1, 1, {"unknown_id": 1}),
    ("no end of a string", SECOND + EVENT_SIZE - 8, "=8s", b"x" * 8, None, None),
    ("stamp too early", SECOND + 2, "=Q", 1, None, {"stamp": 1}),
    ("stamp too late", SECOND + 2, "=Q", 2**63, None, {"stamp": 1}),
]


@pytest.mark.parametrize(("name", "offset", "format", "value", "kept", "damage"), ROWS)
def test_one_damaged_word(pristine, read_again, name, offset, format, value, kept, damage):
    found, report = read_again(changed(pristine[1], 3, offset, format, value))
    if kept is not None:
        assert found == without(3, kept)
        assert report.skipped_events in (0, PER_PACKET - kept)
    if name.startswith("stamp"):
        assert found == [i for i in range(EVENTS) if i != 13]
        assert (report.skipped_events, report.skipped_bytes) == (1, EVENT_SIZE)
    if damage is not None:
        assert report.damage == damage
    assert report.damage
    assert report.lines()


def test_nothing_is_wrong(pristine, read_again):
    found, report = read_again(pristine[1])
    assert found == list(range(EVENTS))
    assert (report.packets, report.events, report.lines()) == (10, EVENTS, [])


@pytest.mark.parametrize("length", [0, 1, 87, 88, 89, SIZE - 1, SIZE, SIZE + 50, 3 * SIZE - 10])
def test_cut_off(pristine, read_again, length):
    found, report = read_again(pristine[1][:length])
    whole, rest = divmod(length, SIZE)
    kept = max(0, rest - HEADER.size) // EVENT_SIZE
    assert found == list(range(whole * PER_PACKET + kept))
    assert report.damage == (
        {} if not rest else {"short" if rest < HEADER.size else "truncated": 1}
    )


def test_junk_between_packets(pristine, read_again):
    stream = pristine[1]
    junk = b"\0" * 3_000_000
    found, report = read_again(stream[: 2 * SIZE] + junk + stream[2 * SIZE :])
    assert found == list(range(EVENTS))
    assert report.damage == {"magic": 1}
    assert report.skipped_bytes == len(junk)


def test_a_packet_of_another_trace(pristine, read_again):
    stream = pristine[1]
    foreign = changed(stream, 0, 8, "=Q", 5)[:SIZE]
    found, report = read_again(stream[:SIZE] + foreign + stream[SIZE:])
    assert found == list(range(EVENTS))
    assert report.damage == {"other_trace": 1}


def test_a_missing_packet(pristine, read_again):
    stream = pristine[1]
    found, report = read_again(stream[:SIZE] + stream[3 * SIZE :])
    assert found == [*range(4), *range(12, EVENTS)]
    assert report.missing_packets == 2


def test_strings_that_are_not_utf_8(pristine, read_again, tmp_path):
    for bad in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"):
        at = SECOND + 24
        _, report = read_again(changed(pristine[1], 3, at, f"={len(bad)}s", bad))
        assert report.damage == {"text": 1}
        text = [event.fields["text"] for event in events.read(tmp_path)][13]
        assert text == (bad + b"abcdefg"[len(bad) :]).decode(errors="replace")


def test_a_directory_of_anything(pristine, tmp_path):
    (tmp_path / "metadata").write_text(pristine[0])
    (tmp_path / "empty").touch()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "folder").mkdir()
    (tmp_path / "stream_0").write_bytes(pristine[1])
    reading = events.read(tmp_path)
    assert len(list(reading)) == EVENTS
    assert reading.report.damage == {"short": 1}


MUTATION = st.tuples(st.integers(0, SIZE * 10 - 1), st.integers(0, 255))
QUICK = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUICK
@given(st.lists(MUTATION, max_size=12), st.integers(0, SIZE * 10))
def test_mutated_files(pristine, read_again, mutations, length):
    data = bytearray(pristine[1])
    for at, value in mutations:
        data[at] = value
    found, report = read_again(bytes(data[:length]) if length else bytes(data))
    assert len(found) <= report.events
    assert report.events <= EVENTS + report.skipped_bytes


@QUICK
@given(st.data())
def test_mutated_metadata(pristine, tmp_path, data):
    """It is read with what it says, or it is a CorruptChannel."""
    text = bytearray(pristine[0].encode())
    ours = text.index(b"/* rchan")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(ours, len(text) - 1))
        new = data.draw(st.sampled_from([b"", b"0", b"9", b"[", b"{", b'"', b"u8", b"\n", b"\xff"]))
        text[at : at + data.draw(st.integers(0, 9))] = new
    (tmp_path / "metadata").write_bytes(text)
    (tmp_path / "stream_0").write_bytes(pristine[1])
    try:
        with events.read(tmp_path) as reading:
            found = list(reading)
            assert reading.report.events == len(found)
        with events.read(tmp_path) as reading:
            assert sum(table.num_rows for table in reading.tables().values()) == len(found)
    except rchan.CorruptChannel:
        pass


def test_metadata_that_is_too_deep(pristine, tmp_path):
    (tmp_path / "metadata").write_text("/* rchan " + "[" * 100_000 + " */\n/* rchan {} */\n")
    with pytest.raises(rchan.CorruptChannel):
        events.read(tmp_path)


@QUICK
@given(st.data())
def test_mutated_fields(data):
    """Any schema over any bytes: rows and columns agree, and stay inside."""
    kinds = [rchan.u8, rchan.i64, rchan.f32, rchan.bool, rchan.string, rchan.bytes]
    fields = []
    for number, kind in enumerate(
        data.draw(st.lists(st.sampled_from(range(len(kinds))), max_size=5))
    ):
        count = (
            -1 if kinds[kind] is rchan.bytes else data.draw(st.sampled_from([-2, -1, 0, 1, 300]))
        )
        fields.append((f"f{number}", events.types.SCALARS.index(kinds[kind].kind), None, count))
    body = data.draw(st.binary(max_size=400))
    event = struct.pack("=HQHII", 0, 5, 0, 1, 2)
    total = HEADER.size + len(event) + len(body)
    packet = HEADER.pack(0xC1FC1FC1, 0, bytes(16), 0, 9, total * 8, total * 8, 0, 0, 0, 0, 1)
    finished = data.draw(st.booleans())
    decoders = [rchan._core.Decoder(bytes(16), 0, 0, 1_000_000_000) for _ in range(2)]
    for decoder in decoders:
        decoder.add("event", tuple(fields), True)
        decoder.feed(0, packet + event + body, finished)
    rows = decoders[0].rows(1000, True)
    assert decoders[1].columns(1000, True) == len(rows)
    assert decoders[0].counts() == decoders[1].counts()
    assert decoders[1].take(0)[0] == len(rows)


@QUICK
@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=200), st.booleans()), max_size=20))
def test_any_bytes_as_packets(given_packets):
    decoder = rchan._core.Decoder(bytes(16), 0, 0, 3)
    decoder.add("event", (), True)
    for stream, data, finished in given_packets:
        decoder.feed(stream, data, finished)
    assert decoder.rows(10, True) == []
    assert decoder.counts()[4] == sum(len(data) for _, data, _ in given_packets)
