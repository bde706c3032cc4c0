"""Every test has a directory of channels of its own, in shared memory."""

import contextlib
import ctypes
import gc
import os
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from mounts import relay  # noqa: F401 - a fixture for all

import rchan
from rchan import cpus

# A shell gives its background jobs an ignored SIGINT, and they their children: those here obey it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure() -> None:
    """Programs that tests start inherit what is ignored (by nohup, by a shell's `&`), but not what
    is handled: so nohup still holds for us."""
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def channels(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The default directory of channels during the test."""
    with tempfile.TemporaryDirectory(prefix="rchan-test-", dir="/dev/shm") as path:
        monkeypatch.setenv("RCHAN_DIR", path)
        yield Path(path)
        if held(path):
            request.node.funcargs.clear()  # what fixtures gave it
            gc.collect()
        assert not held(path), "the test left descriptors open or memory mapped"


@pytest.fixture
def four_cpus() -> Iterator[None]:
    """CPUs 0 to 3 are possible, 0 and 1 are online."""
    with cpus.injected(possible=range(4), online=(0, 1)):
        yield


@pytest.fixture
def small(four_cpus: None) -> Iterator[rchan.Channel]:
    """Four sub-buffers of 32 bytes for each of CPUs 0 and 1."""
    channel = rchan.create("small", subbuf_size=32, n_subbufs=4, n_buffers=4)
    yield channel
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rchan.RchanWarning)
        channel.close()


@pytest.fixture
def trace(channels: Path) -> Iterator[rchan.Tracer]:
    """A channel of events with one buffer, in overwrite mode."""
    with rchan.Tracer("app", n_buffers=1, overwrite=True) as tracer:
        yield tracer


@pytest.fixture
def open_files() -> Iterator[None]:
    """What the test opens or maps it must let go of."""
    gc.collect()
    before = open_descriptors(), mapped_channels()
    yield
    gc.collect()
    assert (open_descriptors(), mapped_channels()) == before


def held(path: str) -> list[str]:
    """What this process has open or mapped below that directory: an attachment has a descriptor
    (and a slot), a buffer has a mapping."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    found += Path("/proc/self/maps").read_text().splitlines()
    return [name for name in found if f"{path}/" in name]


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def mapped_channels() -> int:
    """Mappings of this process that show files of channels."""
    return sum("/rchan-test-" in line for line in Path("/proc/self/maps").read_text().splitlines())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    libc = ctypes.CDLL(None, use_errno=True)
    path = str(tmp_path / "disk").encode()
    os.mkdir(path)
    if libc.mount(b"tmpfs", path, b"tmpfs", 0, b"size=256k"):
        pytest.skip(f"cannot mount a small file system: {os.strerror(ctypes.get_errno())}")
    yield Path(path.decode())
    libc.umount2(path, 2)
