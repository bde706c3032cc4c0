"""The processes of a storm in Python: each gets on until it is killed."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from records import NUMBERS, Ledger, TornError, record, records

import rchan
import rchan.events

PAUSE = 0.0005  # seconds, after a burst: a storm is about kills, not about full buffers
FULL = 0.002  # seconds, after a drop
BURST = 40


def write(channel: rchan.Channel, ledger: Ledger, writer: int, actor: int, dice: random.Random):
    """Up to NUMBERS records, then idle."""
    most = min(channel.subbuf_size, 200)
    for number in range(NUMBERS):
        data = record(writer, number, dice.randint(16, most))
        ledger.attempt(writer, number)
        stored = channel.write(data)
        ledger.answer(writer, number, stored)
        if not stored:
            time.sleep(FULL)
        ledger.beat(actor)
        if number % BURST == 0:
            time.sleep(PAUSE)
    idle(ledger, actor)


def idle(ledger: Ledger, actor: int) -> None:
    while True:
        ledger.beat(actor)
        time.sleep(PAUSE)


def reserve(channel: rchan.Channel, ledger: Ledger, writer: int, actor: int, dice: random.Random):
    """The same, in place; now and then an exception discards the record."""
    most = min(channel.subbuf_size, 200)
    for number in range(NUMBERS):
        data = record(writer, number, dice.randint(16, most))
        ledger.attempt(writer, number)
        stored = False
        with contextlib.suppress(ZeroDivisionError):
            with channel.reserve(len(data)) as slot:
                slot[:] = data
                if number % 50 == 0:
                    raise ZeroDivisionError
            stored = slot.stored
        ledger.answer(writer, number, stored)
        if not slot.stored:
            time.sleep(FULL)
        ledger.beat(actor)
        if number % BURST == 0:
            time.sleep(PAUSE)
    idle(ledger, actor)


def write_in_threads(channel, ledger: Ledger, writer: int, actor: int, dice: random.Random):
    """Two writers (numbers writer and writer + 1) in one process."""
    arguments = (channel, ledger, writer + 1, actor, random.Random(dice.random()))
    threading.Thread(target=write, args=arguments, daemon=True).start()
    write(channel, ledger, writer, actor, dice)


def tap(channel: rchan.Channel, ledger: Ledger, writer: int, actor: int, dice: random.Random):
    while True:
        start = dice.choice(["unread", "oldest", "now"])
        try:
            for copy in channel.tap(start=start, timeout=0.01):
                list(records(bytes(copy.data)))
        except rchan.ChannelBusy:
            pass
        ledger.beat(actor)


def snapshot(channel: rchan.Channel, ledger: Ledger, writer: int, actor: int, dice: random.Random):
    while True:
        with contextlib.suppress(rchan.ChannelBusy):
            for copy in channel.snapshot(start=dice.choice(["oldest", "unread"])):
                list(records(bytes(copy.data)))
        channel.stats()
        ledger.beat(actor)
        time.sleep(0.002)


# ---- the same in a channel of events: each has a record for its only field ----

EVENT = "record"


def emitter(channel: rchan.Channel, ledger: Ledger, actor: int) -> Callable[[bytes], bool]:
    """Registers the event; who was stopped while he did keeps others from it for a while."""
    tracer = rchan.Tracer(channel)
    while True:
        with contextlib.suppress(rchan.ChannelBusy):
            return tracer.event(EVENT, **{EVENT: rchan.bytes})
        ledger.beat(actor)


def emit(channel: rchan.Channel, ledger: Ledger, writer: int, actor: int, dice: random.Random):
    """Up to NUMBERS events, then idle."""
    most = min(channel.subbuf_size // 4, 200)
    event = emitter(channel, ledger, actor)
    for number in range(NUMBERS):
        data = record(writer, number, dice.randint(16, most))
        ledger.attempt(writer, number)
        stored = event(data)
        ledger.answer(writer, number, stored)
        if not stored:
            time.sleep(FULL)
        ledger.beat(actor)
        if number % BURST == 0:
            time.sleep(PAUSE)
    idle(ledger, actor)


def emit_in_threads(channel, ledger: Ledger, writer: int, actor: int, dice: random.Random):
    """Two writers (numbers writer and writer + 1) in one process."""
    arguments = (channel, ledger, writer + 1, actor, random.Random(dice.random()))
    threading.Thread(target=emit, args=arguments, daemon=True).start()
    emit(channel, ledger, writer, actor, dice)


def check_events(source: object) -> None:
    """Whole, and each as it was written."""
    with rchan.events.read(source) as reader:
        for event in reader:
            list(records(event.fields[EVENT]))
        if reader.report.damage:
            raise TornError(reader.report.damage)


def tap_events(channel: rchan.Channel, ledger: Ledger, writer: int, actor: int, dice):
    while True:
        with contextlib.suppress(rchan.ChannelBusy):
            check_events(channel.tap(start=dice.choice(["unread", "oldest", "now"]), timeout=0.01))
        ledger.beat(actor)


def snapshot_events(channel: rchan.Channel, ledger: Ledger, writer: int, actor: int, dice):
    while True:
        with contextlib.suppress(rchan.ChannelBusy):
            check_events(channel.snapshot(start=dice.choice(["oldest", "unread"])))
        channel.stats()
        ledger.beat(actor)
        time.sleep(0.002)


ROLES: dict[str, Callable[..., None]] = {
    "write": write,
    "reserve": reserve,
    "threads": write_in_threads,
    "tap": tap,
    "snapshot": snapshot,
    "emit": emit,
    "emit in threads": emit_in_threads,
    "tap events": tap_events,
    "snapshot events": snapshot_events,
}
WRITERS = ("write", "reserve", "threads", "emit", "emit in threads")


def play(role: str, folder: str, writer: int, actor: int, seed: int, channel=None) -> None:
    """The body of a process: never returns."""
    channel = channel or rchan.open("storm", parent=folder)
    ROLES[role](channel, Ledger(Path(folder, "ledger")), writer, actor, random.Random(seed))
