"""The same storm over rchan and over its peers: writers that send as fast as they can, one of them
is killed, and then we look: do the others still get through, and did everything arrive that was
acknowledged?

    python tests/storm/peers.py [--tries N] [--seed N] [--json FILE] [--install] [NAME...]

--install puts what is missing (pyzmq, faster-fifo, iceoryx2) into a temporary directory."""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import mmap
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from records import TornError, record, records

import rchan

FORK = multiprocessing.get_context("fork")
WRITERS, NUMBERS, LENGTH = 3, 1 << 19, 64
ACKNOWLEDGED = 1
SETTLE, PATIENCE = 0.3, 1.5  # seconds after a kill before, and in which, others must get through
IDLE = 0.3  # seconds without a record: the consumer has everything that comes


class Board:
    """Memory of all processes of one try: what was acknowledged, what arrived."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 4096 + 2 * WRITERS * NUMBERS)
        self.words = memoryview(self.memory)[:4096].cast("Q")
        self.arrived_at = 4096 + WRITERS * NUMBERS

    # words 0..2: records that arrived of each writer; 8: torn; 9: stop; 10: last arrival, ms
    def acknowledge(self, writer: int, number: int) -> None:
        self.memory[4096 + writer * NUMBERS + number] = ACKNOWLEDGED

    def arrive(self, data: bytes) -> None:
        try:
            for writer, number in records(data):
                at = self.arrived_at + writer * NUMBERS + number
                self.memory[at] = min(255, self.memory[at] + 1)
                self.words[writer] += 1
        except TornError:
            self.words[8] += 1
        self.words[10] = time.monotonic_ns() // 1_000_000

    @property
    def stop(self) -> bool:
        return self.words[9] != 0

    def result(self) -> dict[str, int]:
        size = WRITERS * NUMBERS
        sent = self.memory[4096 : 4096 + size]
        got = self.memory[self.arrived_at : self.arrived_at + size]
        lost = sum(s == ACKNOWLEDGED and not g for s, g in zip(sent, got, strict=True))
        twice = sum(g > 1 for g in got)
        acknowledged = sent.count(ACKNOWLEDGED)
        return {
            "acknowledged": acknowledged,
            "lost": lost,
            "duplicated": twice,
            "torn": self.words[8],
        }


class Rchan:
    def __init__(self, directory: str) -> None:
        self.channel = rchan.create("storm", parent=directory, subbuf_size=4096, n_subbufs=64)

    def sender(self) -> Callable[[bytes], object]:
        return self.channel.write

    def finish(self) -> None:
        """What a process does at a normal end: send what it still has."""

    def close(self) -> None:
        self.channel.close()

    def receive(self, board: Board) -> None:
        while True:
            self.channel.flush()
            with self.channel.reader(timeout=0.01) as reader:
                for sub in reader:
                    board.arrive(bytes(sub))


class Queue:
    """multiprocessing.Queue and SimpleQueue."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue

    def sender(self) -> Callable[[bytes], object]:
        put = self.queue.put

        def send(data: bytes) -> bool:
            put(data)
            return True

        return send

    def finish(self) -> None:
        if hasattr(self.queue, "join_thread"):
            self.queue.close()
            self.queue.join_thread()

    def receive(self, board: Board) -> None:
        while True:
            board.arrive(self.queue.get())


class FasterFifo(Queue):
    def finish(self) -> None:
        """Nothing is kept back."""

    def __init__(self, module: Any) -> None:
        self.queue = module.Queue(max_size_bytes=1 << 20, loads=bytes, dumps=bytes)

    def sender(self) -> Callable[[bytes], object]:
        put = self.queue.put

        def send(data: bytes) -> bool:
            put(data, timeout=60.0)
            return True

        return send

    def receive(self, board: Board) -> None:
        while True:
            for data in self.queue.get_many(timeout=60.0, max_messages_to_get=100):
                board.arrive(data)


class Zmq:
    def __init__(self, module: Any, directory: str) -> None:
        self.zmq, self.address = module, f"ipc://{directory}/zmq"

    def sender(self) -> Callable[[bytes], object]:
        self.context = self.zmq.Context()
        self.socket = socket = self.context.socket(self.zmq.PUSH)
        socket.connect(self.address)

        def send(data: bytes) -> bool:
            socket.send(data)
            return True

        return send

    def finish(self) -> None:
        self.socket.close(linger=-1)
        self.context.term()

    def receive(self, board: Board) -> None:
        socket = self.zmq.Context().socket(self.zmq.PULL)
        socket.bind(self.address)
        while True:
            board.arrive(socket.recv())


