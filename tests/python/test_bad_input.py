"""Bad input: a clear error of the hierarchy each, nothing left behind, nothing lost."""

import contextlib
import os
import signal
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import rchan
from rchan import _core

MAGIC, ABI_VERSION, BYTE_ORDER, SUBBUF_SIZE, N_SUBBUFS = 0, 8, 12, 16, 20


@pytest.fixture(autouse=True)
def nothing_left_behind(channels):
    """No file is there that was not there before, except what a test made itself."""
    yield
    assert [file.name for file in channels.iterdir() if not file.name.startswith("mine")] == []


@pytest.mark.parametrize(
    "geometry",
    [
        {"subbuf_size": 0},
        {"subbuf_size": -1},
        {"subbuf_size": 2**32},
        {"subbuf_size": 2**100},
        {"n_subbufs": 0},
        {"n_subbufs": -5},
        {"n_subbufs": 524_289, "subbuf_size": 1},
        {"n_subbufs": 65_536, "subbuf_size": 65_536},
        {"n_subbufs": 2, "subbuf_size": 2**31},
        {"n_buffers": 0},
        {"n_buffers": -1},
        {"n_buffers": 4097},
        {"mode": -1},
        {"mode": 0o1000},
    ],
)
def test_absurd_geometry(geometry):
    with pytest.raises(rchan.GeometryError, match=r"\d"):
        rchan.create("app", **geometry)


@pytest.mark.parametrize(
    "arguments",
    [
        {"subbuf_size": "64"},
        {"subbuf_size": 64.0},
        {"subbuf_size": True},
        {"n_subbufs": None},
        {"n_buffers": "all"},
        {"mode": "rw"},
        {"callbacks": 5},
        {"parent": 5},
    ],
)
def test_wrong_types_at_create(arguments):
    with pytest.raises(rchan.WrongType, match=next(iter(arguments))):
        rchan.create("app", **arguments)
    with pytest.raises(rchan.WrongType):
        rchan.create(5)


@pytest.mark.parametrize("mode", [0, 0o400, 0o200, 0o077, 0o1000, -1])
def test_a_mode_that_shuts_out_the_owner(mode):
    with pytest.raises(rchan.GeometryError, match="mode is"):
        rchan.create("app", mode=mode)


def test_largest_geometry_is_taken(four_cpus, channels):
    space = os.statvfs(channels)
    if space.f_bavail * space.f_frsize < 80 << 20:
        pytest.skip("half a million sub-buffers have 64 MiB of metadata: not that much space here")
    with rchan.create("mine", subbuf_size=1, n_subbufs=524_288, n_buffers=1) as channel:
        assert channel.write(b"x")


def test_a_name_that_exists(small):
    small.write(b"kept", 0)
    for geometry in ({"subbuf_size": 32, "n_subbufs": 4}, {"subbuf_size": 64}):
        with pytest.raises(rchan.ChannelExists, match=r"small.*(exist_ok|remove|open)"):
            rchan.create("small", **geometry)
    with pytest.raises(rchan.GeometryError, match="small"):
        rchan.create("small", subbuf_size=64, exist_ok=True)
    assert rchan.RelayFile(small.buffers[0]).read() == b"kept"


def test_a_buffer_file_that_exists(four_cpus, channels):
    (channels / "mine1").write_text("not ours")
    with pytest.raises(rchan.ChannelExists, match="mine1"):
        rchan.create("mine", subbuf_size=64, n_buffers=4)
    assert [file.name for file in channels.iterdir()] == ["mine1"]
    assert (channels / "mine1").read_text() == "not ours"


def test_a_missing_channel():
    for call in (rchan.open, rchan.remove):
        with pytest.raises(rchan.ChannelNotFound, match="nobody"):
            call("nobody")


@pytest.fixture
def control(four_cpus, channels) -> Path:
    """The control file of a channel that nobody has open."""
    rchan.create("mine", subbuf_size=64, n_subbufs=2, n_buffers=2).detach()
    return channels / "mine.chan"


