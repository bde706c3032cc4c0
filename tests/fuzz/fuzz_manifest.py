"""Target, in Python: a recording's manifest of any bytes. Either it is refused as damaged, or all
that can be asked of it is answered. Run by atheris (campaign.py does), or by the tests."""

from __future__ import annotations

import atexit
import json
import os
import sys
import tempfile
from functools import cache
from pathlib import Path

try:
    import atheris
except ImportError:  # the tests play it without
    from rchan.recorder import manifest
else:
    with atheris.instrument_imports(include=["rchan"]):
        from rchan.recorder import manifest

from rchan.recorder.errors import RecordingDamaged, RecordingNotFound


@cache
def folder() -> Path:
    """RCHAN_FUZZ_DIR, or one of our own: atheris ends without running what is due at exit."""
    given = os.environ.get("RCHAN_FUZZ_DIR")
    if given:
        return Path(given)
    made = tempfile.TemporaryDirectory(prefix="rchan-fuzz-")
    atexit.register(made.cleanup)
    return Path(made.name)


@cache
def template() -> bytes:
    """A manifest that is right."""
    geometry = manifest.Geometry(
        64, 4, 1, False, "CLOCK_MONOTONIC", "little", manifest.Moment(1, 2)
    )
    recording = manifest.Recording(
        "app",
        ".",
        "app",
        "/",
        geometry,
        "complete",
        manifest.Moment(1, 2),
        manifest.Moment(3, 4),
        files=(manifest.RecordedFile("app.0", 0, lost={"full": manifest.Count(1, 2)}),),
    )
    return recording.to_json().encode()


def play(data: bytes) -> None:
    """The first byte: as it is, or as a change of a manifest that is right."""
    if data[:1] and data[0] & 1:
        data = changed(data[1:])
    (folder() / "app.json").write_bytes(data)
    try:
        recording = manifest.load(folder(), "app")
    except (RecordingDamaged, RecordingNotFound) as error:
        assert str(error)
        return
    recording.summary()
    assert all(path.parent == folder() for path in recording.paths)
    assert recording.seconds is not None


VALUES = (
    None,
    True,
    -1,
    2**70,
    0.5,
    "",
    "x",
    "../x",
    "..",
    "/etc/passwd",
    [],
    [1],
    {},
    {"a": 1},
    [[]],
)


def changed(data: bytes) -> bytes:
    """Each byte pair: which value of the manifest becomes which other one, or goes."""
    whole = json.loads(template())
    for where, what in zip(data[::2], data[1::2], strict=False):
        places = [(whole, key) for key in whole]
        for holder, key in places:
            inner = holder[key]
            if isinstance(inner, dict):
                places += [(inner, name) for name in inner]
            elif isinstance(inner, list):
                places += [(inner, index) for index in range(len(inner))]
        if not places:
            break
        holder, key = places[where % len(places)]
        if what >= 240:
            del holder[key]
        else:
            holder[key] = VALUES[what % len(VALUES)]
    return json.dumps(whole).encode()


def main() -> None:
    atheris.Setup(sys.argv, play)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
