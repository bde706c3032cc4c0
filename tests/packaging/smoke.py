"""Does an installed rchan work, with nothing else there? Ends with 0 and one line."""

import logging
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile

import rchan
from rchan import events


def write(channel: rchan.Channel, number: int) -> None:
    """In a child."""
    for step in range(100):
        assert channel.write(b"worker %d step %d\n" % (number, step))


def records() -> None:
    """Two writers, then a snapshot, then a reader of it all."""
    with rchan.create("smoke") as channel:
        spawn = multiprocessing.get_context("spawn")
        workers = [spawn.Process(target=write, args=(channel, number)) for number in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        assert channel.snapshot().data().count(b"\n") == 200
        channel.finalize()
        assert sum(bytes(sub).count(b"\n") for sub in channel.reader()) == 200
        assert channel.stats().total.attempted.records == 200


def typed_events() -> None:
    """A log record, read again."""
    handler = rchan.LogHandler("logs", n_buffers=1)
    logging.getLogger("smoke").addHandler(handler)
    logging.getLogger("smoke").warning("%d of %s", 1, "all")
    (event,) = events.read(handler.tracer.channel)
    assert event.fields["arg0"] == 1
    handler.close()
    rchan.remove("logs")


def commands() -> None:
    """The command line, beside this interpreter."""
    command = shutil.which("rchan", path=os.path.dirname(sys.executable)) or "rchan"
    shown = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"rchan {rchan.__version__}\n"
    subprocess.run(
        [command, "write", "lines", "--create", "--quiet"], input=b"one\ntwo\n", check=True
    )
    shown = subprocess.run([command, "cat", "lines"], capture_output=True, text=True, check=True)
    assert shown.stdout == "one\ntwo\n"
    subprocess.run([command, "rm", "lines"], check=True)


def main() -> None:
    """All of it, in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="rchan-smoke-") as directory:
        os.environ["RCHAN_DIR"] = directory
        records()
        typed_events()
        commands()
        assert os.listdir(directory) == []
    print("rchan", rchan.__version__, "works with Python", sys.version.split()[0])


if __name__ == "__main__":
    main()
