"""The C binding: blocking calls let others run, and end when they should."""

import select
import signal
import threading
import weakref
from pathlib import Path

import pytest
from binding import Channel, make

from rchan import _core, errors

IN = select.POLLIN | select.POLLRDNORM
SUBBUF = b"x" * 32


def test_wait_sees_what_is_there_and_gives_up_in_time(channels: Path) -> None:
    channel = make(channels)
    buffer = channel._buffers()[0]
    for timeout in (0, -1, 0.0, float("nan"), 0.001):
        assert buffer.wait(timeout) == 0
        assert channel._wait(timeout) is False
    channel.write(SUBBUF, cpu=0)
    channel._flush()
    for timeout in (None, 0, float("inf"), 1e300):
        assert buffer.wait(timeout) == IN
        assert channel._wait(timeout) is True


@pytest.mark.parametrize("of_channel", [False, True])
def test_another_thread_can_end_the_wait(channels: Path, of_channel: bool) -> None:
    channel = make(channels)
    buffer = channel._buffers()[0]
    thread = threading.Thread(target=channel._flush)
    thread.start()
    assert channel._wait(None) if of_channel else buffer.wait(None) == IN
    thread.join()


def test_a_waiting_channel_sees_buffers_of_others(channels: Path) -> None:
    channel = make(channels, cpus=[0])
    other = Channel._attach(str(channels), "app", None)
    other._prepare(1).flush()
    assert channel._wait(None)
    assert sorted(channel._buffers()) == [0, 1]


def test_closing_ends_a_wait_in_another_thread(channels: Path) -> None:
    channel = make(channels)
    attachment = weakref.ref(channel.attachment)
    caught: list[str] = []

    def wait() -> None:
        try:
            channel._wait(None)
        except errors.ChannelClosed:
            caught.append("closed")

    thread = threading.Thread(target=wait)
    thread.start()
    while thread.is_alive() and not channel.closed:
        channel._close()
    thread.join()
    assert caught == ["closed"]
    assert attachment() is None


def test_a_signal_handler_can_end_the_wait(channels: Path) -> None:
    def handler(number: int, frame: object) -> None:
        raise TimeoutError(number, frame)

    buffer = make(channels)._buffers()[0]
    before = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(TimeoutError):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            buffer.wait(None)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert buffer._wake_asked is False


def test_sleepers_without_a_thread(channels: Path) -> None:
    channel = make(channels)
    channel._defer_wakeups = True
    buffer = channel._buffers()[0]
    epoch = buffer._sleeper_add()
    assert buffer._wake_epoch == epoch
    buffer.flush()
    assert buffer._wake_asked
    assert channel._run_wakeups() == 1
    assert buffer._wake_epoch == epoch + 1
    assert not buffer._sleeper_remove(epoch)
    assert buffer._sleeper_remove(buffer._sleeper_add())


@pytest.mark.parametrize("end", ["_close", "_detach"])
def test_the_end_while_a_write_waits(channels: Path, end: str) -> None:
    """The write yields, as another handle's slot holds the only buffer; then a thread ends it."""
    for _ in range(20):
        channel = make(channels, n_buffers=1, cpus=[0])
        died = weakref.ref(channel.attachment)
        slot = Channel._attach(str(channels), "app", None).reserve(4)
        thread = threading.Thread(target=getattr(channel, end))
        thread.start()
        try:
            assert not channel.write(SUBBUF)
        except errors.ChannelClosed:
            assert channel.closed
        thread.join()
        assert died() is None
        slot.abort()
        if end == "_detach":
            _core.remove(str(channels), "app")


def test_hooks_of_many_threads(channels: Path) -> None:
    told: list[int] = []
    channel = make(channels, overwrite=True, deliver=lambda _buffer, index: told.append(index))

    def write() -> None:
        for _ in range(2000):
            channel.write(SUBBUF)
            with channel.reserve(16) as slot:
                slot[:] = bytes(16)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    books = [buffer.books() for buffer in channel._buffers().values()]
    assert sum(book.subbufs_produced for book in books) == len(told)
    dropped = sum(book.dropped_contended_records for book in books)
    assert sum(book.written_records for book in books) + dropped == 4 * 2 * 2000
