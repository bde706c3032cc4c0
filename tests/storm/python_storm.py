"""A storm in Python: writers (forked, spawned, in threads) of records and, in every other round, of
events; taps, snapshots and `rchan record`: killed, stopped and moved at random. A killed recorder's
successor goes on with its recording. Then the recording must have every record once, but those that
were counted as overwritten.

    python tests/storm/python_storm.py [--seconds N] [--seed N] [--kills N] [--only KIND]

Prints one line of JSON; exit status 1 if anything was torn, duplicated, invented, uncounted or
wedged."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import roles
from audit import FINDINGS, Audit
from records import WRITERS, Ledger

import rchan
from rchan import tracefile

CREWS = {
    "records": ["write", "write", "write", "reserve", "threads", "threads", "tap", "snapshot"],
    "events": [*["emit"] * 4, *["emit in threads"] * 2, "tap events", "snapshot events"],
}
PATIENCE = 60.0  # seconds that nobody may wait
ROUND = 3.0
LIVES = WRITERS - 4  # two writers a life at most
PR_SET_PDEATHSIG = 1
CRIMES = (*FINDINGS, "wedged")


def die_with_the_storm() -> None:
    """In a child: who is left behind by a storm that was itself killed would go on for ever."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Storm:
    """kinds: of channels, one in each round."""

    def __init__(self, seed: int, kinds: list[str]) -> None:
        self.seed = seed
        self.kinds = kinds
        self.counts: Counter[str] = Counter()

    # ---- a round ----

    def play(self, number: int, seconds: float) -> None:
        self.dice = random.Random(f"{self.seed}.{number}")
        self.kind = self.kinds[number % len(self.kinds)]
        self.crew = CREWS[self.kind]
        with tempfile.TemporaryDirectory(prefix="rchan-storm-", dir="/dev/shm") as folder:
            self.folder = folder
            self.ledger = Ledger(Path(folder, "ledger"))
            self.next_writer = 0
            self.pids: dict[int, int] = {}
            self.stopped: set[int] = set()
            self.recorder_kills = 0
            self.recording = Path(folder, "recording")
            self.recorder_log = Path(folder, "recorder.log")
            self.record_options = self.dice.choice([[], ["--rotate-size", "16K"]])
            self.channel = self.create()
            try:
                self.blow(seconds)
                self.check_progress()
                for actor in list(self.pids):
                    self.kill(actor)
                self.channel.flush()
                self.stop_recorder()
                self.audit()
            finally:
                for pid in self.pids.values():
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                self.pids.clear()
                self.recorder.kill()
                self.recorder.wait()
                self.channel.close()
        self.counts["rounds"] += 1
        self.counts[f"rounds of {self.kind}"] += 1

    def create(self) -> rchan.Channel:
        shape: dict[str, Any] = {
            "parent": self.folder,
            "subbuf_size": self.dice.choice([512, 4096, 65536]),
            "n_subbufs": self.dice.choice([2, 8, 64]),
            "n_buffers": self.dice.choice([1, 2, 4]),
            "overwrite": self.dice.random() < 0.5,
        }
        if self.kind == "records":
            return rchan.create("storm", **shape)
        return rchan.Tracer("storm", **shape).channel

    def blow(self, seconds: float) -> None:
        self.record()
        self.wait_for_recorder()
        for actor in range(len(self.crew)):
            self.spawn(actor)
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.next_writer < LIVES:
            actor = self.dice.randrange(len(self.crew))
            what = self.dice.random()
            if what < 0.75:
                self.kill(actor)
                self.spawn(actor)
            elif what < 0.9:
                self.stop_or_go(actor)
            elif what < 0.96:
                cpus = os.sched_getaffinity(0)
                os.sched_setaffinity(self.pids[actor], [self.dice.choice(sorted(cpus))])
            elif self.dice.random() < 0.7:
                self.kill_recorder()
            else:
                self.recorder.send_signal(signal.SIGSTOP)
                time.sleep(0.01)
                self.recorder.send_signal(signal.SIGCONT)
            time.sleep(self.dice.random() * 0.008)
        if not self.recorder_kills:
            self.wait_for_recorder()
            self.kill_recorder()

    # ---- processes ----

    def spawn(self, actor: int) -> None:
        role, writer, seed = self.crew[actor], self.next_writer, self.dice.randrange(1 << 30)
        self.next_writer += 2 if role in roles.WRITERS else 0
        command = [sys.executable, __file__, "--actor", role, self.folder]
        command += [str(writer), str(actor), str(seed)]
        spawned = self.dice.random() < 0.05
        pid = os.fork()
        if not pid:
            try:
                os.setpgid(0, 0)
                die_with_the_storm()
                if spawned:
                    os.execv(sys.executable, command)
                inherited = self.channel if seed % 2 else None
                roles.play(role, self.folder, writer, actor, seed, inherited)
            except BaseException as error:
                os.write(2, f"storm: {role} ended by itself: {error!r}\n".encode())
            finally:
                os._exit(3)
        self.pids[actor] = pid
        self.stopped.discard(actor)
        self.counts["spawns" if spawned else "forks"] += 1

    def kill(self, actor: int) -> None:
        pid = self.pids.pop(actor)
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        self.counts["kills"] += 1
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            self.accuse("wedged", f"{self.crew[actor]} ended by itself: {status:#x}")

    def stop_or_go(self, actor: int) -> None:
        stop = actor not in self.stopped
        (self.stopped.add if stop else self.stopped.discard)(actor)
        os.kill(self.pids[actor], signal.SIGSTOP if stop else signal.SIGCONT)
        self.counts["stops"] += stop

    def record(self) -> None:
        command = [sys.executable, "-m", "rchan.cli", "record", "-o", str(self.recording)]
        command += ["--quiet", *self.record_options, "--parent", self.folder, "storm"]
        with open(self.recorder_log, "ab") as log:
            self.recorder = subprocess.Popen(
                command,
                stderr=log,
                preexec_fn=die_with_the_storm,  # noqa: PLW1509 - there are no threads here
            )

    def kill_recorder(self) -> None:
        """Most often one that records; now and then one that only begins to."""
        if not self.records() and self.dice.random() < 0.8:
            return
        self.recorder.kill()
        self.recorder.wait()
        self.recorder_kills += 1
        self.counts["recorder_kills"] += 1
        self.counts["kills"] += 1
        self.record()

    def records(self) -> bool:
        """Does the present recorder record already?"""
        with contextlib.suppress(tracefile.RecordingNotFound):
            known = tracefile.load(self.recording / "storm")
            return known.recorder_pid == self.recorder.pid
        return False

    def wait_for_recorder(self) -> None:
        end = time.monotonic() + PATIENCE
        while not self.records() and time.monotonic() < end:
            time.sleep(0.005)

    def stop_recorder(self) -> None:
        """Once it records at all, SIGINT makes it record everything and end."""
        self.wait_for_recorder()
        self.recorder.send_signal(signal.SIGINT)
        try:
            status = self.recorder.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.accuse("wedged", "the recorder does not end")
        else:
            if status:
                said = self.recorder_log.read_text("utf-8")[-1000:]
                self.accuse("wedged", f"the recorder ended with status {status}: {said}")

    def check_progress(self) -> None:
        for actor in self.stopped:
            os.kill(self.pids[actor], signal.SIGCONT)
        before = {actor: self.ledger.beats(actor) for actor in self.pids}
        end = time.monotonic() + PATIENCE
        for actor, beats in before.items():
            while self.ledger.beats(actor) == beats:
                if time.monotonic() > end:
                    self.accuse("wedged", f"{self.crew[actor]} does not get on")
                    break
                time.sleep(0.001)

    # ---- the audit ----

    def accuse(self, crime: str, what: str) -> None:
        self.counts[crime] += 1
        print(f"{crime}: {what}", file=sys.stderr)

    def audit(self) -> None:
        audit = Audit(self.channel, self.ledger, self.next_writer, self.recorder_kills)
        for crime, what in audit.findings(self.recording):
            self.accuse(crime, what)
        self.counts.update(audit.counts)


def main() -> int:
    if sys.argv[1:2] == ["--actor"]:
        role, folder, *numbers = sys.argv[2:]
        roles.play(role, folder, *map(int, numbers))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0, help="go on until there were so many")
    parser.add_argument("--only", choices=CREWS, help="channels of this kind; else both, in turns")
    options = parser.parse_args()
    storm = Storm(options.seed, [options.only] if options.only else list(CREWS))
    began = time.monotonic()
    for number in range(1 << 20):
        left = options.seconds - (time.monotonic() - began)
        guilty = any(storm.counts[crime] for crime in CRIMES)
        if guilty or (left <= 0 and storm.counts["kills"] >= options.kills):
            break
        storm.play(number, ROUND if left <= 0 else min(left, ROUND))
    values = {"seed": options.seed, "seconds": round(time.monotonic() - began, 1)}
    values |= dict(storm.counts) | {crime: storm.counts[crime] for crime in CRIMES}
    print(json.dumps(values))
    return int(any(storm.counts[crime] for crime in CRIMES))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
