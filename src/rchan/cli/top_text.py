"""What `rchan top` shows, as text: bars, sparklines, lines of a channel. No terminal, no clock."""

from collections.abc import Callable, Sequence
from typing import Final

from rich.text import Text

from rchan.cli.ls import state_text
from rchan.cli.rates import Rate, Watched, losses
from rchan.cli.screen import amount_text, count_text, duration_text, name_text, size_text

_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_LEVELS: Final = "▁▂▃▄▅▆▇█"
SORTS: Final = ("name", "fill", "write", "read", "lost")
COLUMNS: Final = (  # title, cells
    ("NAME", 13),
    ("STATE", 10),
    ("FILL", 14),
    (" WRITE/s", 9),
    ("", 11),
    ("  READ/s", 9),
    ("   LOST", 8),
    ("PROC", 5),
)
_KEYS: Final[dict[str, Callable[[Watched], float]]] = {
    "fill": lambda watched: watched.look.fill,
    "write": lambda watched: watched.rate.written_bytes,
    "read": lambda watched: watched.rate.read_bytes,
    "lost": lambda watched: watched.look.stats.total.lost.records,
}
_STATE_STYLES: Final = {"live": "green", "paused": "yellow", "orphaned": "yellow", "damaged": "red"}


def bar(share: float, width: int) -> str:
    """A bar of `width` cells, filled to 0..1 in eighths of a cell."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    if share > 0:
        eighths = max(1, eighths)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def sparkline(values: Sequence[float], width: int) -> str:
    """The newest `width` values, the highest of them as a full block; nothing for 0."""
    newest = list(values)[-width:]
    highest = max(newest, default=0.0)
    cells = [" " if value <= 0 else _LEVELS[min(7, int(value / highest * 8))] for value in newest]
    return "".join(cells).rjust(width)


def fill_text(share: float, overwrite: bool, width: int) -> Text:
    """A bar and a percentage; full is bad only where later records are dropped."""
    style = (
        "blue" if overwrite else "red" if share >= 0.9 else "yellow" if share >= 0.7 else "green"
    )
    return Text.assemble((bar(share, width), f"{style} on grey23"), f"{share:>5.0%}")


def row(watched: Watched) -> tuple[Text, ...]:
    """A channel as a line of the table."""
    look, rate = watched.look, watched.rate
    name = Text(name_text(look.name), overflow="ellipsis", no_wrap=True)
    state = state_text(look)
    shown = Text(state, _STATE_STYLES.get(state, ""))
    if not look.readable_there:
        return (name, Text(state, "red"), *(Text() for _ in COLUMNS[2:]))
    lost = look.stats.total.lost.records
    return (
        name,
        shown,
        fill_text(look.fill, look.overwrite, 8),
        _right(amount_text(rate.written_bytes), 8),
        Text(sparkline(watched.written, 9) + " ", "cyan"),
        _right(amount_text(rate.read_bytes), 8),
        _right(count_text(lost), 7, "bold red" if lost else "dim"),
        _right(str(len(look.producers)), 4),
    )


def _right(text: str, width: int, style: str = "") -> Text:
    return Text(text.rjust(width), style)


def sorted_names(channels: dict[str, Watched], by: str) -> list[str]:
    """Names of the channels in the order of one of SORTS; the biggest first."""
    key = _KEYS.get(by)
    names = sorted(channels)
    return names if key is None else sorted(names, key=lambda name: -key(channels[name]))


def detail(watched: Watched, processes: dict[int, str], height: int) -> Text:
    """A channel in some lines: shape, losses by cause, processes, and a line for each buffer."""
    look, rate = watched.look, watched.rate
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(name_text(look.name), "bold")
    if not look.readable_there:
        return text.append(f": {look.state}; 'rchan stat' says why", "red")
    mode = "overwrite" if look.overwrite else "keeps the oldest"
    text.append(
        f"  {look.n_buffers} x {look.n_subbufs} x {size_text(look.subbuf_size)}, {mode}, made "
        f"{duration_text(look.age)} ago\n"
    )
    text.append("write ").append(sparkline(watched.written, 26), "cyan")
    text.append("  read ").append(sparkline(watched.read, 26), "green")
    text.append(f"  wake {rate.wakeups:,.0f}/s\n")
    text.append_text(_lost(watched))
    text.append_text(_who(watched, processes))
    text.append_text(_buffers(watched, max(1, height - 6)))
    return text


def _lost(watched: Watched) -> Text:
    causes = losses(watched.look.stats.total)
    if not causes:
        return Text("lost  nothing\n", "dim")
    words = ", ".join(f"{count_text(n)} {cause.replace('_', ' ')}" for cause, n in causes.items())
    return Text(f"lost  {words}; {count_text(round(watched.rate.lost_records))}/s\n", "bold red")


def _who(watched: Watched, processes: dict[int, str]) -> Text:
    look = watched.look
    names = ", ".join(f"{pid} {processes.get(pid, '?')}" for pid in look.producers)
    reads = "somebody reads" if watched.rate.read_bytes else "nobody reads"
    waits = f"{look.readers} readers wait" if look.readers else reads
    return Text(f"procs {names or 'none'}; {waits}\n")


def _buffers(watched: Watched, most: int) -> Text:
    look = watched.look
    text = Text()
    text.append("  BUF  FILL                  WRITE/s    READ/s      UNREAD      LOST\n", "bold")
    for shown, (index, stats) in enumerate(look.stats.items()):
        if shown == most - 1 and len(look.stats) > most:
            text.append(f"  … and {len(look.stats) - shown} more buffers", "dim")
            break
        rate = watched.buffers.get(index, Rate())
        lost = stats.lost.records
        text.append(f"{index:>5}  ")
        text.append_text(fill_text(look.fill_of(index), look.overwrite, 14))
        text.append(
            f"  {amount_text(rate.written_bytes):>8}  {amount_text(rate.read_bytes):>8}"
            f"  {count_text(stats.readable.records):>10}  "
        )
        text.append(f"{count_text(lost):>8}\n", "bold red" if lost else "dim")
    return text
