"""Every test has a directory of channels of its own, in shared memory."""

import gc
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from mounts import relay  # noqa: F401 - a fixture for all

import rchan
from rchan import cpus


@pytest.fixture(autouse=True)
def channels(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The default directory of channels during the test."""
    with tempfile.TemporaryDirectory(prefix="rchan-test-", dir="/dev/shm") as path:
        monkeypatch.setenv("RCHAN_DIR", path)
        yield Path(path)


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
