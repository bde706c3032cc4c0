"""A real mount: the tree, reading, waiting, mapping, and what is refused."""

import errno
import mmap
import os
import select
import shutil
import stat
import threading

import pytest
from forking import forked
from mounts import polled, refusal

import rchan
from rchan.mount import BACKING_XATTR
from rchan.names import relayfs_create_dir, relayfs_remove_dir

pytestmark = pytest.mark.usefixtures("relay")
NEWS = select.EPOLLIN | select.EPOLLRDNORM


@pytest.fixture
def app(relay):
    with rchan.create("app", relay.root, subbuf_size=4096, n_subbufs=4, n_buffers=1) as channel:
        yield channel


@pytest.fixture
def shown(app, relay):
    fd = os.open(relay.point / "app0", os.O_RDONLY)
    yield fd
    os.close(fd)


def finish(channel, data=b"x"):
    assert channel.write(data)
    channel.flush()


def test_the_tree(relay, app):
    assert relay.names() == ["app.ctl", "app.info", "app.stat", "app0"]
    found = os.stat(relay.point / "app0")
    assert stat.filemode(found.st_mode) == "-r--------"
    assert (found.st_size, found.st_uid) == (app.alloc_size, os.geteuid())
    assert stat.filemode(os.stat(relay.point / "app.ctl").st_mode) == "--w-------"


def test_channels_and_directories_come_and_go(relay):
    os.mkdir(relay.point / "sub")
    assert (relay.root / "sub").is_dir()
    with rchan.create("new", relay.root / "sub", subbuf_size=64, n_buffers=2) as channel:
        assert "new0" in relay.names("sub")
        channel.prepare_cpu(1)
        assert "new1" in relay.names("sub")
        assert refusal(os.rmdir, relay.point / "sub") == errno.ENOTEMPTY
        assert refusal(os.mkdir, relay.point / "sub") == errno.EEXIST
    assert relay.names("sub") == []
    os.rmdir(relay.point / "sub")
    assert not (relay.root / "sub").exists()
    (relay.root / "behind").mkdir(0o700)
    assert relay.names() == ["behind"]
    (relay.root / "behind").rmdir()
    assert relay.names() == []


def test_late_files_and_directories_of_relayfs(relay):
    """What other processes make behind the mount is there, and goes, at once."""
    relayfs_create_dir("made", str(relay.root))
    late = rchan.create(None, subbuf_size=64, n_buffers=1)
    late.write(b"early")
    assert relay.names("made") == []
    late.late_setup_files("late", relay.root / "made")
    assert relay.names("made") == ["late.ctl", "late.info", "late.stat", "late0"]
    assert relay.read("made/late0") == b"early"
    late.close()
    assert relay.names("made") == []
    relayfs_remove_dir(str(relay.root / "made"))
    assert relay.names() == []


def test_texts(relay, app):
    app.write(b"x" * 10)
    assert b"subbuf_size: 4096\n" in relay.read("app.info")
    lines = [line.split() for line in relay.read("app.stat").splitlines()]
    assert [b"total", b"written", b"1", b"10"] in lines


def test_control(relay, app):
    app.write(b"x")
    (relay.point / "app.ctl").write_text("flush\n")
    assert app.buffers[0].subbufs_produced == 1
    (relay.point / "app.ctl").write_text("consumed 0 1\npause\n")
    assert app.buffers[0].subbufs_consumed == 1 and not app.enabled
    with pytest.raises(OSError, match="Invalid argument"):
        (relay.point / "app.ctl").write_text("nonsense\n")
    with open(relay.point / "app.ctl", "a") as control:
        control.write("resume\n")
    assert app.enabled


def test_reading(app, shown):
    app.write(b"abc")
    app.flush()
    app.write(b"def")
    assert os.read(shown, 2) == b"ab"
    assert app.stats()[0].consumed == (0, 2)
    assert os.read(shown, 100) == b"cdef"
    assert os.read(shown, 100) == b""


def test_a_read_frees_the_place_before_it_returns(app, shown):
    for _ in range(200):
        while app.write(b"x" * 4096):
            pass
        assert len(os.read(shown, 4096)) == 4096
        assert app.write(b"y" * 4096)


def test_long_reads(relay, shown):
    with rchan.create("big", relay.root, subbuf_size=65536, n_subbufs=40, n_buffers=1) as big:
        fd = os.open(relay.point / "big0", os.O_RDONLY)
        pieces = [bytes([number]) * (65536 - number) for number in range(40)]
        for piece in pieces:
            assert big.write(piece)
        big.flush()
        got = b""
        while part := os.read(fd, 4 << 20):
            got += part
        assert got == b"".join(pieces)
        assert big.stats().total.consumed.bytes == len(got)
        os.close(fd)


def test_all_who_read_share_the_position(relay, app, shown):
    app.write(b"abcdef")
    with open(relay.point / "app0", "rb", buffering=0) as other:
        assert other.read(2) + os.read(shown, 2) + other.read(9) == b"abcdef"


