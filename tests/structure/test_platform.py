"""Where rchan cannot work it does not compile, and the first error says why."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[2] / "core"
CC = os.environ.get("CC", "gcc").split()
BIG_ENDIAN = ["-Wno-builtin-macro-redefined", "-D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__"]


@pytest.mark.parametrize(
    ("header", "flags", "said"),
    [
        ("layout.h", ["-U__LP64__"], "rchan needs a 64-bit machine"),
        ("atomics.h", ["-m32"], "rchan needs a 64-bit machine"),
        ("layout.h", BIG_ENDIAN, "rchan needs a little-endian machine"),
        ("layout.h", ["-U__linux__"], "rchan needs Linux"),
        ("layout.h", [], None),
    ],
)
def test_the_first_error_says_why(header, flags, said):
    if not shutil.which(CC[0]):
        pytest.skip("no C compiler")
    command = [*CC, "-std=c11", "-D_GNU_SOURCE", "-fsyntax-only", "-x", "c", *flags, CORE / header]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    if said is None:
        assert (done.returncode, errors) == (0, [])
    else:
        assert said in errors[0], done.stderr
