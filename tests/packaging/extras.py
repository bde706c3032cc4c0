"""What rchan says when an extra is not installed, and how to get it. For a venv without any."""

import importlib.util
import os
import subprocess
import sys
import tempfile

import rchan
from rchan import events, tracefile

COMMAND = [sys.executable, "-m", "rchan.cli"]


def said(*arguments: str) -> str:
    """The one line on standard error of a command that fails."""
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode, arguments
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


def main() -> None:
    """Each of them."""
    for module in ("textual", "pyarrow", "perfetto", "structlog", "zstandard"):
        assert importlib.util.find_spec(module) is None, f"{module} is installed: not the place"
    with tempfile.TemporaryDirectory(prefix="rchan-extras-") as directory:
        os.environ["RCHAN_DIR"] = directory
        with rchan.Tracer("app", n_buffers=1) as trace:
            trace.event("tick", n=int)(1)
            out = f"{directory}/out"
            assert "pip install 'rchan[perfetto]'" in said(
                "export", "app", "-f", "perfetto", "-o", out
            )
            assert "pip install 'rchan[arrow]'" in said("export", "app", "-f", "parquet", "-o", out)
            for name, use in (
                ("arrow", lambda: events.read(trace.channel).tables()),
                ("structlog", structlog),
            ):
                try:
                    use()
                except rchan.Unsupported as error:
                    assert f"pip install 'rchan[{name}]'" in str(error), error
                else:
                    raise AssertionError(f"{name} is not missing")
        rchan.remove("app")
        if sys.version_info < (3, 14):
            zstd = said(
                "record", "--create", "--zstd", "3", "-o", f"{directory}/z", "z", "--", "true"
            )
            assert "pip install 'rchan[zstd]'" in zstd, zstd
        assert tracefile.open  # reads what is not compressed without any
    print("every missing extra says how to get it")


def structlog() -> None:
    """The client that needs it."""
    from rchan.clients.structlog import Processor  # noqa: PLC0415

    Processor("app", last=True)


if __name__ == "__main__":
    main()
