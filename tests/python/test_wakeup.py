"""When writers wake readers: per channel, changed while it runs, and forced for one record."""

import multiprocessing
import os
import select
import threading

import pytest

import rchan

WATCHDOG = 60  # seconds
IN = select.POLLIN | select.POLLRDNORM


@pytest.fixture
def one(four_cpus):
    with rchan.create("one", subbuf_size=64, n_subbufs=4, n_buffers=1) as channel:
        yield channel


def woken(channel, act):
    """Does act() wake one who sleeps on the buffer?"""
    buffer = channel.buffers[0]
    epoch = buffer._sleeper_add()
    act()
    return not buffer._sleeper_remove(epoch)


def write(channel):
    return woken(channel, lambda: channel.write(b"8 bytes."))


def test_relays_way_is_the_default(one):
    assert one.wakeup == "subbuf"
    assert [write(one) for _ in range(8)] == [False] * 8
    assert one.buffers[0].poll() == 0
    assert write(one)
    assert one.buffers[0].poll() == IN


def test_every_write(one):
    one.wakeup = "write"
    assert [write(one) for _ in range(20)] == [True] * 20
    assert one.buffers[0].poll() == IN


def test_a_reservation_wakes_when_it_is_committed_but_not_when_it_is_aborted(one):
    one.wakeup = "write"

    def commit():
        with one.reserve(4) as slot:
            slot[:] = b"data"

    assert woken(one, commit)
    assert not woken(one, lambda: one.reserve(4).abort())
    assert not woken(one, lambda: one.write(b""))


@pytest.mark.parametrize(("wakeup", "period"), [(("records", 3), 3), (("bytes", 17), 3)])
def test_watermark(four_cpus, wakeup, period):
    with rchan.create("one", subbuf_size=4096, n_subbufs=4, n_buffers=1) as channel:
        channel.wakeup = wakeup
        assert channel.wakeup == wakeup
        waking = [write(channel) for _ in range(9)]
        assert waking == [number % period == period - 1 for number in range(9)]


@pytest.mark.parametrize("wakeup", [("records", 20), ("bytes", 160)])
def test_a_watermark_counts_over_subbufs(four_cpus, wakeup):
    """8 records fit in a sub-buffer: five of six switches wake nobody."""
    with rchan.create("one", subbuf_size=64, n_subbufs=16, n_buffers=1) as channel:
        channel.wakeup = wakeup
        waking = []
        for number in range(1, 201):
            if write(channel):
                waking.append(number)
                channel.buffers[0].read(4096)
        assert waking == list(range(20, 201, 20))


def test_beyond_half_the_buffer_a_watermark_does_not_wait(one):
    one.wakeup = ("records", 1000)
    # 8 records fit: the 17th finds two of four sub-buffers unread, the 25th three
    assert [number for number in range(1, 33) if write(one)] == [17, 25]
    assert write(one)  # dropped, but the last sub-buffer was finished by it
    one.reset()
    assert [number for number in range(1, 33) if write(one)] == [17, 25]


def test_of_one_subbuf_each_wakes(four_cpus):
    with rchan.create("one", subbuf_size=16, n_subbufs=1, n_buffers=1) as channel:
        channel.wakeup = ("records", 1000)
        for _ in range(3):
            assert [write(channel) for _ in range(3)] == [False, False, True]
            channel.buffers[0].read(16)
            channel.subbufs_consumed(0, 1)


def test_no_watermark_holds_a_flush_back(one):
    one.wakeup = ("records", 1000)
    assert not write(one)
    assert woken(one, one.flush)
    assert not write(one)
    assert woken(one, one.buffers[0]._finish)
    assert not write(one)


def test_a_watermark_counts_from_the_last_wakeup(one):
    write(one)
    write(one)
    one.wakeup = ("records", 3)
    # those of the sub-buffer that is being filled count
    assert [write(one) for _ in range(4)] == [True, False, False, True]
    assert woken(one, lambda: one.write_and_wake(b"urgent"))
    assert [write(one) for _ in range(3)] == [False, False, True]


def test_announced_data_is_polled_until_it_is_read(one):
    buffer = one.buffers[0]
    one.wakeup = ("records", 2)
    one.write(b"8 bytes.")
    assert buffer.poll() == 0
    one.write(b"8 bytes.")
    one.write(b"8 bytes.")
    assert buffer.poll() == buffer.wait() == IN
    assert buffer.read(8) == b"8 bytes."
    assert buffer.poll() == IN
    buffer.read(8)
    assert buffer.poll() == 0
    assert buffer.read(8) == b"8 bytes."
    one.flush()
    assert buffer.poll() == IN
    assert buffer.read(8) == b""
    assert buffer.poll() == 0


def test_never(one):
    one.wakeup = "never"
    assert not any(write(one) for _ in range(20))
    assert not woken(one, one.flush)
    assert one.buffers[0].poll() == IN
    assert woken(one, one.reset)
    assert woken(one, one.finalize)


@pytest.mark.parametrize("wakeup", ["subbuf", "never", ("records", 100)])
def test_one_record_can_be_forced(one, wakeup):
    buffer = one.buffers[0]
    one.wakeup = wakeup
    assert not write(one)
    assert buffer.poll() == 0
    assert woken(one, lambda: one.write_and_wake(b"urgent"))
    assert buffer.poll() == IN
    assert buffer.read(99) == b"8 bytes.urgent"
    assert buffer.poll() == 0
    assert not write(one)
    assert buffer.poll() == 0
    one.write_and_wake(data=bytearray(b"x"), cpu=0)
    assert buffer.poll() == IN


