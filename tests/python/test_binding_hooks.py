"""Hooks: when they run, what they may do, and what becomes of what they raise."""

import gc
import os
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from binding import Channel, make

from rchan import _core, errors

SUBBUF = b"x" * 32


class Broken(Exception):
    """What hooks raise here."""


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, Any]]]:
    """(exception, object) of each report to sys.unraisablehook."""
    reports: list[tuple[Any, Any]] = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda report: reports.append((report.exc_value, report.object))
    )
    yield reports
    reports.clear()


def raise_broken(*args: object) -> None:
    """A hook."""
    raise Broken(args[1:])


def test_hooks_run_from_the_first_buffer_on(channels: Path) -> None:
    told: list[tuple[Any, ...]] = []

    def create(buffer: _core.Buffer, name: str | None) -> int:
        assert buffer.channel_base == "app"
        assert buffer.directory == str(channels)
        assert buffer.file_name is None
        assert name is not None
        buffer.link(name)
        told.append(("create", buffer.index, name))
        return 1

    def start(buffer: _core.Buffer, index: int, prev: int | None, padding: int) -> bool:
        told.append(("start", buffer.index, index, prev, padding))
        return not buffer.full

    def tell(what: str) -> Any:
        return lambda buffer, index: told.append((what, buffer.index, index))

    channel = make(
        channels,
        create_buf_file=create,
        subbuf_start=start,
        deliver=tell("deliver"),
        buf_full=tell("full"),
    )
    assert told == [
        ("create", 0, "app0"),
        ("start", 0, 0, None, 0),
        ("create", 1, "app1"),
        ("start", 1, 0, None, 0),
    ]
    told.clear()
    channel.write(b"x" * 30, cpu=0)
    channel.write(SUBBUF, cpu=0)
    assert told == [("start", 0, 1, 0, 2), ("deliver", 0, 0)]
    told.clear()
    while channel.write(SUBBUF, cpu=0):
        pass
    assert told[-3:] == [("start", 0, 0, 3, 0), ("deliver", 0, 3), ("full", 0, 3)]


def test_a_start_that_raises_says_no(channels: Path, reported: list[tuple[Any, Any]]) -> None:
    channel = make(channels, subbuf_start=raise_broken)
    assert [report[0].args for report in reported] == [((0, None, 0),)] * 2
    reported.clear()
    assert channel.write(SUBBUF, cpu=0)
    assert not channel.write(SUBBUF, cpu=0)
    error, about = reported.pop()
    assert type(error) is Broken
    assert error.__traceback__ is not None
    assert about is raise_broken
    assert channel._buffers()[0].read(99) == SUBBUF


@pytest.mark.parametrize("name", ["deliver", "buf_full"])
def test_news_that_raise_break_nothing(
    channels: Path, reported: list[tuple[Any, Any]], name: str
) -> None:
    channel = make(channels, **{name: raise_broken})
    while channel.write(SUBBUF, cpu=0):
        pass
    assert {type(report[0]) for report in reported} == {Broken}
    assert channel._buffers()[0].read(999) == SUBBUF * 4


def test_an_answer_without_truth_is_no(channels: Path, reported: list[tuple[Any, Any]]) -> None:
    class Neither:
        def __bool__(self) -> bool:
            raise Broken

    channel = make(channels, subbuf_start=lambda *_: Neither())
    channel.write(SUBBUF, cpu=0)
    reported.clear()
    assert not channel.write(SUBBUF, cpu=0)
    assert type(reported.pop()[0]) is Broken


def test_an_unraisable_remove(channels: Path, reported: list[tuple[Any, Any]]) -> None:
    channel = make(channels, remove_buf_file=raise_broken)
    channel._close()
    assert [report[0].args for report in reported] == [(("app0",),), (("app1",),)]
    assert channel.closed


def fail_second(how: BaseException | int) -> Any:
    """A create_buf_file that fails for buffer 1."""

    def create(buffer: _core.Buffer, name: str | None) -> int:
        if buffer.index == 0:
            assert name is not None
            buffer.link(name)
            return 1
        if isinstance(how, BaseException):
            raise how
        return how

    return create


def test_create_that_raises(channels: Path) -> None:
    cause = Broken()
    with pytest.raises(errors.CallbackFailed, match="create_buf_file") as caught:
        make(channels, create_buf_file=fail_second(cause))
    assert caught.value.__cause__ is cause
    assert os.listdir(channels) == []


