"""`rchan top`: its text (pure), the view under Textual's pilot, and a real terminal."""

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_calls import call
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

import rchan
from rchan.cli import exits
from rchan.cli.look import Look, looks
from rchan.cli.rates import Watched
from rchan.cli.top_text import COLUMNS, bar, detail, fill_text, row, sorted_names, sparkline
from rchan.cli.top_view import Top
from rchan.stats import ChannelStats, Count, Stats


class TestText:
    def test_bar(self) -> None:
        assert bar(0, 4) == "    "
        assert bar(1, 4) == "████"
        assert bar(0.5, 4) == "██  "
        assert bar(0.0001, 4) == "▏   "  # something is there
        assert bar(7, 4) == "████"

    def test_sparkline(self) -> None:
        assert sparkline([], 3) == "   "
        assert sparkline([0, 1, 8], 4) == "  ▂█"
        assert sparkline([9, 9, 0, 4, 8], 3) == " ▅█"

    def test_full_is_bad_only_where_later_records_are_dropped(self) -> None:
        assert "red" in str(fill_text(1.0, False, 4).spans)
        assert "red" not in str(fill_text(1.0, True, 4).spans)

    def test_a_row_fits_its_columns(self) -> None:
        assert sum(width for _, width in COLUMNS) <= 80
        for name in ("app", "x" * 200):
            watched = Watched(look(name, 10**6, lost=10**9))
            for cell, (_, width) in zip(row(watched)[1:], COLUMNS[1:], strict=True):
                assert len(cell.plain) <= width

    def test_losses_are_told_by_cause_in_red(self) -> None:
        text = detail(Watched(look("app", 10, lost=7)), {12: "python"}, 12)
        assert "lost  7 dropped full" in text.plain
        assert "12 python" in text.plain
        (span,) = [span for span in text.spans if "dropped" in text.plain[span.start : span.end]]
        assert "red" in str(span.style)

    def test_more_buffers_than_lines(self) -> None:
        text = detail(Watched(look("app", 10, buffers=100)), {}, 10)
        assert len(text.plain.splitlines()) <= 10
        assert "97 more buffers" in text.plain

    def test_a_damaged_channel(self) -> None:
        watched = Watched(Look("bad", "damaged", 0))
        assert len(row(watched)) == len(COLUMNS)
        assert "damaged" in detail(watched, {}, 9).plain

    def test_orders(self) -> None:
        channels = {
            name: Watched(look(name, written, lost=lost))
            for name, written, lost in (("a", 5, 0), ("b", 9, 3), ("c", 7, 8))
        }
        assert sorted_names(channels, "name") == ["a", "b", "c"]
        assert sorted_names(channels, "lost") == ["c", "b", "a"]
        assert sorted_names(channels, "fill") == ["b", "c", "a"]


def look(name: str, written: int, lost: int = 0, buffers: int = 1) -> Look:
    stats = Stats(
        written=Count(written, written),
        readable=Count(written, written),
        dropped_full=Count(lost, lost),
    )
    each = dict.fromkeys(range(buffers), stats)
    return Look(
        name,
        "live",
        1,
        subbuf_size=1000,
        n_subbufs=4,
        n_buffers=buffers,
        enabled=True,
        producers=(12,),
        stats=ChannelStats(stats, each),
    )


@pytest.fixture
def app() -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=4096, n_subbufs=4, n_buffers=2) as channel:
        yield channel


def under_pilot(test: Callable[[Top, Pilot[None]], Coroutine[Any, Any, None]]) -> None:
    """Run a test with a screen of 80 x 24 that looks again only when it is told to."""

    async def run() -> None:
        top = Top(lambda: looks(None), None, "here", 1e6)
        async with top.run_test(size=(80, 24)) as pilot:
            await test(top, pilot)

    asyncio.run(run())


def shown(top: Top) -> str:
    return str(top.query_one("#detail", Static).render())


