"""A storm in Python: writers (forked, spawned, in threads), taps, snapshots and `rchan record`,
killed, stopped and moved at random; then every recorded record is checked.

    python tests/storm/python_storm.py [--seconds N] [--seed N] [--kills N]

Prints one line of JSON; exit status 1 if anything was torn, duplicated, invented, uncounted or
wedged."""

from __future__ import annotations

import argparse
import contextlib
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

sys.path.insert(0, str(Path(__file__).parent))

import roles
from records import STORED, UNKNOWN, WRITERS, Ledger, TornError, records

import rchan

CREW = ["write", "write", "write", "reserve", "threads", "threads", "tap", "snapshot"]
PATIENCE = 30.0  # seconds that nobody may wait
ROUND = 3.0
LIVES = WRITERS - 4  # two writers a life at most
CRIMES = ("torn", "duplicated", "invented", "uncounted", "wedged")


class Storm:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.counts: Counter[str] = Counter()

    # ---- a round ----

    def play(self, number: int, seconds: float) -> None:
        self.dice = random.Random(f"{self.seed}.{number}")
        with tempfile.TemporaryDirectory(prefix="rchan-storm-", dir="/dev/shm") as folder:
            self.folder = folder
            self.ledger = Ledger(Path(folder, "ledger"))
            self.next_writer = 0
            self.pids: dict[int, int] = {}
            self.stopped: set[int] = set()
            self.recordings: list[tuple[Path, bool]] = []
            self.channel = rchan.create(
                "storm",
                parent=folder,
                subbuf_size=self.dice.choice([512, 4096, 65536]),
                n_subbufs=self.dice.choice([2, 8, 64]),
                n_buffers=self.dice.choice([1, 2, 4]),
                overwrite=self.dice.random() < 0.5,
            )
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

    def blow(self, seconds: float) -> None:
        self.record()
        self.wait_for_recorder()
        for actor in range(len(CREW)):
            self.spawn(actor)
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.next_writer < LIVES:
            actor = self.dice.randrange(len(CREW))
            what = self.dice.random()
            if what < 0.75:
                self.kill(actor)
                self.spawn(actor)
            elif what < 0.9:
                self.stop_or_go(actor)
            elif what < 0.98:
                cpus = os.sched_getaffinity(0)
                os.sched_setaffinity(self.pids[actor], [self.dice.choice(sorted(cpus))])
            elif self.dice.random() < 0.2:
                self.recorder.kill()
                self.recorder.wait()
                self.recordings[-1] = (self.recordings[-1][0], True)
                self.counts["recorder_kills"] += 1
                self.counts["kills"] += 1
                self.record()
            else:
                self.recorder.send_signal(signal.SIGSTOP)
                time.sleep(0.01)
                self.recorder.send_signal(signal.SIGCONT)
            time.sleep(self.dice.random() * 0.008)

    # ---- processes ----

    def spawn(self, actor: int) -> None:
        role, writer, seed = CREW[actor], self.next_writer, self.dice.randrange(1 << 30)
        self.next_writer += 2 if role in ("write", "reserve", "threads") else 0
        command = [sys.executable, __file__, "--actor", role, self.folder]
        command += [str(writer), str(actor), str(seed)]
        spawned = self.dice.random() < 0.05
        pid = os.fork()
        if not pid:
            try:
                os.setpgid(0, 0)
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
            self.accuse("wedged", f"{CREW[actor]} ended by itself: {status:#x}")

    def stop_or_go(self, actor: int) -> None:
        stop = actor not in self.stopped
        (self.stopped.add if stop else self.stopped.discard)(actor)
        os.kill(self.pids[actor], signal.SIGSTOP if stop else signal.SIGCONT)
        self.counts["stops"] += stop

    def record(self) -> None:
        folder = Path(self.folder, f"recording{len(self.recordings)}")
        command = [sys.executable, "-m", "rchan.cli", "record", "-o", str(folder), "--quiet"]
        command += ["--parent", self.folder, "storm"]
        self.recorder = subprocess.Popen(command)
        self.recordings.append((folder, False))

    def wait_for_recorder(self) -> None:
        manifest = self.recordings[-1][0] / "storm.json"
        end = time.monotonic() + PATIENCE
        while not manifest.exists() and time.monotonic() < end:
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
                self.accuse("wedged", f"the recorder ended with status {status}")

    def check_progress(self) -> None:
        for actor in self.stopped:
            os.kill(self.pids[actor], signal.SIGCONT)
        before = {actor: self.ledger.beats(actor) for actor in self.pids}
        end = time.monotonic() + PATIENCE
        for actor, beats in before.items():
            while self.ledger.beats(actor) == beats:
                if time.monotonic() > end:
                    self.accuse("wedged", f"{CREW[actor]} does not get on")
                    break
                time.sleep(0.001)

    # ---- the audit ----

    def accuse(self, crime: str, what: str) -> None:
        self.counts[crime] += 1
        print(f"{crime}: {what}", file=sys.stderr)

    def recorded(self) -> dict[tuple[int, int], int]:
        """How often each record was recorded; twice only at the end of a killed recorder's file."""
        found: Counter[tuple[int, int]] = Counter()
        for folder, killed in self.recordings:
            for path in sorted(folder.glob("storm.[0-9]*")):
                mine: list[tuple[int, int]] = []
                try:
                    mine.extend(self.checked(path, mine))
                except TornError as error:
                    if not killed or path.stat().st_size - error.args[0] > self.channel.subbuf_size:
                        self.accuse("torn", f"{path.name} at {error.args[0]}")
                found.update(mine)
        return found

    def checked(self, path: Path, into: list[tuple[int, int]]) -> list[tuple[int, int]]:
        for who in records(path.read_bytes()):
            self.counts["checked"] += 1
            into.append(who)
        return []

    def audit(self) -> None:
        found = self.recorded()
        total = self.channel.stats().total
        killed = sum(killed for _, killed in self.recordings)
        twice = sum(count - 1 for count in found.values())
        most = killed * self.channel.n_buffers * self.channel.subbuf_size // 16
        if twice > most or any(count > 1 + killed for count in found.values()):
            self.accuse("duplicated", f"{twice} records")
        missing = stored = unknown = 0
        for writer in range(self.next_writer):
            for number, fate in enumerate(self.ledger.fates(writer)):
                stored += fate == STORED
                unknown += fate == UNKNOWN
                missing += fate == STORED and (writer, number) not in found
        for writer, number in found:
            if self.ledger.fate(writer, number) not in (STORED, UNKNOWN):
                self.accuse("invented", f"record {number} of writer {writer}")
        written, gone = total.written.records, total.overwritten.records
        if not total.closes or total.readable.records or not stored <= written <= stored + unknown:
            self.accuse("uncounted", f"stored {stored}, killed in a write {unknown}: {total}")
        if missing > gone:
            self.accuse("uncounted", f"{missing} records are missing, {gone} counted")
        self.counts["stored"] += written
        self.counts["recorded"] += len(found)
        self.counts["overwritten"] += gone
        self.counts["redelivered"] += twice
        self.counts["killed_in_a_write"] += unknown


def main() -> int:
    if sys.argv[1:2] == ["--actor"]:
        role, folder, *numbers = sys.argv[2:]
        roles.play(role, folder, *map(int, numbers))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0, help="go on until there were so many")
    options = parser.parse_args()
    storm = Storm(options.seed)
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