@pytest.mark.parametrize("error", [errors.NoSpace(28, "full"), KeyboardInterrupt()])
def test_create_that_raises_what_passes(channels: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        make(channels, create_buf_file=fail_second(error))
    assert caught.value is error
    error.__traceback__ = None  # it outlives the test
    assert os.listdir(channels) == []


def test_create_that_refuses(channels: Path) -> None:
    with pytest.raises(errors.CallbackFailed) as caught:
        make(channels, create_buf_file=fail_second(0))
    assert caught.value.__cause__ is None
    with pytest.raises(errors.CallbackFailed) as caught:
        make(channels, create_buf_file=fail_second(3))
    assert isinstance(caught.value.__cause__, ValueError)
    assert os.listdir(channels) == []


def test_prepare_reports_the_hook(channels: Path, reported: list[tuple[Any, Any]]) -> None:
    cause = Broken()
    channel = make(channels, create_buf_file=fail_second(cause), cpus=[0])
    with pytest.raises(errors.CallbackFailed) as caught:
        channel._prepare(1)
    assert caught.value.__cause__ is cause
    assert reported == []
    assert channel.write(b"spilled", cpu=1)
    assert reported == [(cause, reported[0][1])]
    assert channel._buffers()[0].read(9) == b"spilled"


def test_late_setup_reports_the_hook(channels: Path) -> None:
    cause = Broken()
    names: list[str | None] = []
    create = fail_second(cause)

    def create_named(buffer: _core.Buffer, name: str | None) -> int:
        names.append(name)
        return create(buffer, name) if name else 1

    channel = make(channels, None, create_buf_file=create_named)
    assert channel.base is None
    assert channel._buffers()[0].file_name is None
    with pytest.raises(errors.CallbackFailed) as caught:
        channel._late_setup(str(channels), "late")
    assert caught.value.__cause__ is cause
    assert names == [None, None, "late0", "late1"]
    assert not list(channels.glob("late*"))
    assert channel.base is None


def test_a_global_buffer(channels: Path) -> None:
    def create(buffer: _core.Buffer, name: str | None) -> int:
        assert name is not None
        buffer.link(name)
        return 2

    channel = make(channels, create_buf_file=create)
    assert channel.n_buffers == 1
    assert list(channel._buffers()) == [0]


def test_what_hooks_keep_of_a_failed_create_is_harmless(channels: Path) -> None:
    kept: list[_core.Buffer] = []
    views: list[memoryview] = []
    fail = fail_second(0)

    def create(buffer: _core.Buffer, name: str | None) -> int:
        kept.append(buffer)
        views.append(buffer.memory)
        return fail(buffer, name)

    def start(buffer: _core.Buffer, *_: object) -> bool:
        views.append(buffer.subbuf(1))
        return True

    with pytest.raises(errors.CallbackFailed):
        make(channels, create_buf_file=create, subbuf_start=start)
    views[1][:5] = b"alive"
    assert views[0][32:37] == b"alive"
    assert bytes(views[2]) == bytes(len(views[2]))
    for buffer in kept:
        for use in (buffer.poll, buffer.books, buffer.take, lambda b=buffer: b.index):
            with pytest.raises(errors.ChannelClosed, match="never came into being"):
                use()
    died = weakref.ref(kept[0].attachment)
    views.clear()
    kept.clear()
    del buffer, use
    gc.collect()
    assert died() is None


def test_a_write_from_inside_is_dropped(channels: Path) -> None:
    answers: list[bool] = []
    made: list[Channel] = []

    def start(buffer: _core.Buffer, index: int, prev: int | None, padding: int) -> bool:
        if made:
            answers.append(made[0].write(b"inside", cpu=0))
        return not buffer.full

    channel = make(channels, n_buffers=1, subbuf_start=start)
    made.append(channel)
    channel.write(SUBBUF, cpu=0)
    assert channel.write(SUBBUF, cpu=0)
    assert answers == [False]
    assert channel._buffers()[0].books().dropped_contended_records == 1


@pytest.mark.parametrize("end", ["_close", "_detach"])
@pytest.mark.parametrize("hook", ["subbuf_start", "deliver"])
def test_the_end_from_inside_a_hook(channels: Path, end: str, hook: str) -> None:
    made: list[Channel] = []

    def finish(*_: object) -> bool:
        while made:
            getattr(made.pop(), end)()
        return True

    channel = make(channels, **{hook: finish})
    died = weakref.ref(channel.attachment)
    reader = Channel._attach(str(channels), "app", None)._buffers()[0]
    made.append(channel)
    channel.write(SUBBUF, cpu=0)
    channel.write(b"next", cpu=0)
    assert channel.closed
    assert died() is None
    assert reader.read(99)[:32] == SUBBUF


def test_headers_are_written_in_place(channels: Path) -> None:
    def start(buffer: _core.Buffer, index: int, prev: int | None, padding: int) -> bool:
        if buffer.full or not buffer.subbuf_start_reserve(4):
            return False
        with buffer.subbuf(index) as subbuf:
            subbuf[:4] = b"head"
        return True

    channel = make(channels, n_buffers=1, subbuf_start=start)
    buffer = channel._buffers()[0]
    assert not buffer.subbuf_start_reserve(4)
    channel.write(b"body", cpu=0)
    assert buffer.read(99) == b"headbody"


def test_hooks_do_not_see_the_exception_that_aborts(channels: Path) -> None:
    seen: list[Any] = []
    channel = make(channels, deliver=lambda *_: seen.append(sys.exc_info()[0]))
    channel.write(SUBBUF, cpu=0)
    try:
        raise Broken
    except Broken:
        with pytest.warns(ResourceWarning):
            channel.reserve(4, 0)
    assert len(seen) == 1
    assert channel.write(b"next", cpu=0)
