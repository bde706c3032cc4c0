"""How mounts begin and end, and what is left of them."""

import contextlib
import errno
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from forking import forked, kill
from leaks import descriptors
from mounts import detach, end, mounted, serve, why_not

import rchan
from rchan.mount import AlreadyMounted, BadMountPoint, Mount, NotMounted, table, unmount
from rchan.mount.mounting import check_point

pytestmark = pytest.mark.usefixtures("possible")


@pytest.fixture(scope="module")
def possible():
    reason = why_not()
    if reason:
        pytest.skip(reason)


@pytest.fixture
def point(tmp_path):
    place = tmp_path / "point"
    place.mkdir()
    yield place
    detach(place)


def rchan_command(*arguments, **how):
    command = [sys.executable, "-m", "rchan.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **how)


def test_mount_and_umount(point, channels):
    with rchan.create("app", subbuf_size=64, n_buffers=1):
        done = rchan_command("mount", point)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert "app0" in os.listdir(point)
        done = rchan_command("umount", point)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert os.listdir(point) == []
        done = rchan_command("umount", point)
        assert done.returncode == 3 and "no channels are mounted" in done.stderr


def test_umount_of_a_mount_in_use(point, channels):
    with rchan.create("app", subbuf_size=64, n_buffers=1) as channel:
        assert rchan_command("mount", point).returncode == 0
        fd = os.open(point / "app0", os.O_RDONLY)
        done = rchan_command("umount", point)
        assert done.returncode == 1 and "in use" in done.stderr
        channel.write(b"x")
        assert os.read(fd, 9) == b"x", "it goes on"
        assert rchan_command("umount", "--lazy", point).returncode == 0
        assert os.listdir(point) == []
        channel.write(b"y")
        assert os.read(fd, 9) == b"y", "what is open can be read on"
        os.close(fd)


def test_as_a_library(point, channels):
    with rchan.create("app", subbuf_size=64, n_buffers=1) as channel, Mount(point) as mount:
        assert mount.point == str(point) and mount.root == str(channels)
        channel.write(b"data")
        assert (point / "app0").read_bytes() == b"data"
        with pytest.raises(AlreadyMounted):
            Mount(point)
    assert os.listdir(point) == []
    mount.close()
    Mount(point).close()
    assert table.mounted_at(str(point)) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts(number):
    with (
        mounted() as relay,
        rchan.create("app", relay.root, subbuf_size=64, n_buffers=1) as channel,
    ):
        channel.write(b"still there")
        fd = os.open(relay.point / "app0", os.O_RDONLY)
        relay.server.send_signal(number)
        assert relay.server.wait(60) == 0
        assert table.mounted_at(str(relay.point)) is None
        with pytest.raises(OSError):
            os.read(fd, 9)
        os.close(fd)
        assert channel.buffers[0].read(99) == b"still there"
        assert relay.server.stderr.read() == ""


def test_killed_it_loses_nothing_and_wakes_sleepers():
    with (
        mounted() as relay,
        rchan.create("app", relay.root, subbuf_size=64, n_buffers=1) as channel,
    ):
        fd = os.open(relay.point / "app0", os.O_RDONLY)
        channel.write(b"abcdef")
        assert os.read(fd, 2) == b"ab"
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        assert poller.poll(0) == []
        killer = threading.Thread(target=relay.server.kill)
        killer.start()
        assert poller.poll(60_000)[0][1] & select.POLLERR
        killer.join()
        relay.server.wait()
        os.close(fd)
        assert channel.buffers[0].read(99) == b"cdef"
        with pytest.raises(OSError) as caught:
            os.listdir(relay.point)
        assert caught.value.errno == errno.ENOTCONN
        again = serve(relay.point, relay.root, "--foreground")
        try:
            assert "is mounted at" in again.stderr.readline()
            channel.write(b"ghi")
            assert (relay.point / "app0").read_bytes() == b"ghi"
            mounts = [m for m in table.mounts() if m.point == str(relay.point)]
            assert len(mounts) == 1, "the dead one is gone"
        finally:
            end(again, relay.point)


def test_the_kernel_agrees_to_a_timeout(point, channels):
    """That it cuts off a server that hangs: see test_world_mount.py, it takes long."""
    kernel = tuple(int(part) for part in os.uname().release.split(".")[:2])
    for timeout in (7, 0):
        with Mount(point, timeout=timeout) as mount:
            assert mount.timeout == (timeout if kernel >= (6, 15) else 0)


def test_killed_while_it_is_read_from_loses_nothing():
    """Whatever the server was doing: what the reader has and what is left are all, in order."""
    count, size = 64, 65536
    for kill_after in (1, 7, 20):
        with mounted() as relay:
            channel = rchan.create(
                "app", relay.root, subbuf_size=size, n_subbufs=count, n_buffers=1
            )
            for number in range(count):
                assert channel.write(bytes([number]) * size)
            fd = os.open(relay.point / "app0", os.O_RDONLY)
            got = []
            with contextlib.suppress(OSError):
                while part := os.read(fd, size // 4):
                    got.append(part)
                    if len(got) == kill_after:
                        threading.Thread(target=relay.server.kill).start()
            os.close(fd)
            relay.server.wait()
            channel.flush()
            rest = channel.buffers[0].read(count * size)
            everything = b"".join(bytes([number]) * size for number in range(count))
            have = b"".join(got)
            assert everything.startswith(have) and everything.endswith(rest)
            twice = len(have) + len(rest) - len(everything)
            assert 0 <= twice <= size // 4, "nothing is lost; the last read may come twice"
            assert channel.stats().total.closes
            channel.close()


def test_killed_readers_lose_at_most_what_they_had():
    """Readers are killed while they read: the books close, and the rest is whole."""
    with (
        mounted() as relay,
        rchan.create("app", relay.root, subbuf_size=4096, n_subbufs=8, n_buffers=1) as channel,
    ):
        for _ in range(10):
            while channel.write(b"r" * 64):
                pass
            before = channel.stats().total.consumed
            pid = os.fork()
            if pid == 0:
                fd = os.open(relay.point / "app0", os.O_RDONLY)
                while os.read(fd, 64):
                    pass
                os._exit(0)
            while channel.stats().total.consumed == before:
                os.sched_yield()
            kill(pid)
            assert channel.stats().total.closes
            assert channel.buffers[0].bytes_consumed % 64 == 0
        rest = (relay.point / "app0").read_bytes()
        assert len(rest) % 64 == 0 and channel.stats().total.readable.bytes == 0


def test_a_reader_killed_while_it_waits_has_had_nothing():
    with (
        mounted() as relay,
        rchan.create("app", relay.root, subbuf_size=64, n_buffers=1) as channel,
    ):
        channel.write(b"abcdef")
        fd = os.open(relay.point / "app0", os.O_RDONLY)
        relay.server.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, relay.server.pid, os.WSTOPPED | os.WNOWAIT)
        pid = os.fork()
        if pid == 0:
            os.read(fd, 3)
            os._exit(0)
        waiting = Path(f"/proc/{pid}/stat")
        while waiting.read_text().rpartition(")")[2].split()[0] not in "SD":
            os.sched_yield()
        kill(pid)
        relay.server.send_signal(signal.SIGCONT)
        assert os.read(fd, 99) == b"abcdef"
        os.close(fd)


def test_a_child_of_the_process_that_serves(point, channels):
    """It neither ends the mount nor keeps it alive: the connection is the parent's alone."""

    def devices(pid):
        return list(descriptors(pid).values()).count("/dev/fuse")

    with rchan.create("app", subbuf_size=64, n_buffers=1), Mount(point) as own:
        assert devices("self") == 1
        with forked(own.close) as pid:
            assert devices(pid) == 0
            assert "app0" in os.listdir(point)
        assert "app0" in os.listdir(point)
    assert os.listdir(point) == []


# mount points


def test_bad_mount_points(tmp_path, channels):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "new\nline").write_text("x")
    (channels / "inside").mkdir()
    cases = {
        tmp_path / "missing": "does not exist",
        tmp_path / "file": "is not a directory",
        tmp_path / "file" / "below": "no directory",
        tmp_path / "full": "is not empty",
        channels: "inside the directory of channels",
        channels / "inside": "inside the directory of channels",
        "bad\0name": "NUL",
    }
    for point, words in cases.items():
        with pytest.raises(BadMountPoint, match=words):
            check_point(point, str(channels))