def patch(file: Path, offset: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        opened.write(data)


@pytest.mark.parametrize(
    ("offset", "data", "error"),
    [
        (MAGIC, b"somebody", rchan.CorruptChannel),
        (ABI_VERSION, struct.pack("I", _core.ABI_VERSION + 1), rchan.IncompatibleChannel),
        (BYTE_ORDER, b"\x01\x02\x03\x04", rchan.IncompatibleChannel),
        (SUBBUF_SIZE, b"\0\0\0\0", rchan.CorruptChannel),
        (SUBBUF_SIZE, b"\xff\xff\xff\xff", rchan.CorruptChannel),
        (N_SUBBUFS, b"\xff\xff\xff\xff", rchan.CorruptChannel),
    ],
)
def test_a_foreign_control_file(control, offset, data, error):
    if sys.byteorder == "big" and offset == BYTE_ORDER:
        data = data[::-1]
    patch(control, offset, data)
    with pytest.raises(rchan.CorruptChannel, match=r"mine") as failure:
        rchan.open("mine")
    assert type(failure.value) is error
    assert [found.state for found in rchan.list()] == ["damaged"]
    rchan.remove("mine")
    assert rchan.list() == []


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 40_000])
def test_a_truncated_control_file(control, size):
    os.truncate(control, size)
    with pytest.raises(rchan.CorruptChannel, match="mine"):
        rchan.open("mine")
    rchan.remove("mine")


@pytest.mark.parametrize("size", [0, 100])
def test_a_truncated_buffer_file(control, channels, size):
    os.truncate(channels / "mine0", size)
    with rchan.open("mine") as channel:
        assert sorted(channel.buffers) == [1]
        with pytest.raises(rchan.CorruptChannel, match="mine0"):
            channel.prepare_cpu(0)
        assert channel.write(b"goes to a sound buffer", 0)
    rchan.remove("mine")
    assert list(channels.iterdir()) == []


@pytest.mark.parametrize("junk", [b"\0" * 100_000, os.urandom(100_000), b"text\n"])
def test_junk_as_control_file(channels, junk):
    (channels / "mine.chan").write_bytes(junk)
    with pytest.raises(rchan.CorruptChannel, match="mine"):
        rchan.open("mine")
    with pytest.raises(rchan.ChannelExists):
        rchan.create("mine", subbuf_size=64)