def test_a_forced_record_that_is_dropped_wakes_nobody(one):
    while one.write(b"8 bytes."):
        pass
    assert not woken(one, lambda: one.write_and_wake(b"8 bytes."))
    one.enabled = False
    assert one.write_and_wake(b"x") is False
    assert one.stats().total.dropped_disabled.records == 1


def test_reset_forgets_what_was_announced(one):
    one.write_and_wake(b"x" * 60)
    one.reset()
    assert one.buffers[0].poll() == 0
    one.wakeup = ("records", 2)
    assert [write(one), write(one)] == [False, True]


def test_it_is_the_channels_not_the_handles(one):
    with rchan.open("one") as other:
        other.wakeup = ("bytes", 100)
        assert one.wakeup == ("bytes", 100)
        one.enabled = False
        assert other.wakeup == ("bytes", 100)
        other.wakeup = "never"
        assert not one.enabled
        one.enabled = True
        assert one.wakeup == "never"
        one.finalize()
        assert other.wakeup == "never"


def test_a_disabled_channel_counts_in_every_mode(one):
    for number, wakeup in enumerate(("subbuf", "write", "never", ("bytes", 9)), 1):
        one.wakeup = wakeup
        assert one.enabled
        one.enabled = False
        assert not one.write(b"x")
        assert one.stats().total.dropped_disabled.records == number
        one.enabled = True
        assert one.write(b"x")


def test_changing_it_wakes_everybody_to_look(one):
    assert woken(one, lambda: setattr(one, "wakeup", "write"))
    bell = one._bell()
    bell.rearm()
    one.wakeup = "subbuf"
    assert select.select([bell], [], [], 0)[0]
    bell.close()


@pytest.mark.parametrize(
    ("wakeup", "error"),
    [
        ("always", rchan.WrongType),
        (None, rchan.WrongType),
        (("bytes",), rchan.WrongType),
        (("pages", 3), rchan.WrongType),
        ((["bytes"], 3), rchan.WrongType),
        (("bytes", "3"), rchan.WrongType),
        (("bytes", True), rchan.WrongType),
        (("bytes", 0), rchan.GeometryError),
        (("records", -1), rchan.GeometryError),
        (("records", 2**24), rchan.GeometryError),
    ],
)
def test_what_is_no_mode(one, wakeup, error):
    with pytest.raises(error):
        one.wakeup = wakeup
    assert one.wakeup == "subbuf"


def test_one_record_is_every_write_and_the_most_is_kept(one):
    one.wakeup = ("records", 1)
    assert one.wakeup == "write"
    one.wakeup = ("bytes", 2**24 - 1)
    assert one.wakeup == ("bytes", 2**24 - 1)


def test_after_close(four_cpus):
    channel = rchan.create("one", n_buffers=1)
    channel.close()
    with pytest.raises(rchan.ChannelClosed):
        channel.wakeup = "write"
    with pytest.raises(rchan.ChannelClosed):
        assert channel.wakeup
    with pytest.raises(rchan.ChannelClosed):
        channel.write_and_wake(b"x")


def test_a_descriptor_is_rung_for_each_record(one):
    one.wakeup = "write"
    with rchan.RelayFile(one.buffers[0]) as file, select.epoll() as waiter:
        waiter.register(file, select.EPOLLIN)
        for number in range(30):
            assert waiter.poll(0) == []
            assert one.write(b"%d" % number)
            assert waiter.poll(0)
            assert file.read() == b"%d" % number


def _echo(parent, count, pipe):
    with rchan.open_file(os.path.join(parent, "ping0"), blocking=True) as file:
        pipe.send(None)
        for _ in range(count):
            pipe.send(file.read(8))


def test_no_record_goes_unheard_between_processes(four_cpus, channels):
    count = 500
    context = multiprocessing.get_context("fork")
    with rchan.create("ping", subbuf_size=4096, n_subbufs=4, n_buffers=1) as channel:
        channel.wakeup = "write"
        near, far = context.Pipe()
        reader = context.Process(target=_echo, args=(str(channels), count, far), daemon=True)
        reader.start()
        near.recv()
        for number in range(count):
            record = b"%8d" % number
            assert channel.write(record)
            assert near.poll(WATCHDOG), "a wake-up was lost"
            assert near.recv() == record
        reader.join(WATCHDOG)
        assert reader.exitcode == 0


def test_modes_change_while_threads_write_and_read(four_cpus):
    """Whatever the mode, in the end everything was heard and the books close."""
    modes = ("write", "subbuf", ("records", 7), "never", ("bytes", 50))
    with rchan.create("storm", subbuf_size=256, n_subbufs=8, n_buffers=1) as channel:
        got = []

        def read_all():
            with rchan.RelayFile(channel.buffers[0], blocking=True) as file:
                while data := file.read():
                    got.append(data)

        def write_some():
            for _ in range(3000):
                while not channel.write(b"8 bytes."):
                    os.sched_yield()

        def change():
            for number in range(500):
                channel.wakeup = modes[number % len(modes)]

        reader = threading.Thread(target=read_all)
        others = [threading.Thread(target=target) for target in (write_some, write_some, change)]
        for thread in (reader, *others):
            thread.start()
        for thread in others:
            thread.join()
        channel.finalize()
        reader.join(WATCHDOG)
        assert not reader.is_alive()
        assert b"".join(got) == b"8 bytes." * 6000