def test_seeking(app, shown):
    app.write(b"abcdef")
    assert refusal(os.lseek, shown, 0, os.SEEK_END) == errno.ESPIPE
    assert refusal(os.pread, shown, 2, 3) == errno.ESPIPE
    assert os.read(shown, 3) == b"abc"


def test_what_is_refused(relay, app):
    file, new = relay.point / "app0", relay.point / "new"
    assert refusal(os.open, file, os.O_WRONLY) == errno.EACCES
    assert refusal(os.open, file, os.O_RDWR) == errno.EACCES
    assert refusal(os.open, relay.point / "app.ctl", os.O_RDONLY) == errno.EACCES
    assert refusal(os.open, new, os.O_CREAT | os.O_WRONLY) == errno.EACCES
    assert refusal(os.truncate, file, 0) == errno.EACCES
    assert refusal(os.rename, file, new) == errno.EPERM
    assert refusal(os.link, file, new) == errno.EPERM
    assert refusal(os.symlink, "app0", new) == errno.EPERM
    assert refusal(os.unlink, file) == errno.EPERM
    assert refusal(os.chmod, file, 0o666) == errno.EPERM
    assert refusal(os.mkfifo, new) == errno.EPERM
    assert refusal(os.setxattr, file, "user.x", b"") == errno.EOPNOTSUPP
    assert refusal(os.getxattr, file, "user.x") == errno.ENODATA
    assert refusal(os.rmdir, file) == errno.ENOTDIR
    assert refusal(os.mkdir, relay.point / "x.chan") == errno.EINVAL


def test_the_backing_path(relay, app):
    assert os.listxattr(relay.point / "app0") == [BACKING_XATTR]
    path = os.getxattr(relay.point / "app0", BACKING_XATTR)
    assert os.fsdecode(path) == str(relay.root / "app0")


def may_map():
    return os.geteuid() == 0


@pytest.mark.skipif(not may_map(), reason="FUSE passthrough takes CAP_SYS_ADMIN")
def test_mmap_shows_the_very_pages(app, shown):
    with mmap.mmap(shown, app.alloc_size, prot=mmap.PROT_READ) as view:
        app.write(b"live")
        assert view[:4] == b"live"
        assert view[:] == bytes(app.buffers[0].memory)
    with mmap.mmap(shown, 0, prot=mmap.PROT_READ) as view:
        assert len(view) == app.alloc_size
    with pytest.raises(PermissionError):
        mmap.mmap(shown, app.alloc_size)


@pytest.mark.skipif(not may_map(), reason="FUSE passthrough takes CAP_SYS_ADMIN")
def test_a_mapping_outlives_its_file(relay, app):
    fd = os.open(relay.point / "app0", os.O_RDONLY)
    with mmap.mmap(fd, app.alloc_size, prot=mmap.PROT_READ) as view:
        os.close(fd)
        for _ in range(3):
            again = os.open(relay.point / "app0", os.O_RDONLY)
            os.close(again)
        app.write(b"live")
        assert view[:4] == b"live"


# waiting


def test_poll(app, shown):
    assert polled(shown) == []
    app.write(b"x")
    assert polled(shown) == [], "what is not finished can be read, but is not announced"
    app.flush()
    assert polled(shown) == [select.POLLIN | select.POLLRDNORM]
    os.read(shown, 9)
    assert polled(shown) == []
    app.finalize()
    assert polled(shown) == [select.POLLERR]


def when_asleep(act):
    """Do it in a thread, as soon as it runs: the sleeper may or may not sleep yet."""
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_poll_wakes(app, shown):
    for _ in range(20):
        thread = when_asleep(lambda: finish(app))
        assert polled(shown, 60_000) == [select.POLLIN | select.POLLRDNORM]
        thread.join()
        assert os.read(shown, 9) == b"x"
    thread = when_asleep(app.finalize)
    assert polled(shown, 60_000) == [select.POLLERR]
    thread.join()


def test_epoll_level(app, shown):
    with select.epoll() as poller:
        poller.register(shown, NEWS)
        assert poller.poll(0) == []
        finish(app)
        assert poller.poll(60) == poller.poll(60) == [(shown, NEWS)]
        os.read(shown, 9)
        assert poller.poll(0) == []
        thread = when_asleep(lambda: finish(app))
        assert poller.poll(60) == [(shown, NEWS)]
        thread.join()


def test_epoll_edge(app, shown):
    with select.epoll() as poller:
        poller.register(shown, NEWS | select.EPOLLET)
        for _ in range(3):
            finish(app)
            assert poller.poll(60) == [(shown, NEWS)], "each finished sub-buffer is an edge"
            assert poller.poll(0) == []
        os.read(shown, 9)
        app.finalize()
        assert poller.poll(60) == [(shown, select.EPOLLERR)]


def test_an_edge_is_of_the_buffer_that_has_it(relay):
    with rchan.create("two", relay.root, subbuf_size=64, n_subbufs=4, n_buffers=2) as two:
        two.prepare_cpu(1)
        files = [os.open(relay.point / f"two{cpu}", os.O_RDONLY) for cpu in (0, 1)]
        with select.epoll() as poller:
            for fd in files:
                poller.register(fd, NEWS | select.EPOLLET)
            for cpu in (0, 1, 0, 1):
                two.write(b"x", cpu=cpu)
                two.buffers[cpu].flush()
                assert poller.poll(60) == [(files[cpu], NEWS)]
                assert poller.poll(0) == []
        for fd in files:
            os.close(fd)


