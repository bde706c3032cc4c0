"""The machine is too small: little shared memory, few descriptors, little address space."""

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import rchan
from rchan import _core

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small tmpfs")
MANY_CHANNELS = int(os.environ.get("RCHAN_TEST_CHANNELS", "500"))  # 10000: make world


@contextlib.contextmanager
def tmpfs(size: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rchan-test-") as path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
        try:
            yield Path(path)
        finally:
            subprocess.run(["umount", path], check=True)


def run(code: str, *arguments: str, **options) -> str:
    """In an interpreter of its own; its output."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_root
def test_a_container_of_64_megabytes() -> None:
    with tmpfs("64m") as path:
        # The default is 2 MiB a CPU here: it fits.
        with rchan.create("default", parent=str(path)) as channel:
            assert channel.write(b"x")
        with pytest.raises(rchan.NoSpace, match=r"65536 KiB.*--shm-size") as caught:
            rchan.create("large", parent=str(path), subbuf_size=1 << 24, n_subbufs=8)
        assert "free of 65536 KiB" in str(caught.value)
        assert not list(path.iterdir()), "nothing is left behind"
        with rchan.create("app", parent=str(path)) as channel:
            filler = path / "filler"
            with pytest.raises(OSError), filler.open("wb", buffering=0) as file:
                while file.write(bytes(1 << 20)):
                    pass
            for _ in range(100_000):  # the file system is full: the channel's memory is its own
                channel.write(b"x" * 64)
            assert channel.stats().total.closes
            with pytest.raises(rchan.NoSpace):
                rchan.create("another", parent=str(path), subbuf_size=4096)
            with channel.reader(timeout=0) as reader:
                assert sum(sub.records for sub in reader) > 10_000


@needs_root
def test_no_room_for_a_buffer_that_comes_later(four_cpus: None) -> None:
    with tmpfs("1m") as path:
        geometry = {"subbuf_size": 65536, "n_subbufs": 4, "n_buffers": 4}
        with rchan.create("app", parent=str(path), **geometry) as channel:
            with pytest.raises(rchan.NoSpace):
                for cpu in range(4):
                    channel.prepare_cpu(cpu)
            assert channel.write(b"goes where there is a buffer", 3)
            assert channel.stats().total.closes


def test_descriptors_run_out(channels: Path) -> None:
    run(
        """
        import os, resource, rchan
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        opened = []
        with rchan.create("app", subbuf_size=64, n_buffers=1) as channel:
            try:
                while True:
                    opened.append(rchan.open("app"))
            except rchan.SystemFailure as error:
                assert "Too many open files" in str(error), error
            assert len(opened) > 20
            assert channel.write(b"x") and opened[0].write(b"y")
            before = len(os.listdir("/proc/self/fd")) if opened.pop().close() is None else 0
            for _ in range(3):
                opened.append(rchan.open("app"))
                opened.pop().close()
            assert len(os.listdir("/proc/self/fd")) == before
            pid = os.fork()
            if not pid:
                os._exit(0 if opened[0].write(b"child") else 1)
            assert os.waitpid(pid, 0)[1] == 0
            assert channel.stats().total.closes
        """
    )


def test_address_space_runs_out(channels: Path) -> None:
    run(
        """
        import resource, rchan
        with rchan.create("app", subbuf_size=64, n_buffers=1) as channel:
            in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            limit = in_use + (64 << 20)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            for _ in range(3):
                try:
                    rchan.create("large", subbuf_size=1 << 24, n_subbufs=16, n_buffers=1)
                except (rchan.SystemFailure, MemoryError) as error:
                    assert isinstance(error, MemoryError) or "cannot map" in str(error), error
                else:
                    raise AssertionError("it fits")
            assert [found.name for found in rchan.list()] == ["app"]
            assert channel.write(b"x")
            channel.snapshot()
        """
    )


def test_a_slot_for_4096_attachments(channels: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _core.MAX_SLOTS + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"RLIMIT_NOFILE is {hard}: 4096 attachments take {wanted} descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    others: list[rchan.Channel] = []
    try:
        with rchan.create("app", subbuf_size=64, n_buffers=1) as channel:
            while len(others) < _core.MAX_SLOTS - 1:
                others.append(rchan.open("app"))
            with pytest.raises(rchan.ChannelBusy, match="all 4096 slots"):
                rchan.open("app")
            assert others[-1].write(b"the last one")
            others.pop().close()
            with rchan.open("app") as again:
                assert again.write(b"has room again")
            assert len(channel.producers()) == _core.MAX_SLOTS - 1
            for other in others:
                other.close()
            assert channel.stats().total.written.records == 2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_many_channels(channels: Path) -> None:
    for number in range(MANY_CHANNELS):
        channel = rchan.create(f"app{number}.", subbuf_size=64, n_subbufs=2, n_buffers=1)
        channel.write(b"x")
        channel.detach()
    assert len(rchan.list()) == MANY_CHANNELS
    with rchan.open(f"app{MANY_CHANNELS // 2}.") as channel:
        assert channel.stats().total.readable.records == 1
    for number in range(MANY_CHANNELS):
        rchan.remove(f"app{number}.")
    assert not list(channels.iterdir())
