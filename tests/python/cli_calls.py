"""The command `rchan` in this process, with standard streams of its own: quicker than a process."""

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any

from rchan.cli.main import main


@dataclass(frozen=True, slots=True)
class Done:
    """How a call ended."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@contextmanager
def _standard(streams: tuple[IO[bytes], ...]):
    saved = [os.dup(fd) for fd in range(3)]
    python = sys.stdout, sys.stderr
    for fd, stream in enumerate(streams):
        os.dup2(stream.fileno(), fd)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = python
        for fd, old in enumerate(saved):
            os.dup2(old, fd)
            os.close(old)


def call(*arguments: str | os.PathLike[str], stdin: bytes = b"") -> Done:
    """Run `rchan` with these arguments; what it said and how it ended."""
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        with _standard((given, out, err)):
            status = main([os.fspath(argument) for argument in arguments])
        out.seek(0)
        err.seek(0)
        done = Done(status, out.read(), err.read().decode())
    assert "Traceback" not in done.err
    return done