def test_select(app, shown):
    assert select.select([shown], [], [], 0)[0] == []
    thread = when_asleep(lambda: finish(app))
    assert select.select([shown], [], [], 60)[0] == [shown]
    thread.join()


def test_news_of_another_process(app, relay):
    """The writer is a child; the sleeper is woken by its last act."""
    fd = os.open(relay.point / "app0", os.O_RDONLY)
    with forked(lambda: finish(app, b"from a child")):
        assert polled(fd, 60_000) == [select.POLLIN | select.POLLRDNORM]
        assert os.read(fd, 99) == b"from a child"
    os.close(fd)


def test_removal_wakes(relay):
    channel = rchan.create("going", relay.root, subbuf_size=64, n_buffers=1)
    fd = os.open(relay.point / "going0", os.O_RDONLY)
    channel.write(b"to the end")
    thread = when_asleep(channel.close)
    assert polled(fd, 60_000) == [select.POLLERR]
    thread.join()
    assert "going0" not in relay.names()
    assert os.read(fd, 99) == b"to the end" and os.read(fd, 99) == b""
    assert os.fstat(fd).st_size == 64 * 8 or os.fstat(fd).st_size % 4096 == 0
    os.close(fd)


def test_a_channel_without_bells_is_looked_at(relay):
    """256 readers of a channel can have one: those who come later are told a moment later."""
    with rchan.create("many", relay.root, subbuf_size=64, n_buffers=1) as many:
        bells = [many._bell() for _ in range(256)]
        fd = os.open(relay.point / "many0", os.O_RDONLY)
        thread = when_asleep(lambda: finish(many))
        assert polled(fd, 60_000) == [select.POLLIN | select.POLLRDNORM]
        thread.join()
        os.close(fd)
        for bell in bells:
            bell.close()


# splice and sendfile


def test_sendfile_is_refused_and_loses_nothing(app, shown, tmp_path):
    app.write(b"all of it")
    app.flush()
    out = os.open(tmp_path / "out", os.O_CREAT | os.O_RDWR)
    assert refusal(os.sendfile, out, shown, 0, 100) == errno.EINVAL
    into, from_ = os.pipe()
    assert refusal(os.splice, shown, from_, 100) == errno.EINVAL
    assert os.read(shown, 100) == b"all of it"
    for fd in (out, into, from_):
        os.close(fd)


def test_with_o_direct_splice_and_sendfile_are_exact(relay, app, tmp_path):
    fd = os.open(relay.point / "app0", os.O_RDONLY | os.O_DIRECT)
    into, from_ = os.pipe()
    app.write(b"spliced")
    assert os.splice(fd, from_, 4) == 4
    assert os.read(into, 99) == b"spli"
    assert app.stats()[0].consumed == (0, 4)
    out = os.open(tmp_path / "out", os.O_CREAT | os.O_RDWR)
    assert os.sendfile(out, fd, None, 100) == 3
    assert os.pread(out, 99, 0) == b"ced"
    for done in (fd, into, from_, out):
        os.close(done)


def test_shutil(relay, app, tmp_path):
    finish(app, b"copied\n" * 500)
    shutil.copyfile(relay.point / "app0", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"copied\n" * 500


# several at once


def test_several_clients_at_once(relay):
    """Four read one buffer while it is written: each record goes to one of them, whole books."""
    count, size = 4000, 16
    with rchan.create("busy", relay.root, subbuf_size=4096, n_subbufs=4, n_buffers=1) as busy:
        got: list[list[bytes]] = [[] for _ in range(4)]

        def read(mine):
            fd = os.open(relay.point / "busy0", os.O_RDONLY)
            poller = select.poll()
            poller.register(fd, select.POLLIN)
            ended = False
            while not ended:
                ended = bool(poller.poll()[0][1] & select.POLLERR)
                while True:
                    try:
                        part = os.read(fd, 256)
                    except BlockingIOError:
                        continue
                    if not part:
                        break
                    mine.append(part)
            os.close(fd)

        threads = [threading.Thread(target=read, args=(mine,)) for mine in got]
        for thread in threads:
            thread.start()
        for number in range(count):
            while not busy.write(number.to_bytes(size, "little")):
                os.sched_yield()
        busy.flush()
        busy.finalize()
        for thread in threads:
            thread.join()
        parts = [part for mine in got for part in mine]
        assert all(len(part) % size == 0 for part in parts)
        numbers = [
            int.from_bytes(part[at : at + size], "little")
            for part in parts
            for at in range(0, len(part), size)
        ]
        assert sorted(numbers) == list(range(count))
        stats = busy.stats().total
        assert stats.closes and stats.consumed == (count, count * size)


def test_a_reader_that_is_stopped_holds_nobody_up(relay, app, shown):
    finish(app, b"x")
    with forked(lambda: os.read(shown, 1)):
        finish(app, b"y")
        assert os.read(shown, 9) == b"y"
