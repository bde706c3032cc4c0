"""The kernel's names do what they do there."""

import pytest

import rchan
from rchan import cpus, relay


@pytest.fixture
def chan(four_cpus):
    chan = relay.relay_open("app", None, 32, 4)
    yield chan
    relay.relay_close(chan)


def test_open_passes_everything(four_cpus):
    client, mine = rchan.Callbacks(), object()
    path = relay.relayfs_create_dir("dir")
    chan = relay.relay_open("app", path, 32, 4, client, mine)
    assert (chan.directory, chan.subbuf_size, chan.n_subbufs) == (path, 32, 4)
    assert (chan.callbacks, chan.private_data) == (client, mine)
    relay.relay_close(chan)
    relay.relayfs_remove_dir(path)


def test_write_flush_reset(chan):
    assert relay.relay_write(chan, b"one")
    assert getattr(relay, "__relay_write")(chan, b"two")
    assert chan.stats().total.written == (2, 6)
    relay.relay_flush(chan)
    assert all(buf.subbufs_produced == 1 for buf in chan.buffers.values())
    relay.relay_reset(chan)
    assert all(relay.relay_buf_empty(buf) for buf in chan.buffers.values())


def test_reserve_and_commit(four_cpus):
    with rchan.create("one", subbuf_size=32, n_subbufs=1, n_buffers=1) as chan:
        reserved = relay.relay_reserve(chan, 8)
        reserved[:3] = b"abc"
        relay.relay_commit(chan.buffers[0], reserved, 3)
        assert rchan.RelayFile(chan.buffers[0]).read() == b"abc"
        relay.relay_commit(chan.buffers[0], relay.relay_reserve(chan, 29))
        assert relay.relay_reserve(chan, 8) is None


def test_full_and_empty(chan):
    buf = chan.buffers[0]
    assert (relay.relay_buf_full(buf), relay.relay_buf_empty(buf)) == (False, True)
    for _ in range(4):
        chan.write(b"x" * 32, 0)
    assert (relay.relay_buf_full(buf), relay.relay_buf_empty(buf)) == (False, False)
    assert relay.relay_switch_subbuf(buf, 8) == 0
    assert relay.relay_buf_full(buf)
    relay.relay_subbufs_consumed(chan, 0, 1)
    assert not relay.relay_buf_full(buf)
    assert relay.relay_switch_subbuf(buf, 8) == 8


def test_subbuf_start_reserve(four_cpus):
    class Header(rchan.Callbacks):
        def subbuf_start(self, buf, subbuf, prev_subbuf, prev_padding):
            return relay.subbuf_start_reserve(buf, 4)

    chan = relay.relay_open("app", None, 32, 2, Header())
    assert chan.buffers[0].offset == 4
    relay.relay_close(chan)


def test_late_setup(four_cpus):
    chan = relay.relay_open(None, None, 32, 2)
    relay.relay_late_setup_files(chan, "late")
    assert chan.name == "late"
    relay.relay_close(chan)


def test_prepare_cpu_reaches_every_open_channel(chan):
    other = relay.relay_open("other", None, 32, 2)
    closed = relay.relay_open("closed", None, 32, 2)
    relay.relay_close(closed)
    with cpus.injected(range(8), [0]):
        relay.relay_prepare_cpu(3)
        assert 3 in chan.buffers
        assert 3 in other.buffers
        with pytest.raises(rchan.NoSuchBuffer):
            relay.relay_prepare_cpu(8)
    relay.relay_close(other)


def test_null_channels_are_taken():
    for function in (relay.relay_flush, relay.relay_reset, relay.relay_close):
        assert function(None) is None
    assert relay.relay_subbufs_consumed(None, 0, 1) is None
