"""The terminal view of `rchan top`: asks for looks, shows them, does what keys say."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from time import localtime, strftime
from typing import Any, ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Static

from rchan.channel import Channel
from rchan.channel import open as open_channel
from rchan.cli.look import Look
from rchan.cli.rates import Watch, Watched
from rchan.cli.screen import amount_text
from rchan.cli.streams import write_all
from rchan.cli.top_text import COLUMNS, SORTS, detail, row, sorted_names
from rchan.errors import RchanError

_SAID_FOR: Final = 5
_CSS: Final = """
Screen { layout: vertical; }
#title { height: 1; background: $primary; color: $text; text-style: bold; padding: 0 1; }
#channels { height: 1fr; min-height: 4; }
#detail { height: auto; max-height: 13; border-top: solid $primary; padding: 0 1; }
"""


class Top(App[None]):
    """All channels of a directory in a table, and the selected one below it."""

    CSS = _CSS
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("p", "pause", "Pause/resume"),
        Binding("f", "flush", "Flush"),
        Binding("s", "snapshot", "Snapshot"),
        Binding("o", "sort", "Sort"),
        Binding("space", "freeze", "Freeze"),
    ]

    def __init__(
        self, look: Callable[[], list[Look]], parent: str | None, title: str, interval: float
    ) -> None:
        """look: all channels, now. title: what is watched. interval: seconds between two looks."""
        super().__init__()
        self._look = look
        self._parent_directory = parent
        self._what = title
        self._interval = interval
        self._watch = Watch()
        self._sort = SORTS[0]
        self._frozen = False
        self._names: list[str] = []
        self._said = Text()  # what a key did; stays for a few looks
        self._said_for = 0

    def compose(self) -> ComposeResult:
        """Title, table, detail, keys."""
        yield Static(id="title")
        yield DataTable(
            id="channels",
            cursor_type="row",
            cell_padding=0,
            cursor_foreground_priority="renderable",
            cursor_background_priority="css",
        )
        yield Static(id="detail")
        yield Footer(compact=True)

    async def on_mount(self) -> None:
        """The first look, and the clock of the next ones."""
        table = self._table()
        for title, width in COLUMNS:
            table.add_column(title.ljust(width), width=width)
        table.focus()
        await self.look_again()
        self.set_interval(self._interval, self.look_again)
        self.set_interval(self._interval, self._leave_with_the_terminal)

    async def look_again(self) -> None:
        """One look at everything, outside of the thread that draws."""
        if self._frozen:
            return
        try:
            self._watch.take(await asyncio.to_thread(self._look))
        except RchanError as error:
            self._say(str(error), "bold red")
            return
        self._said_for = max(0, self._said_for - 1)
        self._show()

    def _leave_with_the_terminal(self) -> None:
        """Who ignores SIGHUP (nohup) would go on for ever, reading the end of a terminal."""
        if not self.is_headless and not os.isatty(0):
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGHUP)

    # ---- drawing ----

    @property
    def _there(self) -> bool:
        """Is there something to draw on? Somebody may leave while a look is going on."""
        return bool(self.screen_stack) and bool(self.query("#detail"))

    def _table(self) -> "DataTable[Text]":
        return self.query_one("#channels", DataTable)

    def _say(self, words: str, style: str = "bold") -> None:
        """Words about what a key did, for some looks."""
        self._said, self._said_for = Text(words, style), _SAID_FOR
        self._show_title()

    def _show_title(self) -> None:
        if not self._there:
            return
        frozen = "  (frozen)" if self._frozen else ""
        many = len(self._watch.channels)
        channels = "1 channel" if many == 1 else f"{many} channels"
        facts = Text(f"{self._what}  {channels}  by {self._sort}{frozen}")
        said = self._said if self._said_for else facts
        title = Text.assemble("rchan top  ", said, overflow="ellipsis", no_wrap=True)
        self.query_one("#title", Static).update(title)

    def _show(self) -> None:
        if not self._there:
            return
        self._show_title()
        channels = self._watch.channels
        table = self._table()
        selected = self.selected
        names = sorted_names(channels, self._sort)
        if names == self._names:
            for at, name in enumerate(names):
                for column, cell in enumerate(row(channels[name])):
                    table.update_cell_at((at, column), cell)  # type: ignore[arg-type]
        else:
            self._names = names
            table.clear()
            for name in names:
                table.add_row(*row(channels[name]))
            if selected in names:
                table.move_cursor(row=names.index(selected))
        self._show_detail()

    def _show_detail(self) -> None:
        if not self._there:
            return
        below = self.query_one("#detail", Static)
        watched = self._watched()
        if watched is None:
            below.update(Text("no channels here; 'rchan create NAME' makes one", "dim"))
            return
        processes = {pid: _command_of(pid) for pid in watched.look.producers[:8]}
        below.update(detail(watched, processes, 12))

    @property
    def selected(self) -> str | None:
        """The name of the channel that the cursor is on."""
        at = self._table().cursor_row
        return self._names[at] if 0 <= at < len(self._names) else None

    def _watched(self) -> Watched | None:
        return self._watch.channels.get(self.selected or "")

    def on_data_table_row_highlighted(self) -> None:
        """The cursor has moved."""
        self._show_detail()

    # ---- keys ----

    def action_sort(self) -> None:
        """The next order."""
        self._sort = SORTS[(SORTS.index(self._sort) + 1) % len(SORTS)]
        self._show()

    def action_freeze(self) -> None:
        """Stop looking, or go on."""
        self._frozen = not self._frozen
        self._show()

    async def action_pause(self) -> None:
        """Let no writer write, or let them again."""
        watched = self._watched()
        if watched is None:
            return
        on = not watched.look.enabled

        def switch(channel: Channel) -> str:
            channel.enabled = on
            return "writes again" if on else "is paused"

        await self._do(switch)

    async def action_flush(self) -> None:
        """Finish the current sub-buffers."""

        def flush(channel: Channel) -> str:
            channel.flush()
            return "is flushed"

        await self._do(flush)

    async def action_snapshot(self) -> None:
        """Copy what is there to a file in the current directory."""
        name = (self.selected or "").replace("/", "_")
        file = f"{name}-{strftime('%Y%m%d-%H%M%S', localtime())}.snapshot"

        def snapshot(channel: Channel) -> str:
            taken = channel.snapshot()
            with open(file, "xb") as stream:
                for copy in taken:
                    write_all(stream.fileno(), copy.data)
            return f"is in {file} ({amount_text(taken.size)})"

        await self._do(snapshot)

    async def _do(self, what: Callable[[Channel], str]) -> None:
        """Something to the selected channel, outside of the thread that draws; say how it went."""
        name = self.selected
        if name is None:
            return
        try:
            words = await asyncio.to_thread(_with_channel, name, self._parent_directory, what)
            self._say(f"{name} {words}")
        except (RchanError, OSError) as error:
            self._say(str(error), "bold red")
        await self.look_again()


def _with_channel(name: str, parent: str | None, what: Callable[[Channel], Any]) -> str:
    channel = open_channel(name, parent)
    try:
        return str(what(channel))
    finally:
        channel.detach()


def _command_of(pid: int) -> str:
    """The name of a process, as far as we may know it."""
    try:
        words = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return "?"
    return "".join(character for character in words if character.isprintable())
