"""Files that a target in Python has read: made again for each input, in one directory in memory."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

Files = dict[str, bytes]


class Folder:
    """One directory for one set of files after the other."""

    def __init__(self, path: Path, below: str = ".") -> None:
        """below: a directory in it that is made, too."""
        self.path = path
        (path / below).mkdir(parents=True)
        self._names: dict[str, str] = {}
        self._now: Files = {}

    def store(self, files: Files) -> None:
        """It holds these files: only what differs from what is there is written."""
        for name in self._now.keys() - files.keys():
            os.unlink(self._name(name))
        for name, data in files.items():
            if self._now.get(name) != data:
                with open(self._name(name), "wb", buffering=0) as file:
                    file.write(data)
        self._now = dict(files)

    def _name(self, name: str) -> str:
        return self._names.setdefault(name, str(self.path / name))


@cache
def ground(below: str) -> Folder:
    """Of this process, until its end; `below`: NAME/DIRECTORY, or NAME alone."""
    place = tempfile.mkdtemp(prefix="rchan-fuzz-", dir=os.environ.get("RCHAN_FUZZ_DIR"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    name, _, inner = below.partition("/")
    return Folder(Path(place, name), inner or ".")
