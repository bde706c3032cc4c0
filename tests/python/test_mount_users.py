"""Mounts and other users: who may look, and who may mount."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from mounts import detach, mounted, why_not

import rchan

pytestmark = pytest.mark.usefixtures("possible")


@pytest.fixture(scope="module")
def possible():
    reason = why_not()
    if reason:
        pytest.skip(reason)


def as_nobody(act):
    """The errno that another user of our group gets; 0: none."""
    pid = os.fork()
    if pid == 0:
        status = 0
        try:
            os.setgroups([])
            os.setresuid(NOBODY, NOBODY, NOBODY)
            act()
        except OSError as error:
            status = error.errno
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("allow", [True, False])
def test_other_users(allow):
    """--allow-other lets them in as far as the files' modes allow; else they may not even look."""
    with mounted(*["--allow-other"] * allow) as relay:
        os.chmod(relay.root, 0o755)
        make = {"subbuf_size": 64, "n_buffers": 1}
        with (
            rchan.create("shared", relay.root, mode=0o640, **make) as shared,
            rchan.create("own", relay.root, **make) as own,
        ):
            shared.write(b"data")
            own.write(b"data")

            def read(name):
                assert (relay.point / name).read_bytes() == b"data"

            assert as_nobody(lambda: os.listdir(relay.point)) == (0 if allow else errno.EACCES)
            assert as_nobody(lambda: read("own0")) == errno.EACCES
            assert as_nobody(lambda: (relay.point / "own.ctl").write_text("reset")) == errno.EACCES
            assert as_nobody(lambda: (relay.point / "shared.ctl").write_text("x")) == errno.EACCES
            assert as_nobody(lambda: read("shared0")) == (0 if allow else errno.EACCES)
            assert own.buffers[0].read(9) == b"data"


# without root


NOBODY = 65534
PACKAGES = str(Path(rchan.__file__).parents[1])


# A /dev/fuse that everybody may open, as on most machines, for one command.
FUSE_FOR_ALL = """
mount -t tmpfs none "$1" && mknod -m 666 "$1/fuse" c 10 229 && mount --bind "$1/fuse" /dev/fuse
shift
exec "$@"
"""


def python_of_nobody():
    """The start of a command that runs Python as another user, who may do nothing special."""
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    for python in (sys.executable, "/usr/bin/python3"):
        command = [shutil.which("setpriv"), *user[1:], "--inh-caps=-all", "--ambient-caps=-all"]
        command += ["env", f"PYTHONPATH={PACKAGES}", python]
        done = subprocess.run([*command, "-c", "import rchan"], capture_output=True, check=False)
        if done.returncode == 0:
            return command
    return None


@pytest.fixture
def others():
    """Python as another user, and a home of theirs with a directory of channels."""
    if os.geteuid() or not all(map(shutil.which, ("setpriv", "fusermount3"))):
        pytest.skip("it takes root, setpriv and fusermount3 to try it as another user")
    python = python_of_nobody()
    if python is None:
        pytest.skip("another user cannot read this Python's packages")
    with tempfile.TemporaryDirectory(prefix="rchan-test-") as home:
        os.chmod(home, 0o755)
        for name in ("root", "point"):
            (Path(home) / name).mkdir(0o700)
            os.chown(Path(home) / name, NOBODY, NOBODY)
        (Path(home) / "dev").mkdir()
        fuse = ["unshare", "-m", "sh", "-c", FUSE_FOR_ALL, "sh", str(Path(home) / "dev")]
        yield [*fuse, *python], Path(home)
        detach(Path(home) / "point")


PROGRAM = """
import errno, mmap, os, rchan, select, subprocess, sys
root, point = sys.argv[1:]
os.environ["RCHAN_DIR"] = root
run = lambda *words: subprocess.run([sys.executable, "-m", "rchan.cli", *words], check=True)
with rchan.create("app", subbuf_size=4096, n_buffers=1) as channel:
    run("mount", point)
    print(sorted(os.listdir(point)))
    fd = os.open(point + "/app0", os.O_RDONLY)
    channel.write(b"data"); channel.flush()
    print(select.select([fd], [], [], 60)[0] == [fd], os.read(fd, 99))
    try:
        mmap.mmap(fd, channel.alloc_size, prot=mmap.PROT_READ)
    except OSError as error:
        print(errno.errorcode[error.errno])
    backing = os.open(os.getxattr(point + "/app0", "user.rchan.backing"), os.O_RDONLY)
    print(mmap.mmap(backing, channel.alloc_size, prot=mmap.PROT_READ)[:4])
    try:
        os.lseek(fd, 0, os.SEEK_SET)
    except OSError as error:
        print(errno.errorcode[error.errno])
    os.close(fd)
    run("umount", point)
    print(os.listdir(point))
"""


def test_without_root(others):
    """By fusermount3: everything but mmap, for which the backing file's path is told."""
    python, home = others
    command = [*python, "-c", PROGRAM, str(home / "root"), str(home / "point")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "/dev/fuse" in done.stderr and "ermission" in done.stderr:
        pytest.skip(f"fusermount3 cannot mount here: {done.stderr.splitlines()[-1]}")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "['app.ctl', 'app.info', 'app.stat', 'app0']",
        "True b'data'",
        "ENODEV",
        "b'data'",
        "ESPIPE",
        "[]",
    ]


def test_a_mount_point_that_may_not_be_looked_at(others):
    """A clear message, also where the directories above it are another user's."""
    python, home = others
    (home / "root" / "channels").mkdir(0o700)
    os.chown(home / "root" / "channels", NOBODY, NOBODY)
    (home / "closed" / "point").mkdir(parents=True)
    for mode, status, words in ((0o700, 6, "permi"), (0o755, 1, "cannot mount")):
        os.chmod(home / "closed", mode)
        command = [*python, "-m", "rchan.cli", "mount", str(home / "closed" / "point")]
        command += ["--root", str(home / "root" / "channels")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == status and words in done.stderr.lower(), (mode, done)
        assert len(done.stderr.splitlines()) == 1, "a message, no traceback"


def test_without_fusermount3(others):
    python, home = others
    python[-1:-1] = ["PATH=/nowhere", f"RCHAN_DIR={home / 'root'}"]
    command = [*python, "-m", "rchan.cli", "mount", str(home / "point")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 6 and "install the package fuse3" in done.stderr
