"""kill -9 of the recorder at every system call that it makes; its successor goes on there."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from recordings import at_once, record_one
from stepping import killed_at

import rchan
from rchan import tracefile
from rchan.recorder import FileOptions, Options, Rotation

RECORDS = 20  # in each buffer; two to a sub-buffer of 16 bytes
# RCHAN_EVERY_STOP=1 tries all; odd steps meet both sides of system calls.
EVERY = "RCHAN_EVERY_STOP" in os.environ


@pytest.fixture
def app(four_cpus: None) -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=16, n_subbufs=64, n_buffers=2) as channel:
        yield channel


def fill(app: rchan.Channel, first: int, count: int) -> None:
    for number in range(first, first + count):
        for cpu in (0, 1):
            assert app.write(b"%d %5d\n" % (cpu, number), cpu=cpu)


def recorded(directory: Path) -> list[list[int]]:
    """The numbers in the streams of each buffer, in the order in which they are there."""
    found: list[list[int]] = [[], []]
    with tracefile.open(directory) as trace:
        for cpu in (0, 1):
            for sub in trace.channels[0].buffer(cpu):
                found[cpu] += [int(line[2:]) for line in bytes(sub).splitlines()]
        damage = [problem for problem in trace.problems if problem.severity == "damage"]
    assert damage == []
    return found


def damage(directory: Path) -> list[tracefile.Problem]:
    """What `rchan verify` would find of a recording that nobody has gone on with."""
    with suppress(tracefile.RecordingNotFound):
        (report,) = tracefile.verify(directory)
        return [problem for problem in report.problems if problem.severity == "damage"]
    return []


def raw(directory: Path) -> list[bytes]:
    """The streams without their index, the older files first."""
    place = directory / "app"
    return [b"".join(p.read_bytes() for p in sorted(place.glob(f"app.{n}*"))) for n in (0, 1)]


WAYS = {
    "one file": Options(),
    "rotated": Options(rotation=Rotation(size=64)),
    "padding kept": Options(files=FileOptions(keep_padding=True)),
    "zstd": Options(files=FileOptions(compression="zstd", level=1)),
}


def recorder(directory: Path, options: Options) -> Callable[[], None]:
    def act() -> None:
        record_one("app", directory, stop=at_once, options=options)

    return act


@pytest.fixture
def output(channels: Path) -> Iterator[Path]:
    """In memory: a manifest is synced each time that it is stored."""
    with tempfile.TemporaryDirectory(prefix="rchan-test-", dir="/dev/shm") as path:
        yield Path(path)


@pytest.mark.parametrize("way", WAYS)
def test_killed_at_every_system_call(app: rchan.Channel, output: Path, way: str) -> None:
    """Kill, go on, and look: every record is there once, in order, whatever the call was."""
    options = WAYS[way]
    if options.files.compression:
        pytest.importorskip("zstandard")
    step = 1 if EVERY else 5 if way == "one file" else 17
    for stop in itertools.count(1, step):
        directory = output / str(stop)
        fill(app, 0, RECORDS)
        killed = killed_at(stop, recorder(directory, options))
        assert damage(directory) == [], f"killed at stop {stop}"
        fill(app, RECORDS, 2)
        again = Options(files=options.files, rotation=options.rotation, append=True)
        done = record_one(app, directory, stop=at_once, options=again)
        wanted = list(range(RECORDS + 2))
        assert recorded(directory) == [wanted, wanted], f"killed at stop {stop}"
        if not (options.files.keep_padding or options.files.compression):
            lines = [b"".join(b"%d %5d\n" % (cpu, n) for n in wanted) for cpu in (0, 1)]
            assert raw(directory) == lines, f"killed at stop {stop}"
        assert done.records == 2 * (RECORDS + 2), f"killed at stop {stop}"
        assert app.stats().total.readable.records == 0
        shutil.rmtree(directory)
        app.reset()
        if not killed:
            break
    assert stop > 100


def test_a_ring_of_files_killed(app: rchan.Channel, output: Path) -> None:
    """What was let go stays gone, what is kept is whole and ends with the newest record."""
    options = Options(rotation=Rotation(size=64, keep=2))
    for stop in itertools.count(1, 1 if EVERY else 17):
        directory = output / str(stop)
        fill(app, 0, RECORDS)
        killed = killed_at(stop, recorder(directory, options))
        assert damage(directory) == [], f"killed at stop {stop}"
        fill(app, RECORDS, 2)
        again = Options(rotation=options.rotation, append=True)
        done = record_one(app, directory, stop=at_once, options=again)
        for numbers in recorded(directory):
            assert numbers == list(range(numbers[0], RECORDS + 2)), f"killed at stop {stop}"
        assert done.records + done.expired.records == 2 * (RECORDS + 2)
        assert len(list((directory / "app").glob("app.0*"))) <= 2
        shutil.rmtree(directory)
        app.reset()
        if not killed:
            break


@pytest.mark.parametrize("rotated", [False, True])
def test_events_killed(four_cpus: None, output: Path, rotated: bool) -> None:
    """A recording of events is a trace at every stop, and in the end tells of all that was lost."""
    options = Options(rotation=Rotation(subbufs=2 if rotated else None))
    for stop in itertools.count(1, 1 if EVERY else 23):
        directory = output / str(stop)
        with rchan.Tracer("app", subbuf_size=256, n_subbufs=4, n_buffers=1) as trace:
            event = trace.event("event", n=rchan.u32)
            written = [n for n in range(40) if event(n)]  # more than there is room for
            killed = killed_at(stop, recorder(directory, options))
            if (directory / "app" / "metadata").exists():
                found, report = read(directory)
                assert found == written[: len(found)], f"killed at stop {stop}"
                assert not report.damage.keys() - {"truncated", "short", "size"}
            written += [n for n in range(100, 102) if event(n)]
            again = Options(rotation=options.rotation, append=True)
            done = record_one("app", directory, stop=at_once, options=again)
        rchan.remove("app")
        found, report = read(directory)
        assert (found, report.damage) == (written, {}), f"killed at stop {stop}"
        assert report.discarded_events == done.lost["full"].records > 0
        assert tracefile.verify(directory)[0].problems == (), f"killed at stop {stop}"
        shutil.rmtree(directory)
        if not killed:
            break


def read(directory: Path) -> tuple[list[int], rchan.events.Report]:
    with rchan.events.read(directory) as reading:
        return [event.fields["n"] for event in reading], reading.report
