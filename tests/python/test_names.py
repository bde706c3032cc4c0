"""Directories and names of channels: what is taken, what is refused."""

import os
from pathlib import Path

import pytest

import rchan
from rchan import cpus, names
from rchan.relay import relayfs_create_dir, relayfs_remove_dir


@pytest.mark.skipif(os.geteuid() != 0, reason="ours may be in use: only root can be another user")
def test_default_directory(monkeypatch):
    monkeypatch.delenv("RCHAN_DIR")
    user = 10_000_000 + os.getpid()
    there = Path(f"/dev/shm/rchan-{user}")
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setresuid(user, user, user)
            assert names.root() == names.root() == str(there)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    found = there.stat()
    assert (found.st_mode & 0o777, found.st_uid) == (0o700, user)
    there.rmdir()


def test_directory_of_the_environment_is_made(monkeypatch, channels):
    monkeypatch.setenv("RCHAN_DIR", str(channels / "mine"))
    assert names.root() == str(channels / "mine")
    assert (channels / "mine").stat().st_mode & 0o777 == 0o700


def test_parents(channels):
    one = relayfs_create_dir("one")
    two = relayfs_create_dir("two", "one")
    assert two == str(channels / "one" / "two")
    for parent in ("one/two", Path("one/two"), two, "./one//two"):
        assert names.directory(parent) == two
    with rchan.create("app", "one/two", subbuf_size=64) as channel:
        assert channel.path == str(channels / "one" / "two" / "app.chan")
        assert [found.name for found in rchan.list(two)] == ["app"]
        assert rchan.list(one) == []
        with pytest.raises(rchan.NotPermitted, match="not empty"):
            relayfs_remove_dir(two)
    relayfs_remove_dir("one/two")
    relayfs_remove_dir(one)
    assert list(channels.iterdir()) == []


@pytest.mark.parametrize("parent", ["..", "one/../..", "a\0b", "", "/dev/shm/../shm"])
def test_parents_that_lead_elsewhere(parent):
    with pytest.raises(rchan.BadName):
        rchan.create("app", parent)


def test_parents_that_are_not_there():
    with pytest.raises(rchan.ChannelNotFound, match="relayfs_create_dir"):
        rchan.create("app", "nowhere")


@pytest.mark.parametrize("parent", [3, b"bytes", ["list"]])
def test_parents_of_wrong_type(parent):
    with pytest.raises(rchan.WrongType):
        rchan.open("app", parent)


def test_directories_that_are_not_ours_alone(channels):
    (channels / "shared").mkdir()
    (channels / "shared").chmod(0o770)
    with pytest.raises(rchan.NotPermitted, match="written by others"):
        rchan.create("app", "shared")
    (channels / "link").symlink_to(channels)
    with pytest.raises(rchan.NotPermitted, match="symbolic link"):
        rchan.create("app", "link")
    (channels / "file").write_text("")
    with pytest.raises(rchan.NotPermitted, match="not a directory"):
        rchan.create("app", "file")
    with pytest.raises(rchan.NotPermitted, match="not a directory"):
        rchan.create("app", "file/below")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_directories_of_another_user(monkeypatch, channels):
    (channels / "theirs").mkdir(0o700)
    os.chown(channels / "theirs", 12345, 12345)
    for parent in ("theirs", channels / "theirs"):
        with pytest.raises(rchan.NotPermitted, match="belongs to user 12345"):
            rchan.create("app", parent)
    monkeypatch.setenv("RCHAN_DIR", str(channels / "theirs"))
    with pytest.raises(rchan.NotPermitted, match="RCHAN_DIR"):
        rchan.list()


def test_a_root_that_is_no_directory(monkeypatch, channels):
    (channels / "link").symlink_to("/dev/shm")
    monkeypatch.setenv("RCHAN_DIR", str(channels / "link"))
    with pytest.raises(rchan.NotPermitted, match="symbolic link"):
        rchan.create("app")
    monkeypatch.setenv("RCHAN_DIR", str(channels / "missing" / "below"))
    with pytest.raises(rchan.ChannelNotFound):
        rchan.create("app")


@pytest.mark.parametrize("base", ["", ".", "..", "a/b", "/a", "a\0b", "app.chan", "\ud800"])
def test_bad_names(channels, base):
    for call in (rchan.create, rchan.open, rchan.remove):
        with pytest.raises(rchan.BadName):
            call(base)
    assert list(channels.iterdir()) == []


@pytest.mark.parametrize("base", [1, b"app", None, ["app"]])
def test_names_of_wrong_type(base):
    with pytest.raises(rchan.WrongType):
        rchan.open(base)


@pytest.mark.parametrize(
    "base", ["app", "ä" * 125, "x" * 250, "with blank", "\n", "chan", "-", "0"]
)
def test_good_names(base):
    with rchan.create(base, subbuf_size=64, n_subbufs=2) as channel:
        assert channel.name == base
        assert [found.name for found in rchan.list()] == [base]
        with rchan.open(base) as again:
            assert again.name == base


def test_room_for_the_cpu_number():
    with cpus.injected(range(1_000_001), [0]), pytest.raises(rchan.BadName, match="for 248"):
        names.check_base("x" * 249)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "\ud800"])
def test_bad_directory_names(name):
    with pytest.raises(rchan.BadName):
        relayfs_create_dir(name)


def test_directories_are_made_once():
    relayfs_create_dir("one")
    with pytest.raises(rchan.ChannelExists):
        relayfs_create_dir("one")
    with pytest.raises(rchan.WrongType):
        relayfs_create_dir(1)
    with pytest.raises(rchan.WrongType):
        relayfs_remove_dir(None)
    with pytest.raises(rchan.ChannelNotFound):
        relayfs_remove_dir("two")
