"""`rchan doctor`: what it finds, and what it says about it."""

import os
import resource
from pathlib import Path

import pytest
from cli_calls import call

import rchan
from rchan.cli import checks, exits, machine
from rchan.cli.checks import NOTE, OK, WARNING, findings


def by_check(parent: str | None = None) -> dict[str, checks.Finding]:
    return {finding.check: finding for finding in findings(parent)}


def test_all_is_well_here(channels: Path) -> None:
    found = by_check()
    assert {finding.level for finding in found.values()} <= {OK, NOTE, WARNING}
    for check in ("directory", "space", "unnamed files", "file locks", "doorbells", "futex"):
        assert found[check].level in (OK, NOTE), found[check]
    assert list(channels.iterdir()) == []


def test_output(channels: Path) -> None:
    done = call("doctor")
    assert done.status == 0
    assert all(finding["found"] for finding in call("doctor", "--json").json)
    assert f"{channels}, mode 0700" in done.text


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    done = call("doctor", "--parent", str(tmp_path))
    assert done.status == exits.FAILURE
    assert "chmod it to 0700" in done.text


def test_stale_and_damaged_channels(channels: Path) -> None:
    rchan.create("left", subbuf_size=4096).detach()
    (channels / "bad.chan").write_bytes(b"nothing of ours")
    found = by_check()
    assert "1 that nobody has open" in found["stale channels"].found
    assert found["stale channels"].level == NOTE
    assert "'bad'" in found["damaged channels"].found
    assert call("doctor").status == 0
    assert call("doctor", "--strict").status == exits.FAILURE


def test_little_space(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        f_bavail, f_blocks, f_frsize = 10, 1000, 4096

    monkeypatch.setattr(checks.os, "statvfs", lambda _: Full)
    space = by_check()["space"]
    assert space.level == WARNING
    assert "--shm-size" in space.advice


def test_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_NOFILE: 100, resource.RLIMIT_FSIZE: 4096}
    real = resource.getrlimit
    monkeypatch.setattr(
        checks.resource, "getrlimit", lambda which: (limits.get(which, real(which)[0]), 0)
    )
    found = by_check()
    assert (found["open files"].level, found["file size"].level) == (WARNING, WARNING)


def test_what_does_not_work_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "no")

    monkeypatch.setattr(checks.os, "mkfifo", refuse)
    done = call("doctor")
    assert done.status == exits.FAILURE
    assert f"problem  doorbells        {os.strerror(95)}" in done.text  # musl has other words


def test_a_slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_clock_cost_ns", lambda: 900.0)
    assert by_check()["clock"].level == WARNING


CGROUP = {
    2: ("0::/ours\n", "cgroup2 cgroup2 rw", "memory.max", "memory.current"),
    1: (
        "4:memory:/ours\n",
        "cgroup cgroup rw,memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
    ),
}


@pytest.mark.parametrize("version", [1, 2])
def test_memory_of_control_groups(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, kind, limit, used = CGROUP[version]
    (tmp_path / "ours").mkdir()
    for where, most, now in ((tmp_path, 1000, 900), (tmp_path / "ours", 500, 100)):
        (where / limit).write_text(f"{most}\n")
        (where / used).write_text(f"{now}\n")
    (tmp_path / "mounts").write_text(f"1 2 0:1 / {tmp_path} rw - {kind}\n")
    (tmp_path / "cgroup").write_text(member)
    monkeypatch.setattr(machine, "_MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path / "cgroup")
    assert machine.cgroup_memory() == (1000, 900)  # less is left there
    (tmp_path / limit).write_text("max\n")
    assert machine.cgroup_memory() == (500, 100)
    assert by_check()["memory"].level == WARNING


def test_file_system_of() -> None:
    assert machine.file_system_of("/dev/shm")[0] == "tmpfs"
    assert machine.file_system_of("/proc/self")[0] == "proc"
