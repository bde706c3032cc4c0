"""LTTng-UST as a rival: a session in overwrite mode, and a program that waits to be timed, in C
or in Python (lttngust)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import native
from ratios import Timer
from rivals import Absent

PROVIDER = "rchan_bench:*"
HERE = Path(__file__).resolve().parent


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Absent(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _program(build: Path) -> Path:
    try:
        return native.compile_c(
            build / "lttng_event",
            [HERE / "lttng_event.c"],
            f"-I{HERE}",
            "-Wl,--no-as-needed",
            "-llttng-ust",
        )
    except subprocess.CalledProcessError:
        raise Absent("liblttng-ust-dev is not installed") from None


@contextmanager
def _session(*enable: str, contexts: tuple[str, ...] = ()) -> Iterator[None]:
    """enable: what `lttng enable-event` is given."""
    if shutil.which("lttng") is None or shutil.which("lttng-sessiond") is None:
        raise Absent("lttng-tools is not installed")
    started = subprocess.run(["pgrep", "-x", "lttng-sessiond"], capture_output=True, check=False)
    daemon = None
    if started.returncode:
        daemon = subprocess.Popen(
            ["lttng-sessiond", "--no-kernel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    name = Path(tempfile.mktemp(prefix="rchan-bench-")).name
    try:
        deadline = monotonic() + 10
        while subprocess.run(["lttng", "list"], capture_output=True, check=False).returncode:
            if monotonic() > deadline:
                raise Absent("lttng-sessiond does not answer")
            sleep(0.1)
        _run("lttng", "create", name, "--snapshot")
        sizes = ("--subbuf-size=256k", "--num-subbuf=8", "--overwrite")
        _run("lttng", "enable-channel", "-u", "bench", *sizes)
        _run("lttng", "enable-event", *enable)
        for context in contexts:
            _run("lttng", "add-context", "-u", "-c", "bench", "-t", context)
        _run("lttng", "start")
        yield
    finally:
        subprocess.run(["lttng", "destroy", name], capture_output=True, check=False)
        if daemon is not None:
            daemon.terminate()
            daemon.wait()


@contextmanager
def _timer(command: list[str | Path], loops: int) -> Iterator[Timer]:
    """Of a program that reads how many, and prints whether it was traced, and ns of each."""
    process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True)
    assert process.stdin is not None and process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def once(count: int = loops) -> float:
        print(count, file=stdin, flush=True)
        enabled, ns = stdout.readline().split()
        return float(ns) if enabled == "1" else -1.0

    try:
        deadline = monotonic() + 10
        while once(1) < 0:
            if monotonic() > deadline:
                raise Absent("the event was not enabled within 10 s")
            sleep(0.05)
        once()
        yield once
    except (ValueError, BrokenPipeError):
        process.kill()
        raise Absent((process.stderr.read() if process.stderr else "").strip()) from None
    finally:
        process.communicate()


@contextmanager
def timer(build: Path, loops: int, contexts: tuple[str, ...] = ()) -> Iterator[Timer]:
    """ns per tracepoint with an int, a double and a 16-character string. Raises Absent."""
    program = _program(build)
    with (
        _session("-u", PROVIDER, "-c", "bench", contexts=contexts),
        _timer([program], loops) as made,
    ):
        yield made


@contextmanager
def logging_timer(loops: int) -> Iterator[Timer]:
    """ns per `logger.info` with LTTng's agent for Python. Raises Absent."""
    with (
        _session("--python", "rchan-bench"),
        _timer([sys.executable, HERE / "lttng_logging.py"], loops) as made,
    ):
        yield made
