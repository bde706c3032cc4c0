"""`rchan record` on disks that are full, read-only, not ours or fail; and near names."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import RCHAN, recorded, run, sequence, start, wait_until, writer

import rchan
import rchan.tracefile
from rchan.cli import exits
from rchan.recorder import load

_CAPBSET_DROP, _DAC_OVERRIDE, _DAC_READ_SEARCH = 24, 1, 2
_LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def app() -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=4096, n_subbufs=8, n_buffers=1) as channel:
        yield channel


def obey() -> None:
    """For a child process: permissions hold for it, even if it is root."""
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
        _LIBC.prctl(_CAPBSET_DROP, capability, 0, 0, 0)


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    (line,) = done.stderr.splitlines()
    assert line.startswith("rchan: ")
    return line


@pytest.mark.parametrize("way", [(), ("--rotate-size", "32K"), ("--zstd", "1")])
def test_a_full_disk_that_gets_room(
    app: rchan.Channel, small_disk: Path, way: tuple[str, ...]
) -> None:
    """It stops consuming and says so once; the writer goes on and counts; nothing is lost of what
    was stored, nothing comes twice, and it goes on by itself."""
    if "--zstd" in way:
        pytest.importorskip("zstandard")
    output, ballast = small_disk / "run", small_disk / "ballast"
    ballast.write_bytes(bytes(200 << 10))
    # A writer that tries each record until it is stored: it stands still while the disk is full.
    process = start(
        *("record", "--quiet", "--stop-after", "1h", *way, "-o", output, "app"),
        *writer(20_000 if "--zstd" not in way else 60_000),
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    assert said.startswith("rchan: app: cannot write ")
    assert said.endswith(": No space left on device: not consuming until it can be\n")
    wait_until(lambda: app.buffers[0].full)
    dropped = app.stats().total.dropped_full.records
    wait_until(lambda: app.stats().total.dropped_full.records > dropped)  # the writer is well
    readable = app.stats().total.readable
    ballast.unlink()
    output_text, more = process.communicate()
    assert process.returncode == 0
    assert more == "rchan: app: can be written again: going on\n"
    assert readable.records > 0
    if not way or "--rotate-size" in way:
        assert recorded(output) == sequence(int(output_text))
    (report,) = rchan.tracefile.verify(output)
    assert (report.problems, report.records) == ((), int(output_text))
    events = [event.what for event in load(output / "app").events]
    assert events[:2] == ["stalled", "resumed"]


def test_full_until_told_to_end(app: rchan.Channel, small_disk: Path) -> None:
    """It ends with one more line and a status of its own; the rest is still in the channel."""
    output, ballast = small_disk / "run", small_disk / "ballast"
    ballast.write_bytes(bytes(230 << 10))
    process = start("record", "--quiet", "-o", output, "app", stderr=subprocess.PIPE)
    assert process.stderr is not None
    written = 0
    while app.write(b"0 %d\n" % written):
        written += 1
    assert "not consuming" in process.stderr.readline()
    while app.write(b"0 %d\n" % written):  # what was read before is room for more
        written += 1
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate()
    assert process.returncode == exits.RECORDING_FAILED
    first, second = rest.splitlines()
    assert first.endswith("No space left on device: recording ends here")
    assert second == "rchan: what is not recorded is still in the channel: run it again to go on"
    ballast.unlink()
    assert run("record", "--until-empty", "--quiet", "-o", output, "app").returncode == 0
    assert recorded(output) == sequence(written)


def test_a_file_that_may_not_grow(app: rchan.Channel, tmp_path: Path) -> None:
    """RLIMIT_FSIZE: it goes on in new files, and no signal kills it."""
    for number in range(3000):
        assert app.write(b"0 %d\n" % number)
    limited = ["sh", "-c", 'ulimit -f 16; exec "$@"', "sh", *RCHAN]
    done = subprocess.run(
        [*limited, "record", "--quiet", "--until-empty", "-o", tmp_path / "run", "app"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(load(tmp_path / "run" / "app").files) > 1
    assert run("verify", tmp_path / "run").returncode == 0
    assert recorded(tmp_path / "run") == sequence(3000)


def test_a_read_only_disk(app: rchan.Channel, small_disk: Path) -> None:
    assert app.write(b"0 0\n")
    if os.system(f"mount -o remount,ro {small_disk} 2>/dev/null"):
        pytest.skip("cannot mount it read-only")
    done = run("record", "--until-empty", "-o", small_disk / "run", "app")
    assert done.returncode == exits.RECORDING_FAILED
    assert one_line(done).endswith("Read-only file system")
    assert app.stats().total.readable.records == 1


def test_that_becomes_read_only(app: rchan.Channel, small_disk: Path) -> None:
    """What can be written to what is open already is; then it stops consuming."""
    output = small_disk / "run"
    done = run("record", "--until-empty", "--quiet", "-o", output, "app")
    assert done.returncode == 0
    if os.system(f"mount -o remount,ro {small_disk} 2>/dev/null"):
        pytest.skip("cannot mount it read-only")
    assert app.write(b"0 0\n")
    done = run("record", "--until-empty", "--append", "-o", output, "app")
    assert done.returncode == exits.RECORDING_FAILED
    assert "Read-only file system" in one_line(done)
    assert app.stats().total.readable.records == 1


def test_no_permission(app: rchan.Channel, tmp_path: Path) -> None:
    assert app.write(b"0 0\n")
    (tmp_path / "theirs").mkdir(0o500)
    done = run(
        *("record", "--until-empty", "-o", tmp_path / "theirs" / "run", "app"), preexec_fn=obey
    )
    assert done.returncode == exits.RECORDING_FAILED
    assert one_line(done).endswith("theirs/run: Permission denied")
    assert app.stats().total.readable.records == 1


def test_a_channel_that_may_not_be_opened(
    app: rchan.Channel, channels: Path, tmp_path: Path
) -> None:
    (channels / "app.chan").chmod(0)
    done = run("record", "--until-empty", "-o", tmp_path / "run", "app", preexec_fn=obey)
    assert done.returncode == exits.NOT_PERMITTED
    assert "app" in one_line(done)
    assert not (tmp_path / "run").exists()


def test_near_names(app: rchan.Channel, tmp_path: Path) -> None:
    done = run("record", "-o", tmp_path / "run", "apq")
    assert done.returncode == exits.NOT_FOUND
    assert one_line(done).endswith("did you mean 'app'?")
    assert not (tmp_path / "run").exists()


def test_of_another_channel(app: rchan.Channel, tmp_path: Path) -> None:
    """A directory that holds the recording of an earlier channel of that name."""
    with rchan.create("web") as web:
        assert web.write(b"dear\n", cpu=0)
        assert run("record", "--until-empty", "-o", tmp_path, "web").returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with rchan.create("web") as web:
        assert web.write(b"new\n", cpu=0)
        done = run("record", "--until-empty", "-o", tmp_path, "web")
        assert done.returncode == exits.EXISTS
        assert "already holds a complete recording of an earlier channel 'web'" in one_line(done)
        assert web.stats().total.readable.records == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_recreated_while_recording(app: rchan.Channel, tmp_path: Path) -> None:
    """The old one is finished, the new one gets a directory of its own; nothing is mixed."""
    process = start(
        *("record", "--watch", "-o", tmp_path, "web"),
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "rchan: waiting for channels\n"
    for line in (b"first\n", b"second\n"):
        with rchan.create("web", n_buffers=1) as web:
            assert web.write(line)
            assert process.stderr.readline() == "rchan: web: recording it, too\n"
    wait_until((tmp_path / "web~2").is_dir)
    wait_until(lambda: load(tmp_path / "web~2").state == "complete")
    process.terminate()
    process.communicate()
    assert process.returncode == 0
    assert (tmp_path / "web" / "web.0").read_bytes() == b"first\n"
    assert (tmp_path / "web~2" / "web.0").read_bytes() == b"second\n"
