"""What a preloaded sanitizer (make asan-python) does to tests that are about something else."""

import os
from pathlib import Path

import pytest


def without_preload() -> dict[str, str]:
    """An environment for programs that have nothing to do with rchan: groff and dd end under it."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def skip_if_memory_is_kept() -> None:
    """It keeps memory that was freed, to see who uses it: a process that frees all grows."""
    if "/libasan.so" in Path("/proc/self/maps").read_text(encoding="utf-8"):
        pytest.skip("AddressSanitizer keeps memory that was freed")
