"""The tree of channels as a file system, without any mount."""

import errno
import os
import select
import stat

import pytest
from leaks import descriptors

import rchan
from rchan.mount.control import BadCommand
from rchan.mount.entries import Kind
from rchan.mount.filesystem import Filesystem
from rchan.names import relayfs_create_dir

SCRATCH = bytearray(1 << 20)


@pytest.fixture
def tree(channels, four_cpus):
    return Filesystem(str(channels))


@pytest.fixture
def app(four_cpus):
    with rchan.create("app", subbuf_size=32, n_subbufs=4, n_buffers=4) as channel:
        yield channel


def names(tree, path=""):
    return [entry.name for entry in tree.list(path)]


def read(file, size=1 << 20, offset=0):
    held = file.read(size, offset, SCRATCH)
    if held is None:
        return b""
    data = bytes(held)
    fd = os.memfd_create("delivered")
    held.deliver(fd, b"head")
    assert os.pread(fd, len(data) + 5, 0) == b"head" + data
    os.close(fd)
    return data


def test_a_channel_is_its_buffers_and_three_texts(tree, app):
    assert names(tree) == ["app.ctl", "app.info", "app.stat", "app0", "app1"]
    kinds = [entry.kind.name for entry in tree.list("")]
    assert kinds == ["CONTROL", "INFO", "STAT", "BUFFER", "BUFFER"]


def test_modes_sizes_and_owners(tree, app):
    buffer, control = tree.entry("app0"), tree.entry("app.ctl")
    assert stat.filemode(buffer.mode) == "-r--------"
    assert stat.filemode(control.mode) == "--w-------"
    assert stat.filemode(tree.entry("app.stat").mode) == "-r--------"
    assert stat.filemode(tree.entry("").mode) == "drwx------"
    assert buffer.size == app.alloc_size
    assert buffer.found.st_uid == os.geteuid()
    assert buffer.block_size > buffer.size


def test_what_a_channel_lets_others_read_is_shown(tree):
    with rchan.create("open", n_buffers=1, subbuf_size=32, mode=0o640):
        assert stat.filemode(tree.entry("open0").mode) == "-r--r-----"
        assert stat.filemode(tree.entry("open.ctl").mode) == "--w-------"


def test_buffers_and_channels_come_and_go(tree, app):
    app.prepare_cpu(3)
    assert "app3" in names(tree)
    late = rchan.create(None, subbuf_size=32, n_buffers=1)
    assert len(names(tree)) == 6
    late.late_setup_files("late")
    assert "late0" in names(tree)
    late.close()
    assert "late0" not in names(tree)
    with pytest.raises(rchan.ChannelNotFound):
        tree.entry("late0")


def test_directories(tree, channels):
    entry = tree.make_directory("sub")
    assert entry.kind is Kind.DIRECTORY
    assert (channels / "sub").stat().st_mode & 0o777 == 0o700
    tree.make_directory("sub/deep")
    with rchan.create("in", parent="sub/deep", n_buffers=1, subbuf_size=32):
        assert names(tree, "sub/deep") == ["in.ctl", "in.info", "in.stat", "in0"]
        with pytest.raises(OSError) as caught:
            tree.remove_directory("sub/deep")
        assert caught.value.errno == errno.ENOTEMPTY
    tree.remove_directory("sub/deep")
    tree.remove_directory("sub")
    assert not (channels / "sub").exists()


@pytest.mark.parametrize("path", ["nothing", "app7", "app.chan", "..", "app0/x", "/x", "app.stat0"])
def test_what_is_not_there(tree, app, path):
    with pytest.raises((rchan.ChannelNotFound, rchan.NotPermitted)):
        tree.entry(path)


def test_strange_files_are_not_shown(tree, app, channels):
    (channels / "stray").write_text("x")
    (channels / "stray0").write_text("x")
    (channels / "app01").write_text("x")
    (channels / "app9").symlink_to("/etc/passwd")
    (channels / "link").symlink_to("/")
    (channels / ".chan").write_text("x")
    os.mkfifo(channels / "app5")
    assert names(tree) == ["app.ctl", "app.info", "app.stat", "app0", "app1"]


def test_a_directory_that_others_may_write_to_is_not_entered(tree, channels):
    relayfs_create_dir("loose")
    os.chmod(channels / "loose", 0o777)
    assert names(tree) == []
    with pytest.raises(rchan.NotPermitted):
        tree.list("loose")


@pytest.mark.parametrize(
    "name", ["new\nline", "tab\tand \x1b[31mred", "ünï cødé", "\udcff raw", "a b"]
)
def test_hostile_names(tree, name):
    with rchan.create(name, n_buffers=1, subbuf_size=32) as channel:
        channel.write(b"data")
        assert name + "0" in names(tree)
        file = tree.open(tree.entry(name + "0"), False)
        assert read(file) == b"data"
        tree.buffers.release(file.opened)
        info = tree.open(tree.entry(name + ".info"), False).text.decode()
        assert all(line.isprintable() for line in info.splitlines())
        assert len(info.splitlines()) == 13


