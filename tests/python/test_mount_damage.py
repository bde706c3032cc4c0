"""Channels that are damaged, or named to do damage, while a real mount shows them."""

import errno
import os
import select

import pytest
from mounts import polled, refusal

import rchan

pytestmark = pytest.mark.usefixtures("relay")


def make_bad(relay):
    """A channel whose creator is gone, so that its damage harms no process but the server."""
    pid = os.fork()
    if pid == 0:
        try:
            rchan.create("bad", relay.root, subbuf_size=4096, n_buffers=1).write(b"x" * 100)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


@pytest.mark.filterwarnings("ignore::rchan.RchanWarning")
def test_a_damaged_channel_and_the_server_stays(relay):
    make_bad(relay)
    fd = os.open(relay.point / "bad0", os.O_RDONLY)
    assert polled(fd) == []
    os.truncate(relay.root / "bad.chan", 0)
    assert refusal(os.read, fd, 10) == errno.EIO
    assert polled(fd) == [select.POLLERR]
    assert os.stat(relay.point / "bad0").st_size == 4096 * 8, "a look at it kills nobody"
    os.close(fd)
    assert refusal(os.open, relay.point / "bad0", os.O_RDONLY) == errno.EIO
    assert b"state: damaged" in relay.read("bad.info")
    assert relay.server.poll() is None
    rchan.remove("bad", relay.root)
    assert relay.names() == []


LOOKS = {
    "stat": lambda path, fd: os.stat(path),
    "fstat": lambda path, fd: os.fstat(fd),
    "poll": lambda path, fd: polled(fd),
    "read": lambda path, fd: refusal(os.read, fd, 10),
    "close": lambda path, fd: None,
}


@pytest.mark.filterwarnings("ignore::rchan.RchanWarning")
@pytest.mark.parametrize("first_polled", [False, True])
@pytest.mark.parametrize("look", LOOKS)
def test_each_first_look_at_a_cut_channel_is_safe(relay, look, first_polled):
    """Its memory is gone: whatever comes first must not be a SIGBUS of the server."""
    make_bad(relay)
    fd = os.open(relay.point / "bad0", os.O_RDONLY)
    if first_polled:
        polled(fd)
    os.truncate(relay.root / "bad.chan", 0)
    LOOKS[look](relay.point / "bad0", fd)
    if look != "close":
        assert polled(fd) == [select.POLLERR]
    os.close(fd)
    relay.until_free("bad")
    assert relay.server.poll() is None and relay.names()
    rchan.remove("bad", relay.root)


def test_hostile_names(relay):
    name = "new\nline \x1b[31m\udcff"
    with rchan.create(name, relay.root, subbuf_size=64, n_buffers=1) as channel:
        channel.write(b"data")
        assert name + "0" in relay.names()
        assert relay.read(name + "0") == b"data"
