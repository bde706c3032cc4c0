"""A small recording that is right, always the same bytes, and how to change it."""

from __future__ import annotations

import json
from functools import cache

import json_change
from folder import Files

from rchan import Count, Stats
from rchan._core import crc32c
from rchan.tracefile import manifest
from rchan.tracefile.index import CHECKED, ENTRY_SIZE, HEADER_SIZE, Entry, Header

MANIFEST = ".rchan/manifest.json"
CREATED = (1_000, 500)
NOTHING = Count(0, 0)
SUBBUFS = 3  # of each buffer: two in its first file, one in its second


def frame(data: bytes) -> bytes:
    """A zstd frame of one raw block, made without zstd."""
    block = (len(data) << 3 | 1).to_bytes(3, "little")
    return b"\x28\xb5\x2f\xfd\x20" + bytes([len(data)]) + block + data


def _stream(buffer: int, chunk: int, seqs: range, zipped: bool) -> tuple[bytes, bytes]:
    data, index = b"", Header(buffer, chunk, CREATED).pack()
    for seq in seqs:
        plain = bytes([buffer * 16 + seq]) * (8 + seq)
        stored = frame(plain) if zipped else plain
        entry = Entry(
            seq=seq,
            offset=len(data),
            length=len(plain),
            stored=len(stored),
            skipped=0,
            records=2,
            before_records=2 * seq,
            first_ns=1_000 + 10 * seq + buffer,
            last_ns=1_009 + 10 * seq + buffer,
            overwritten=NOTHING,
            drops=(Count(seq, 8 * seq), NOTHING, NOTHING, NOTHING),
            resets=0,
            buffer=buffer,
            source=0,
            flags=CHECKED,
            data_crc=crc32c(plain),
        )
        data, index = data + stored, index + entry.pack()
    return data, index


@cache
def _template() -> Files:
    files: Files = {}
    recorded = []
    for buffer in range(2):
        for chunk, seqs in enumerate((range(2), range(2, SUBBUFS))):
            number = f".{chunk:06}" if chunk else ""
            name = f"app.{buffer}{number}" + (".zst" if buffer else "")
            files[name], files[f".rchan/{name}.index"] = _stream(buffer, chunk, seqs, bool(buffer))
            size = sum(8 + seq for seq in seqs)
            recorded.append(
                manifest.RecordedFile(name, buffer, chunk, size, len(seqs), 2 * len(seqs))
            )
    geometry = manifest.Geometry(
        64, 4, 2, False, "CLOCK_MONOTONIC", "little", manifest.Moment(*CREATED), "boot"
    )
    lost = {"full": Count(SUBBUFS - 1, 8 * (SUBBUFS - 1))}
    recording = manifest.Recording(
        name="app",
        directory=".",
        channel="app",
        channel_directory="/dev/shm",
        geometry=geometry,
        state="complete",
        start=manifest.Moment(2_000, 1_000),
        end=manifest.Moment(3_000, 2_000),
        buffers=tuple(
            manifest.RecordedBuffer(n, True, 0, before={}, lost=lost, books=Stats())
            for n in range(2)
        ),
        files=tuple(recorded),
        events=(manifest.Event(manifest.Moment(2_500, 1_500), "rotated", "on request"),),
        sources=(),
        recorder_pid=1,
    )
    files[MANIFEST] = recording.to_json().encode()
    return files


def template() -> Files:
    """The recording's files, by their paths in it: to be changed at will."""
    return dict(_template())


# ---- changes ----


def change_manifest(files: Files, where: int, what: int) -> None:
    """One value of the manifest becomes another one, or goes. Nothing without a JSON object."""
    try:
        whole = json.loads(files.get(MANIFEST, b""))
    except (ValueError, RecursionError):
        return
    if isinstance(whole, dict):
        json_change.change(whole, where, what)
        files[MANIFEST] = json.dumps(whole).encode()


def put(files: Files, name: str, at: int, new: bytes) -> None:
    """Other bytes at this place, as far as there are any."""
    old = files[name]
    at %= len(old) + 1
    files[name] = old[:at] + new[: len(old) - at] + old[at + len(new) :]


def sign(files: Files, name: str) -> None:
    """Give every entry and the header of an index the checksum that it should have."""
    data = bytearray(files[name])
    starts = [(0, HEADER_SIZE)]
    starts += [(at, ENTRY_SIZE) for at in range(HEADER_SIZE, len(data), ENTRY_SIZE)]
    for at, size in starts:
        if at + size <= len(data):
            data[at + size - 4 : at + size] = crc32c(bytes(data[at : at + size - 4])).to_bytes(
                4, "little"
            )
    files[name] = bytes(data)