def test_names_that_two_channels_could_have(tree, four_cpus):
    with (
        rchan.create("a", n_buffers=4, subbuf_size=32) as a,
        rchan.create("a1", n_buffers=4, subbuf_size=32) as a1,
    ):
        a.write(b"of a", cpu=1)
        a1.write(b"of a1", cpu=0)
        for name, data in (("a1", b"of a"), ("a10", b"of a1")):
            file = tree.open(tree.entry(name), False)
            assert read(file) == data
            tree.buffers.release(file.opened)


@pytest.mark.filterwarnings("ignore::rchan.RchanWarning")
def test_books_and_geometry_as_text(tree, app):
    app.write(b"x" * 10, cpu=0)
    app.write(b"x" * 99, cpu=0)
    lines = [
        line.split() for line in tree.open(tree.entry("app.stat"), False).text.decode().splitlines()
    ]
    assert lines[0] == ["buffer", "what", "records", "bytes"]
    assert ["total", "written", "1", "10"] in lines
    assert ["0", "dropped_too_big", "1", "99"] in lines
    assert ["1", "subbufs_produced", "0", "-"] in lines
    info = tree.open(tree.entry("app.info"), False).text.decode()
    facts = dict(line.split(": ", 1) for line in info.splitlines())
    assert facts["state"] == "live" and facts["subbuf_size"] == "32" and facts["buffers"] == "0 1"


def command(tree, text, name="app.ctl"):
    return tree.open(tree.entry(name), True).write(text)


def test_control(tree, app):
    app.write(b"one", cpu=0)
    assert command(tree, b"flush\n") == 6
    assert app.buffers[0].subbufs_produced == 1
    assert command(tree, b"pause") == 5
    assert not app.enabled
    assert command(tree, b"resume\n\n consumed  0 1 \n") == 24
    assert app.enabled and app.buffers[0].subbufs_consumed == 1
    assert command(tree, b"reset\n") == 6
    assert app.buffers[0].subbufs_produced == 0
    assert command(tree, b"") == 0


@pytest.mark.parametrize(
    "text",
    [
        *(b"nonsense", b"flush now", b"consumed", b"consumed 0", b"consumed 0 x", b"\0", b"\xff"),
        *(b"consumed -1 1", b"consumed 9999 1", b"consumed 0 5", b"consumed 2 1", b"FLUSH"),
        *(b"consumed 99999999999999999999 1\n", b"x" * 4096, b"consumed 0 \xb2\n"),
    ],
)
def test_malformed_commands_do_nothing(tree, app, text):
    app.write(b"one", cpu=0)
    with pytest.raises(BadCommand) as caught:
        command(tree, text)
    assert caught.value.errno == errno.EINVAL
    assert app.buffers[0].subbufs_produced == 0 and app.enabled


def test_commands_before_a_malformed_one_are_done(tree, app):
    assert command(tree, b"pause\nnonsense\nresume\n") == 6
    assert not app.enabled


def test_reading_and_writing_the_wrong_way(tree, app):
    for name, write in (("app0", True), ("app.stat", True), ("app.ctl", False)):
        with pytest.raises(rchan.NotPermitted):
            tree.open(tree.entry(name), write)


def attachments(place):
    """How often this process has the channel's control file open by its name: not its creator."""
    return list(descriptors().values()).count(str(place / "app.chan"))


def test_a_mount_is_no_producer(tree, app):
    """Else an orphaned channel would seem alive as long as somebody has its file open."""
    file = tree.open(tree.entry("app0"), False)
    assert app.producers() == [os.getpid()]
    tree.buffers.release(file.opened)


def test_nothing_is_attached_before_a_file_is_open(tree, app, channels):
    tree.list("")
    tree.entry("app0")
    command(tree, b"flush\n")
    tree.open(tree.entry("app.stat"), False)
    assert attachments(channels) == 0
    files = [tree.open(tree.entry("app0"), False) for _ in range(3)]
    other = tree.open(tree.entry("app1"), False)
    assert attachments(channels) == 1
    files.append(other)
    del other
    while files:
        tree.buffers.release(files.pop().opened)
    assert attachments(channels) == 0


def test_all_who_open_a_buffer_share_it(tree, app):
    app.write(b"abcdef", cpu=0)
    one, two = (tree.open(tree.entry("app0"), False) for _ in range(2))
    assert one.opened is two.opened
    assert read(one, 2) + read(two, 2) + read(one, 9) == b"abcdef"
    assert tree.buffers.release(one.opened) is False
    assert tree.buffers.release(two.opened) is True


def test_there_is_no_skipping(tree, app):
    app.write(b"abcdef", cpu=0)
    file = tree.open(tree.entry("app0"), False)
    with pytest.raises(OSError) as caught:
        read(file, 2, offset=1)
    assert caught.value.errno == errno.ESPIPE
    assert read(file, 2) == b"ab"
    file.went_on(0, 2, 1)
    assert read(file, 2, offset=2) == b"cd"
    assert read(file, 2, offset=0) == b"ef", "a stream goes on, wherever it is believed to be"
    tree.buffers.release(file.opened)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("subbuf_size", [32, 65536])
