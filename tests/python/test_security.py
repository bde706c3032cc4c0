"""Who may do what: files and directories are ours alone, and another user gets nowhere."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rchan
import rchan.relay

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
STRANGER = 54321


def as_stranger(act: Callable[[], None]) -> int:
    """Do it in a child that is another user; its exit status: 0, or 1 after an exception."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(STRANGER, STRANGER, STRANGER)
            os.setresuid(STRANGER, STRANGER, STRANGER)
            act()
            status = 0
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that everybody can enter, as /dev/shm is."""
    with tempfile.TemporaryDirectory(prefix="rchan-test-", dir="/dev/shm") as path:
        Path(path).chmod(0o1777)
        yield Path(path)


def test_modes_of_files_and_directories(channels: Path, monkeypatch) -> None:
    before = os.umask(0)
    try:
        monkeypatch.setenv("RCHAN_DIR", str(channels / "root"))
        made = Path(rchan.relay.relayfs_create_dir("below"))
        with (
            rchan.create("app", parent="below", subbuf_size=64) as channel,
            rchan.RelayFile(channel.buffers[0]) as file,
        ):
            file.fileno()
            modes = {path.name: path.lstat().st_mode for path in made.iterdir()}
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    assert {"app.chan", "app0", "app.0.bell"} <= modes.keys()
    assert {stat.S_IMODE(mode) for mode in modes.values()} == {0o600}


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o666, 0o601])
def test_nothing_for_everybody(mode: int) -> None:
    with pytest.raises(rchan.GeometryError, match="everybody"):
        rchan.create("app", mode=mode)


@needs_root
def test_another_user_gets_nowhere(open_place: Path, monkeypatch) -> None:
    home = open_place / "ours"
    monkeypatch.setenv("RCHAN_DIR", str(home))
    with rchan.create("app", subbuf_size=64, n_buffers=1) as channel:
        channel.write(b"secret")

        def try_everything() -> None:
            for attempt in (
                lambda: rchan.open("app"),
                lambda: rchan.create("app"),
                lambda: rchan.create("other"),
                lambda: rchan.remove("app"),
                rchan.list,
                lambda: rchan.open_file(str(home / "app0")),
            ):
                with pytest.raises((rchan.NotPermitted, rchan.ChannelNotFound, PermissionError)):
                    attempt()
            for path in (home, home / "app.chan", home / "app0"):
                with pytest.raises(PermissionError):
                    os.open(path, os.O_RDONLY)

        assert as_stranger(try_everything) == 0
        assert rchan.RelayFile(channel.buffers[0]).read() == b"secret"


@needs_root
def test_files_of_another_user_are_refused(channels: Path) -> None:
    """Planted in a directory of ours, by whatever means."""
    with rchan.create("app", subbuf_size=64, n_buffers=1) as channel:
        os.chown(channels / "app.chan", STRANGER, STRANGER)
        with pytest.raises(rchan.NotPermitted, match=f"belongs to user {STRANGER}"):
            rchan.open("app")
        os.chown(channels / "app.chan", 0, 0)
        os.chown(channels / "app0", STRANGER, STRANGER)
        with rchan.open("app") as other:
            assert not other.buffers, "its buffer is not believed"
        os.chown(channels / "app0", 0, 0)
        assert channel.write(b"x")


@needs_root
def test_a_directory_of_another_user_is_refused(open_place: Path, monkeypatch) -> None:
    """Somebody made /dev/shm/rchan-<our uid> before we did."""
    trap = open_place / "trap"
    trap.mkdir(0o777)
    trap.chmod(0o777)
    os.chown(trap, STRANGER, STRANGER)
    monkeypatch.setenv("RCHAN_DIR", str(trap))
    for attempt in (lambda: rchan.create("app"), lambda: rchan.open("app"), rchan.list):
        with pytest.raises(rchan.NotPermitted, match="belongs to user"):
            attempt()
    assert not list(trap.iterdir())


@needs_root
def test_a_directory_is_checked_after_it_was_opened(open_place: Path, monkeypatch) -> None:
    """Between the look at the path and its use a stranger puts a directory of theirs in place."""
    ours, theirs = open_place / "ours", open_place / "theirs"
    ours.mkdir(0o700)
    theirs.mkdir(0o700)
    os.chown(theirs, STRANGER, STRANGER)
    monkeypatch.setattr("rchan.channel.place", lambda *_: (str(theirs), None))
    for attempt in (lambda: rchan.create("app"), lambda: rchan.open("app")):
        with pytest.raises(rchan.NotPermitted, match="belongs to user"):
            attempt()
    theirs.chmod(0o777)
    os.chown(theirs, 0, 0)
    with pytest.raises(rchan.NotPermitted, match="written by others"):
        rchan.create("app")
    assert not list(theirs.iterdir())


def test_symbolic_links_are_not_followed(channels: Path) -> None:
    with rchan.create("app", subbuf_size=64, n_buffers=1) as channel:
        secret = channels / "precious"
        secret.write_bytes(b"precious")
        (channels / "link.chan").symlink_to(channels / "app.chan")
        with pytest.raises(rchan.NotPermitted, match="symbolic link"):
            rchan.open("link")
        with pytest.raises(rchan.NotPermitted):
            rchan.remove("link")
        (channels / "dir").symlink_to(channels)
        with pytest.raises(rchan.NotPermitted, match="symbolic link"):
            rchan.open("app", parent=str(channels / "dir"))
        (channels / "new0").symlink_to(secret)
        with pytest.raises(rchan.ChannelExists):
            rchan.create("new", subbuf_size=64, n_buffers=1)
        (channels / "app.0.bell").symlink_to(secret)
        with rchan.RelayFile(channel.buffers[0]) as file:
            file.fileno()
        channel.write_and_wake(b"ring")
        assert secret.read_bytes() == b"precious"
        (channels / "app.0.bell").unlink()


def test_recordings_are_ours_alone(channels: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with rchan.create("app", subbuf_size=64, n_buffers=1) as channel:
            channel.write(b"secret")
            channel.finalize()
            command = [sys.executable, "-m", "rchan.cli", "record", "-o", str(tmp_path / "out")]
            subprocess.run([*command, "--quiet", "app"], check=True, timeout=60)
    finally:
        os.umask(before)
    folder = tmp_path / "out"
    found = {str(path.relative_to(folder)): path.lstat() for path in folder.rglob("*")}
    assert found.keys() >= {"app/app.0", "app/.rchan/app.0.index", "app/.rchan/manifest.json"}
    for name, stats in {".": folder.lstat(), **found}.items():
        wanted = 0o700 if stat.S_ISDIR(stats.st_mode) else 0o600
        assert stat.S_IMODE(stats.st_mode) == wanted, name