def test_a_mount_point_that_would_hide_the_channels(tmp_path):
    (tmp_path / "above").mkdir()
    with pytest.raises(BadMountPoint, match="would hide"):
        check_point(tmp_path / "above", str(tmp_path / "above" / "channels"))


def test_somebody_elses_mount_is_left_alone():
    with pytest.raises(AlreadyMounted, match="file system"):
        check_point("/proc", "/dev/shm")
    with pytest.raises(NotMounted):
        unmount("/proc")


def test_what_the_command_says(tmp_path, point):
    for arguments, status, words in (
        (["mount", tmp_path / "missing"], 2, "make the directory"),
        (["mount", point, "--root", "nowhere"], 3, "nowhere"),
        (["mount", point, "--timeout", "x"], 2, "seconds"),
        (["mount"], 2, "MOUNTPOINT"),
        (["umount", point], 3, "no channels are mounted"),
    ):
        done = rchan_command(*arguments)
        assert done.returncode == status, done
        assert words in done.stderr and done.stdout == ""
    assert rchan_command("mount", point).returncode == 0
    done = rchan_command("mount", point)
    assert done.returncode == 5 and "rchan umount" in done.stderr
    assert rchan_command("umount", point).returncode == 0


def test_a_mount_point_with_a_strange_name(tmp_path, channels):
    strange = tmp_path / "new\nline, comma\\040 and \udcff"
    strange.mkdir()
    with Mount(strange):
        assert table.mounted_at(str(strange)).ours
    assert table.mounted_at(str(strange)) is None


def test_without_dev_fuse(point, channels):
    """In a mount namespace whose /dev has no fuse."""
    if os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("it takes root and unshare to hide /dev/fuse")
    hide = "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3"
    with tempfile.TemporaryDirectory(prefix="rchan-test-") as root:
        mount = f"{sys.executable} -m rchan.cli mount {point} --root {root}"
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", f"{hide} && {mount}"],
            capture_output=True,
            text=True,
            check=False,
        )
    if "mknod" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"/dev cannot be replaced here: {done.stderr}")
    assert done.returncode == 1 and "there is no FUSE here" in done.stderr