class Iceoryx:
    """iceoryx2: publish and subscribe, a publisher that waits for room."""

    def __init__(self, module: Any) -> None:
        self.iox = module
        self.name = f"storm{os.getpid()}.{time.monotonic_ns()}"

    def service(self) -> Any:
        iox = self.iox
        iox.set_log_level(iox.LogLevel.Fatal)
        self.node = iox.NodeBuilder.new().create(iox.ServiceType.Ipc)
        service = self.node.service_builder(iox.ServiceName.new(self.name))
        return (
            service.publish_subscribe(iox.Slice[ctypes.c_uint8])
            .enable_safe_overflow(False)
            .subscriber_max_buffer_size(1024)
            .max_publishers(2 * WRITERS)
            .max_nodes(4 * WRITERS)
            .open_or_create()
        )

    def sender(self) -> Callable[[bytes], object]:
        strategy = self.iox.BackpressureStrategy.RetryUntilDelivered
        self.kept = self.service()
        builder = self.kept.publisher_builder().initial_max_slice_len(LENGTH)
        publisher = builder.backpressure_strategy(strategy).create()

        def send(data: bytes) -> bool:
            sample = publisher.loan_slice_uninit(len(data))
            ctypes.memmove(sample.payload_ptr, data, len(data))
            return sample.assume_init().send() > 0

        return send

    def finish(self) -> None:
        time.sleep(IDLE)  # its memory goes with it

    def close(self) -> None:
        """The dead leave files in shared memory."""
        node = self.iox.NodeBuilder.new().create(self.iox.ServiceType.Ipc)
        node.blocking_cleanup_dead_nodes(self.iox.Duration.from_millis(1000))

    def receive(self, board: Board) -> None:
        subscriber = self.service().subscriber_builder().buffer_size(1024).create()
        while True:
            sample = subscriber.receive()
            if sample is None:
                time.sleep(0.0005)
            else:
                board.arrive(ctypes.string_at(sample.payload_ptr, LENGTH))


def peers(extra: dict[str, Any]) -> dict[str, Callable[[str], Any]]:
    made: dict[str, Callable[[str], Any]] = {
        "rchan": Rchan,
        "multiprocessing.Queue": lambda _: Queue(FORK.Queue()),
        "multiprocessing.SimpleQueue": lambda _: Queue(FORK.SimpleQueue()),
    }
    if "faster_fifo" in extra:
        made["faster-fifo"] = lambda _: FasterFifo(extra["faster_fifo"])
    if "zmq" in extra:
        made["pyzmq"] = lambda directory: Zmq(extra["zmq"], directory)
    if "iceoryx2" in extra:
        made["iceoryx2"] = lambda _: Iceoryx(extra["iceoryx2"])
    return made


# ---- one try ----


def child(body: Callable[[], None]) -> int:
    pid = os.fork()
    if not pid:
        try:
            body()
        except BaseException as error:
            os.write(2, f"peers: {error!r}\n".encode())
        finally:
            os._exit(0)
    return pid


def write(transport: Any, board: Board, writer: int) -> None:
    send = transport.sender()
    for number in range(NUMBERS):
        if send(record(writer, number, LENGTH)):
            board.acknowledge(writer, number)
        if board.stop:
            break
        if number % 128 == 0:
            time.sleep(0.0002)
    transport.finish()
    os._exit(0)


def wait_for(done: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not (is_so := done()) and time.monotonic() < end:
        time.sleep(0.002)
    return is_so


def ended(pid: int, seconds: float) -> bool:
    """It has ended by itself, or is made to."""
    if wait_for(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, seconds):
        return True
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def one_try(make: Callable[[str], Any], dice: random.Random) -> dict[str, int]:
    board = Board()
    with tempfile.TemporaryDirectory(prefix="rchan-storm-", dir="/dev/shm") as directory:
        transport = make(directory)
        consumer = child(lambda: transport.receive(board))
        time.sleep(0.1)
        pids = [child(lambda w=w: write(transport, board, w)) for w in range(WRITERS)]
        if not wait_for(lambda: all(board.words[w] > 50 for w in range(WRITERS)), 5):
            raise SystemExit("peers: nothing arrives, even before the kill")
        time.sleep(dice.random() * 0.05)
        victim = dice.randrange(WRITERS)
        os.kill(pids[victim], signal.SIGKILL)
        os.waitpid(pids[victim], 0)
        others = [w for w in range(WRITERS) if w != victim]
        time.sleep(SETTLE)
        before = list(board.words[:WRITERS])
        through = wait_for(lambda: all(board.words[w] > before[w] for w in others), PATIENCE)
        board.words[9] = 1
        finished = 0
        for w in others:
            finished += ended(pids[w], 10 if through else 1)
        now = time.monotonic_ns() // 1_000_000
        board.words[10] = max(board.words[10], now - 1)
        wait_for(lambda: time.monotonic_ns() // 1_000_000 - board.words[10] > IDLE * 1000, 60)
        os.kill(consumer, signal.SIGKILL)
        os.waitpid(consumer, 0)
        if hasattr(transport, "close"):
            transport.close()
    return {"tries": 1, "wedged": int(not (through and finished == len(others))), **board.result()}


def optional(directory: str, install: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    sys.path.append(directory)
    wanted = {"zmq": "pyzmq", "faster_fifo": "faster-fifo", "iceoryx2": "iceoryx2"}
    for module, package in wanted.items():
        for _ in range(2):
            try:
                found[module] = importlib.import_module(module)
                break
            except ImportError as error:
                pip = [sys.executable, "-m", "pip", "install", "-q", "--target", directory, package]
                if not install or subprocess.run(pip, check=False).returncode:
                    print(f"missing: {package} ({error})")
                    break
                importlib.invalidate_caches()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--install", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    results: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as directory:
        for name, make in peers(optional(directory, options.install)).items():
            if options.names and name not in options.names:
                continue
            dice = random.Random(options.seed)
            total: dict[str, int] = {}
            for _ in range(options.tries):
                for key, value in one_try(make, dice).items():
                    total[key] = total.get(key, 0) + value
            results[name] = total
            print(name, total, flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    return int(any(results.get("rchan", {}).get(key) for key in ("wedged", "lost", "torn")))


if __name__ == "__main__":
    sys.exit(main())