def test_what_is_not_delivered_is_unread(tree, four_cpus, overwrite, subbuf_size):
    with rchan.create(
        "back", subbuf_size=subbuf_size, n_subbufs=8, overwrite=overwrite, n_buffers=1
    ) as channel:
        for number in range(7):
            channel.write(bytes([65 + number]) * (subbuf_size - 7))
        before = channel.stats().total
        file = tree.open(tree.entry("back0"), False)
        for size in (10, subbuf_size + 5, 1 << 20):
            held = file.read(size, 0, SCRATCH)
            assert held.length == min(size, 7 * (subbuf_size - 7))
            with pytest.raises(BlockingIOError):
                channel.buffers[0].read(1)
            with pytest.raises(OSError):
                held.deliver(-1, b"")
            assert channel.stats().total == before
        held = file.read(5, 0, SCRATCH)
        del held
        assert channel.stats().total == before
        everything = b"".join(iter(lambda: read(file), b""))
        assert everything == b"".join(bytes([65 + n]) * (subbuf_size - 7) for n in range(7))
        assert channel.stats().total.closes
        tree.buffers.release(file.opened)


def test_the_place_of_what_a_client_got_is_free(tree, app):
    while app.write(b"x" * 32, cpu=0):
        pass
    file = tree.open(tree.entry("app0"), False)
    held = file.read(32, 0, SCRATCH)
    assert app.write(b"y" * 32, cpu=0), "already when it is handed on"
    held.put_down()
    stats = app.stats()[0]
    assert stats.closes
    assert read(file) == b"x" * 96 + b"y" * 32
    assert app.stats()[0].overwritten == (1, 32), "taken back too late: counted"
    tree.buffers.release(file.opened)


def test_open_files_outlive_the_channel(tree, four_cpus):
    channel = rchan.create("gone", subbuf_size=32, n_subbufs=4, n_buffers=1)
    channel.write(b"to the end")
    file = tree.open(tree.entry("gone0"), False)
    assert file.opened.buffer.poll() == 0
    channel.close()
    assert "gone0" not in names(tree)
    assert file.opened.buffer.poll() == select.POLLERR
    assert read(file) == b"to the end"
    assert read(file) == b""
    tree.buffers.release(file.opened)


def test_another_reader_has_it(tree, app):
    app.write(b"x" * 32, cpu=0)
    app.flush()
    file = tree.open(tree.entry("app0"), False)
    held = app.buffers[0].take()
    for _ in range(2):
        with pytest.raises(BlockingIOError):
            read(file)
    held.put_down()
    assert read(file) == b"x" * 32
    tree.buffers.release(file.opened)


def damage(path, offset=0):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 4096)


@pytest.mark.filterwarnings("ignore::rchan.RchanWarning")
def test_a_damaged_channel_says_so(tree, app, channels):
    damage(channels / "app.chan")
    info = tree.open(tree.entry("app.info"), False).text.decode()
    assert "state: damaged" in info and "error: " in info
    for name, write in (("app.stat", False), ("app0", False)):
        with pytest.raises(rchan.CorruptChannel):
            tree.open(tree.entry(name), write)
    with pytest.raises(rchan.CorruptChannel):
        command(tree, b"flush\n")


def test_damage_while_it_is_open(tree, app, channels):
    app.write(b"x" * 32, cpu=0)
    file = tree.open(tree.entry("app0"), False)
    damage(channels / "app.chan", 36864)
    for _ in range(3):
        with pytest.raises((rchan.CorruptChannel, BlockingIOError)):
            assert read(file) == b""
            raise BlockingIOError
    file.opened.buffer.poll()
    tree.buffers.release(file.opened)


@pytest.mark.parametrize("name", ["cut0", "cut.chan"])
def test_a_truncated_file_kills_nobody(tree, channels, name):
    """In a process of its own: the channel's creator would not survive the cut control file."""
    pid = os.fork()
    if pid == 0:
        rchan.create("cut", subbuf_size=4096, n_subbufs=4, n_buffers=1).write(b"x" * 100)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    file = tree.open(tree.entry("cut0"), False)
    os.truncate(channels / name, 0)
    for _ in range(2):
        with pytest.raises(rchan.CorruptChannel, match="truncated"):
            read(file)
    tree.buffers.release(file.opened)


def test_st_size_is_the_buffers_also_for_tail(tree, app):
    file = tree.open(tree.entry("app0"), False)
    size, opened = app.alloc_size, file.opened
    assert opened.size_for(1) == size
    opened.was_read(1, size - 1)
    assert opened.size_for(1) == size
    opened.was_read(1, 1)
    assert (opened.size_for(1), opened.size_for(2)) == (2 * size, size)
    tree.buffers.release(file.opened)


def test_changes_are_seen_by_time(tree, app):
    file = tree.open(tree.entry("app0"), False)
    created = file.opened.look(5)
    app.write(b"x", cpu=0)
    assert file.opened.look(7) == 7
    assert file.opened.look(9) == 7 != created
    tree.buffers.release(file.opened)
