"""A recording whose sub-buffers are CTF packets is a CTF trace as it is: babeltrace2 reads it."""

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

import rchan
from rchan.recorder import FileOptions, Options, Rotation, record

METADATA = """/* CTF 1.8 */
typealias integer { size = 32; align = 8; signed = false; } := uint32_t;
typealias integer { size = 64; align = 8; signed = false; } := uint64_t;
trace { major = 1; minor = 8; byte_order = le;
        packet.header := struct { uint32_t magic; uint32_t stream_id; }; };
stream { id = 0; packet.context := struct { uint64_t packet_size; uint64_t content_size; };
         event.header := struct { uint32_t id; }; };
event { id = 0; name = "e"; stream_id = 0; fields := struct { uint32_t v; }; };
"""


@pytest.mark.parametrize("keep_padding", [False, True])
def test_a_rotated_recording(four_cpus: None, tmp_path: Path, keep_padding: bool) -> None:
    if shutil.which("babeltrace2") is None:
        pytest.skip("babeltrace2 is not installed")
    content = 8 * (24 + 16)
    size = 8 * 64 if keep_padding else content
    with rchan.create("ev", subbuf_size=64, n_subbufs=8, n_buffers=1) as channel:
        for packet in range(5):
            channel.write(struct.pack("<IIQQ", 0xC1FC1FC1, 0, size, content))
            for number in range(2):
                channel.write(struct.pack("<II", 0, 10 * packet + number))
            channel.flush()
        files = FileOptions(keep_padding=keep_padding)
        options = Options(until_empty=True, rotation=Rotation(subbufs=2), files=files)
        record("ev", tmp_path, options=options)
    (tmp_path / "ev" / "metadata").write_text(METADATA)
    done = subprocess.run(
        ["babeltrace2", tmp_path / "ev"], capture_output=True, text=True, timeout=60, check=True
    )
    assert re.findall(r"v = (\d+)", done.stdout) == [
        "0",
        "1",
        "10",
        "11",
        "20",
        "21",
        "30",
        "31",
        "40",
        "41",
    ]


def test_a_recording_of_events_is_a_trace(four_cpus: None, tmp_path: Path) -> None:
    """Also of types that were registered while it was recorded, and with what was lost."""
    if shutil.which("babeltrace2") is None:
        pytest.skip("babeltrace2 is not installed")
    with rchan.Tracer("ev", subbuf_size=4096, n_subbufs=2, n_buffers=1) as tracer:
        first = tracer.event("first", number=rchan.u32)
        written = sum(first(number) for number in range(1000))  # more than there is room for
        later: list[rchan.Event] = []

        def stop() -> bool:
            if not later:  # before anything was recorded: there is no room
                later.append(tracer.event("later", text=rchan.string))
            elif later[0]("hello"):
                return True
            return False

        done = record("ev", tmp_path, stop=stop)
    rchan.remove("ev")
    assert done[0].records == written + 1
    lost = done[0].lost["full"].records
    assert lost >= 1000 - written > 0
    shown = subprocess.run(
        ["babeltrace2", tmp_path / "ev"], capture_output=True, text=True, timeout=60, check=True
    )
    assert len(re.findall(r" first: .*number = \d+", shown.stdout)) == written
    assert 'text = "hello"' in shown.stdout
    assert f"{lost} events" in shown.stderr


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("size", [1, 4096])
def test_a_file_for_one_packet_that_tells_of_a_loss_first(
    four_cpus: None, tmp_path: Path, size: int, compression: str | None
) -> None:
    """What tells of it is in front of the first packet, and does not make a file full for ever."""
    with rchan.Tracer("ev", subbuf_size=4096, n_subbufs=2, n_buffers=1, overwrite=True) as tracer:
        first = tracer.event("first", number=rchan.u32)
        assert all(first(number) for number in range(1000))
        tracer.flush()
        looks = iter(range(2))
        files = FileOptions(compression=compression)
        options = Options(rotation=Rotation(size=size), files=files)
        (done,) = record("ev", tmp_path, stop=lambda: next(looks, None) is None, options=options)
    rchan.remove("ev")
    assert done.state == "complete"
    assert done.records + done.lost["overwritten"].records == 1000
    assert 1 <= len(done.files) <= 4
