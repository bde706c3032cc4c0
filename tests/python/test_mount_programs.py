"""Programs that know nothing of rchan read channels through a mount."""

import os
import shutil
import struct
import subprocess
import sys

import pytest
from sanitizer import without_preload

import rchan

pytestmark = pytest.mark.usefixtures("relay")
LINES = [b"line %d of the channel\n" % number for number in range(300)]
TEXT = b"".join(LINES)
C_PROGRAM = r"""
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Read finished data as it is announced, until the channel ends; compare it with the mapping. */
int main(int argc, char **argv)
{
    struct stat found;
    char bytes[65536];
    long at = 0, same = 1;
    int fd = open(argv[1], O_RDONLY);
    struct pollfd waiting = {.fd = fd, .events = POLLIN | POLLRDNORM};
    if (argc != 2 || fd < 0 || fstat(fd, &found))
        return 1;
    const char *map = mmap(NULL, found.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return 2;
    puts("waiting");
    fflush(stdout);
    for (;;) {
        if (poll(&waiting, 1, 60000) != 1)
            return 3;
        for (ssize_t got; (got = read(fd, bytes, sizeof bytes)) > 0; at += got)
            same &= memcmp(map + at, bytes, got) == 0;
        if (waiting.revents & POLLERR)
            break;
    }
    printf("%ld bytes, %s\n", at, same ? "as mapped" : "other than mapped");
    return 0;
}
"""


@pytest.fixture
def full(relay):
    """A channel with TEXT in it, finished and unfinished."""
    with rchan.create("text", relay.root, subbuf_size=4096, n_subbufs=4, n_buffers=1) as channel:
        for line in LINES:
            assert channel.write(line)
        yield channel


@pytest.fixture
def path(relay, full):
    return str(relay.point / "text0")


def run(*command, **how):
    how.setdefault("env", without_preload())
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, **how)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout


def test_cat(path):
    assert run("cat", path) == TEXT
    assert run("cat", path) == b""


def test_dd(path):
    assert run("dd", f"if={path}", "bs=100", "count=3", "status=none") == TEXT[:300]
    assert run("dd", f"if={path}", "bs=1M", "status=none") == TEXT[300:]


def test_dd_cannot_skip(path):
    done = subprocess.run(
        ["dd", f"if={path}", "bs=100", "skip=1"],
        capture_output=True,
        check=False,
        env=without_preload(),
    )
    assert done.returncode and b"Illegal seek" in done.stderr
    assert run("cat", path) == TEXT


def test_head(path):
    assert run("head", "-n", "2", path) == b"".join(LINES[:2])


def test_head_of_bytes(path):
    assert run("head", "-c", "100", path) == TEXT[:100]
    assert run("cat", path) == TEXT[100:]


@pytest.mark.parametrize("to", ["copy", "sparse"])
def test_cp(path, tmp_path, to):
    options = ["--sparse=always"] if to == "sparse" else []
    run("cp", *options, path, str(tmp_path / to))
    assert (tmp_path / to).read_bytes() == TEXT


def test_grep(path):
    assert run("grep", "line 2[89]9", path) == LINES[289] + LINES[299]


def test_wc(path, full):
    assert run("wc", path).split()[:3] == [b"300", b"1500", b"%d" % len(TEXT)]
    full.write(b"more\n")
    assert run("wc", "-c", path).split()[0] == b"5", "it reads, whatever the size is"


def test_od(path):
    out = run("od", "-An", "-c", "-N", "6", path)
    assert out.split() == [b"l", b"i", b"n", b"e", b"0"]


def test_tail(path):
    assert run("tail", "-n", "3", path) == b"".join(LINES[-3:])


def test_tail_of_bytes(path):
    assert run("tail", "-c", "30", path) == TEXT[-30:]


def test_tail_f(path, full):
    """Much more than the buffer holds goes through, and each line comes once."""
    options = ["-s", "0.02", "-n", "+1", "-f"]
    with subprocess.Popen(["tail", *options, path], stdout=subprocess.PIPE) as tail:
        try:
            assert [tail.stdout.readline() for _ in LINES] == LINES
            for round in range(4):
                lines = [b"round %d, line %d %s\n" % (round, n, b"." * 60) for n in range(100)]
                for line in lines:
                    assert full.write(line)
                assert [tail.stdout.readline() for _ in lines] == lines
        finally:
            tail.kill()