def test_no_file_as_control_file(control, channels):
    (channels / "mine_link.chan").symlink_to(control)
    (channels / "mine_dir.chan").mkdir()
    os.mkfifo(channels / "mine_fifo.chan")
    for name in ("mine_link", "mine_dir", "mine_fifo"):
        with pytest.raises(rchan.RchanError, match=name):
            rchan.open(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_channel_of_another_user(control):
    os.chown(control, 12345, 12345)
    with pytest.raises(rchan.NotPermitted, match="12345"):
        rchan.open("mine")


def run_as_nobody(channels: Path, act) -> None:
    """In a child that has no special rights; its failure is ours."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            act()
            status = 0
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert channels.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_no_permission(channels):
    channels.chmod(0o755)
    (channels / "mine").mkdir(0o500)
    os.chown(channels / "mine", 65534, 65534)

    def act():
        with pytest.raises(rchan.NotPermitted, match="mine"):
            rchan.create("app", channels / "mine", subbuf_size=64)
        with pytest.raises(rchan.NotPermitted, match="belongs to user 0"):
            rchan.create("app", subbuf_size=64)

    run_as_nobody(channels, act)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_no_permission_to_open(channels):
    channels.chmod(0o755)
    (channels / "mine").mkdir(0o700)
    with rchan.create("app", "mine", subbuf_size=64):
        for file in (channels / "mine").iterdir():
            os.chown(file, 65534, 65534)
            file.chmod(0)
        os.chown(channels / "mine", 65534, 65534)

        def act():
            with pytest.raises(rchan.NotPermitted, match="app"):
                rchan.open("app", channels / "mine")

        run_as_nobody(channels, act)
        os.chown(channels / "mine", 0, 0)


def test_too_little_room(channels):
    """In a file system of one megabyte, where the kernel lets us make one."""
    code = textwrap.dedent("""
        import os, rchan
        from rchan import cpus
        with cpus.injected([0], [0]):
            rchan.create("fits", subbuf_size=65536, n_subbufs=4, n_buffers=1).close()
            try:
                rchan.create("large", subbuf_size=1 << 20, n_subbufs=8)
            except rchan.NoSpace as error:
                print(error)
        assert os.listdir(os.environ["RCHAN_DIR"]) == []
    """)
    script = f'mount -t tmpfs -o size=1M,mode=0700 tmpfs "{channels}" && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", script, "sh", sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare" in ran.stderr or "mount:" in ran.stderr:
        pytest.skip(f"no file system of our own: {ran.stderr}")
    assert ran.returncode == 0, ran.stderr
    assert "8192 KiB" in ran.stdout
    assert "1024 KiB" in ran.stdout
    assert "RCHAN_DIR" in ran.stdout


def test_use_after_close(small):
    buffers = small.buffers
    small.close()
    calls = [
        lambda: small.write(b"x"),
        lambda: small.reserve(1),
        small.flush,
        small.reset,
        small.finalize,
        small.stats,
        small.producers,
        lambda: small.buffers,
        lambda: small.prepare_cpu(0),
        lambda: small.subbufs_consumed(0, 1),
        lambda: small.late_setup_files("late"),
        lambda: small.enabled,
        lambda: setattr(small, "enabled", True),
        small.__enter__,
    ]
    for call in calls:
        with pytest.raises(rchan.ChannelClosed, match="closed"):
            call()
    small.close()
    small.detach()
    assert buffers[0].read(10) == b"", "a buffer outlives its channel"


@pytest.mark.parametrize("cpu", [-1, 4, 1000, 2**31, 2**70])
def test_cpu_out_of_range(small, cpu):
    for call in (small.prepare_cpu, lambda cpu: small.buffers[cpu]):
        with pytest.raises(rchan.NoSuchBuffer, match=str(cpu)):
            call(cpu)
    assert cpu not in small.buffers


@pytest.mark.parametrize("cpu", [-1, 2**31, 2**70])
def test_writing_to_an_impossible_cpu(small, cpu):
    for call in (lambda: small.write(b"x", cpu), lambda: small.reserve(1, cpu)):
        with pytest.raises(rchan.NoSuchBuffer):
            call()
    assert small.stats().total.attempted == (0, 0)


def test_wrong_types(small):
    calls = [
        lambda: small.write("text"),
        lambda: small.write(None),
        lambda: small.write(5),
        lambda: small.write(b"x", "0"),
        lambda: small.write(b"x", 0.0),
        lambda: small.reserve("8"),
        lambda: small.reserve(8, "0"),
        lambda: small.prepare_cpu("0"),
        lambda: small.prepare_cpu(True),
        lambda: small.buffers["0"],
        lambda: small.late_setup_files(5),
        lambda: small.buffers[0].read("1"),
        lambda: small.buffers[0].readinto(b"read-only"),
    ]
    for call in calls:
        with pytest.raises(rchan.WrongType):
            call()
    with pytest.raises(TypeError):
        small.write()
    assert small.stats().total.attempted == (0, 0)


def test_late_setup_of_bad_names(four_cpus):
    with rchan.create(None, subbuf_size=64, n_buffers=4) as channel:
        channel.write(b"kept", 0)
        for bad, error in (("a/b", rchan.BadName), (None, rchan.WrongType), ("", rchan.BadName)):
            with pytest.raises(error):
                channel.late_setup_files(bad)
        with pytest.raises(rchan.ChannelNotFound):
            channel.late_setup_files("late", "nowhere")
        assert rchan.RelayFile(channel.buffers[0]).read() == b"kept"


def test_late_setup_on_another_file_system(four_cpus, tmp_path):
    tmp_path.chmod(0o700)
    with rchan.create(None, subbuf_size=64, n_buffers=4) as channel:
        if tmp_path.stat().st_dev == Path(channel.directory).stat().st_dev:
            pytest.skip("temporary files are on the same file system")
        with pytest.raises(rchan.Unsupported, match="file system"):
            channel.late_setup_files("late", tmp_path)
        assert list(tmp_path.iterdir()) == []
        channel.late_setup_files("late")


def test_a_mapping_that_changes_under_us(small, channels):
    """Another process fills the control file with junk: errors or losses, but no crash."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with (channels / "small.chan").open("r+b") as control:
                for offset in range(36864, 36864 + 3 * 4096, 64):
                    control.seek(offset)
                    control.write(b"\xff" * 64)
                    control.flush()
                    for call in (
                        lambda: small.write(b"x" * 20, 0),
                        small.flush,
                        lambda: small.buffers[0].read(100),
                        small.stats,
                        small.reset,
                    ):
                        with contextlib.suppress(rchan.RchanError, BlockingIOError):
                            call()
            status = 0
        finally:
            os._exit(status)
    ended = os.waitpid(pid, 0)[1]
    assert not os.WIFSIGNALED(ended), signal.Signals(os.WTERMSIG(ended))
    assert ended == 0