class TestView:
    def test_shows_what_is_there(self, app: rchan.Channel) -> None:
        async def test(top: Top, pilot: Pilot[None]) -> None:
            app.write(b"x" * 4096, cpu=0)
            await top.look_again()
            table = top.query_one(DataTable)
            assert table.get_cell_at((0, 0)).plain == "app"
            assert table.get_cell_at((0, 2)).plain.endswith(" 12%")
            assert "2 x 4 x 4 KiB" in shown(top)
            assert f"{os.getpid()} " in shown(top)

        under_pilot(test)

    def test_keys(self, app: rchan.Channel, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)

        async def test(top: Top, pilot: Pilot[None]) -> None:
            app.write(b"record", cpu=0)
            await pilot.press("f")
            await until(pilot, lambda: app.buffers[0].subbufs_produced == 1)
            await pilot.press("s")
            await until(pilot, lambda: bool(os.listdir(tmp_path)))
            await pilot.press("p")
            await until(pilot, lambda: not app.enabled)
            await until(pilot, lambda: "paused" in str(top.query_one(DataTable).get_row_at(0)[1]))
            await pilot.press("p")
            await until(pilot, lambda: app.enabled)

        under_pilot(test)
        (file,) = tmp_path.iterdir()
        assert file.read_bytes() == b"record"

    def test_sorting_and_choosing(self, app: rchan.Channel) -> None:
        with rchan.create("busy", subbuf_size=4096, n_subbufs=4, n_buffers=1) as busy:
            for _ in range(9):
                busy.write(bytes(4096))

            async def test(top: Top, pilot: Pilot[None]) -> None:
                assert top.selected == "app"
                await pilot.press("down")
                assert top.selected == "busy"
                assert "5 dropped full" in shown(top)
                for _ in range(4):  # name, fill, write, read, lost
                    await pilot.press("o")
                assert [top.query_one(DataTable).get_cell_at((n, 0)).plain for n in (0, 1)] == [
                    "busy",
                    "app",
                ]
                assert top.selected == "busy"

            under_pilot(test)

    def test_channels_come_and_go(self, app: rchan.Channel) -> None:
        async def test(top: Top, pilot: Pilot[None]) -> None:
            rchan.create("new", subbuf_size=4096).detach()
            await top.look_again()
            assert top.query_one(DataTable).row_count == 2
            rchan.remove("app")
            await pilot.press("f")  # of one that is gone meanwhile
            await until(pilot, lambda: "no channel 'app'" in title(top))
            assert top.selected == "new"
            rchan.remove("new")
            await top.look_again()
            assert "no channels" in shown(top)
            await pilot.press("s", "p", "f")

        under_pilot(test)

    def test_frozen(self, app: rchan.Channel) -> None:
        async def test(top: Top, pilot: Pilot[None]) -> None:
            await pilot.press("space")
            rchan.create("new", subbuf_size=4096).detach()
            await top.look_again()
            assert "frozen" in title(top)
            assert top.query_one(DataTable).row_count == 1
            await pilot.press("space")
            await top.look_again()
            assert top.query_one(DataTable).row_count == 2

        under_pilot(test)
        rchan.remove("new")

    def test_keeps_no_channel_alive(self, app: rchan.Channel) -> None:
        async def test(top: Top, pilot: Pilot[None]) -> None:
            before = app.producers()
            await top.look_again()
            assert app.producers() == before == [os.getpid()]

        under_pilot(test)

    def test_left_while_it_looks(self, app: rchan.Channel) -> None:
        """What a look finds after the screen has gone is drawn nowhere."""
        looking, left = threading.Event(), threading.Event()

        def slow() -> list[Look]:
            looking.set()
            assert left.wait(60)
            return looks(None)

        async def run() -> None:
            top = Top(lambda: looks(None), None, "here", 1e6)
            async with top.run_test(size=(80, 24)):
                top._look = slow
                look = asyncio.create_task(top.look_again())
                await asyncio.to_thread(looking.wait, 60)
            left.set()
            await look
            top.on_data_table_row_highlighted()

        asyncio.run(run())


def title(top: Top) -> str:
    return str(top.query_one("#title", Static).render())


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    while not condition():
        await pilot.pause()


class TestCommand:
    def test_without_a_terminal(self, app: rchan.Channel) -> None:
        done = call("top")
        assert (done.status, "ls --rates" in done.err) == (exits.USAGE, True)

    def test_without_textual(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "rchan.cli.top_view", raising=False)
        monkeypatch.setitem(sys.modules, "textual.app", None)
        done = call("top")
        assert done.status == exits.FAILURE
        assert "pip install 'rchan[tui]'" in done.err
        assert len(done.err.splitlines()) == 1

    @staticmethod
    def _in_a_terminal(hangup: signal.Handlers) -> tuple[int, subprocess.Popen[bytes], bytes]:
        """Our end of the terminal, `top` in it with that action for SIGHUP, and the screen."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        before = signal.signal(signal.SIGHUP, hangup)
        process = subprocess.Popen(
            [sys.executable, "-m", "rchan.cli", "top", "--interval", "0.1"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color"},
        )
        signal.signal(signal.SIGHUP, before)
        os.close(theirs)
        screen = b""
        while not (b"4 KiB" in screen and b"app" in screen):
            screen += os.read(ours, 65536)
        return ours, process, screen

    def test_in_a_terminal(self, app: rchan.Channel) -> None:
        ours, process, screen = self._in_a_terminal(signal.SIG_DFL)
        assert b"app" in screen
        os.write(ours, b"q")
        with contextlib.suppress(OSError):  # EIO: it has left
            while True:
                screen += os.read(ours, 65536)
        assert process.wait() == 0
        assert b"Traceback" not in screen
        os.close(ours)

    @pytest.mark.parametrize("hangup", [signal.SIG_DFL, signal.SIG_IGN])
    def test_the_terminal_goes_away(self, app: rchan.Channel, hangup: signal.Handlers) -> None:
        """Under nohup, too."""
        ours, process, _ = self._in_a_terminal(hangup)
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.wait() == -signal.SIGHUP