def test_a_shell_waits_and_controls(relay, full):
    shell = f"cd {relay.point} && echo flush > text.ctl && cat text0 && grep -c . text.stat"
    out = run("sh", "-c", shell)
    assert out == TEXT + b"25\n"


def test_python_with_mmap_select_and_shutil(relay, full, path, tmp_path):
    program = (
        "import mmap, select, shutil, sys\n"
        "file = open(sys.argv[1], 'rb')\n"
        "ready, _, _ = select.select([file], [], [], 60)\n"
        "view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
        "print(len(ready), view[:6], len(view))\n"
        "shutil.copyfile(sys.argv[1], sys.argv[2])\n"
    )
    if os.geteuid():
        pytest.skip("FUSE passthrough takes CAP_SYS_ADMIN")
    out = run(sys.executable, "-c", program, path, str(tmp_path / "copy"))
    assert out == b"1 b'line 0' 16384\n"
    assert (tmp_path / "copy").read_bytes() == TEXT


def test_a_c_program_with_poll_and_mmap(relay, tmp_path):
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler here")
    if os.geteuid():
        pytest.skip("FUSE passthrough takes CAP_SYS_ADMIN")
    source = tmp_path / "poller.c"
    source.write_text(C_PROGRAM)
    run(compiler, "-Wall", "-Werror", "-o", str(tmp_path / "poller"), str(source))
    with rchan.create("c", relay.root, subbuf_size=4096, n_subbufs=8, n_buffers=1) as channel:
        command = [str(tmp_path / "poller"), str(relay.point / "c0")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as poller:
            assert poller.stdout.readline() == b"waiting\n"
            for number in range(8):
                assert channel.write(bytes([number]) * 4096)
                channel.flush()
            channel.finalize()
            assert poller.stdout.read() == b"32768 bytes, as mapped\n"
        assert poller.returncode == 0


# blkparse: what relay was made for

BLK_MAGIC, BLK_VERSION = 0x65617400, 7
QUEUE, COMPLETE = 1, 8
WRITE_ACTION = 1 << (1 + 16)  # BLK_TC_WRITE
QUEUE_ACTION, COMPLETE_ACTION = 1 << (4 + 16), 1 << (7 + 16)


def blk_record(sequence, action, sector, pid, cpu=0):
    """struct blk_io_trace."""
    return struct.pack(
        "<IIQQIIIIIHH",
        *(BLK_MAGIC | BLK_VERSION, sequence, sequence * 1000, sector, 8 * 512),
        *(action | WRITE_ACTION, pid, 8 << 20, cpu, 0, 0),
    )


def test_blkparse(relay):
    if shutil.which("blkparse") is None:
        pytest.skip("there is no blkparse here: install the package blktrace")
    name = "sda.blktrace."
    with rchan.create(name, relay.root, subbuf_size=256, n_subbufs=64, n_buffers=1) as channel:
        for number in range(100):
            action = (QUEUE | QUEUE_ACTION) if number % 2 == 0 else (COMPLETE | COMPLETE_ACTION)
            assert channel.write(blk_record(number + 1, action, 1000 + number // 2 * 8, 42))
        out = run("blkparse", "-i", "sda", "-D", str(relay.point), "-f", "%a %S %n\n").decode()
        events = [line for line in out.splitlines() if line.startswith(("Q ", "C "))]
        assert events[:4] == ["Q 1000 8", "C 1000 8", "Q 1008 8", "C 1008 8"]
        assert len(events) == 100
        assert "Writes Queued:          50" in out
        assert channel.stats().total.consumed.bytes == 4800


def test_programs_left_nothing_open(relay):
    """The server lets go of each channel, and of what it had mapped of it."""
    with rchan.create("own", relay.root, subbuf_size=64, n_buffers=1):
        for _ in range(20):
            run("cat", str(relay.point / "own0"))
        relay.until_free("own")
