"""Every test has a directory of channels of its own, in shared memory."""

import ctypes
import gc
import os
import signal
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import leaks
import pytest
from hypothesis import HealthCheck, settings
from mounts import relay  # noqa: F401 - a fixture for all

import rchan
from rchan import cpus

# The same examples at every run, however long the machine takes for one. Others, in search of
# something new: pytest --hypothesis-profile=random
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("random"), derandomize=True, database=None)
settings.load_profile("same")


def pytest_configure() -> None:
    """Programs that tests start inherit what is ignored (by nohup, by a shell's `&`), but not what
    is handled: so nohup still holds for us."""
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What is imported by now stays: no collection need go through it, nor a look for leaks."""
    leaks.freeze()


@pytest.fixture(autouse=True)
def channels(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The default directory of channels during the test."""
    with tempfile.TemporaryDirectory(prefix="rchan-test-", dir="/dev/shm") as path:
        monkeypatch.setenv("RCHAN_DIR", path)
        forkserver._forkserver._stop()  # an earlier test's knows another directory, another stderr
        before = leaks.Before()
        yield Path(path)
        request.node.funcargs.clear()  # what fixtures gave it
        if before.left(path):
            gc.collect()
        assert not before.left(path), "the test left this behind"


@pytest.fixture(autouse=True, scope="module")
def objects() -> Iterator[None]:
    """The tests of a module leave no object of the core alive, and so none of its memory."""
    before = leaks.core_objects()
    yield
    assert leaks.core_objects() - before == Counter()


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
def one(four_cpus: None) -> Iterator[rchan.Channel]:
    """One buffer of four sub-buffers of 32 bytes."""
    with rchan.create("one", subbuf_size=32, n_subbufs=4, n_buffers=1) as channel:
        yield channel


@pytest.fixture
def flight(four_cpus: None) -> Iterator[rchan.Channel]:
    """The same in overwrite mode."""
    with rchan.create("flight", subbuf_size=32, n_subbufs=4, n_buffers=1, overwrite=True) as made:
        yield made


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
