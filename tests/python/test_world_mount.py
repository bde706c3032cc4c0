"""Mounts whose server hangs, and mounts that are used for long."""

import errno
import os
import select
import signal
import threading
import time

import pytest
from forking import kill
from mounts import end, mounted, serve, why_not

import rchan
from rchan.mount import Mount

pytestmark = pytest.mark.usefixtures("possible")
LONG = os.environ.get("RCHAN_TEST_HUNG") == "1"  # make world
TIMEOUT, KERNELS_LOOK = 1, 15  # seconds; the kernel looks every 15 for what is due


@pytest.fixture(scope="module")
def possible():
    reason = why_not()
    if reason:
        pytest.skip(reason)


def stopped(process):
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


def errno_of(act):
    try:
        act()
    except OSError as error:
        return error.errno
    return 0


def client(act):
    """A child that does it; its exit status is the errno."""
    pid = os.fork()
    if pid == 0:
        os._exit(errno_of(act))
    return pid


@pytest.mark.skipif(
    not LONG, reason="the kernel takes 16 s; RCHAN_TEST_HUNG=1 (make world) does it"
)
@pytest.mark.skipif(
    tuple(map(int, os.uname().release.split(".")[:2])) < (6, 15), reason="Linux 6.15 can do it"
)
def test_a_hung_server_hangs_no_client_for_ever():
    """Reads, polls, stats and opens all end with an error; nothing is lost, and it mounts again."""
    with (
        mounted("--timeout", str(TIMEOUT)) as relay,
        rchan.create("app", relay.root, subbuf_size=64, n_buffers=1) as channel,
    ):
        channel.write(b"abcdef")
        file = relay.point / "app0"
        fd = os.open(file, os.O_RDONLY)
        asleep = select.epoll()
        asleep.register(fd, select.EPOLLIN)
        assert asleep.poll(0) == []
        stopped(relay.server)
        began = time.monotonic()
        acts = (
            lambda: os.read(fd, 3),
            lambda: os.stat(relay.point / "app.info"),
            lambda: os.open(file, os.O_RDONLY),
            lambda: os.listdir(relay.point),
        )
        clients = [client(act) for act in acts]
        assert asleep.poll(3 * KERNELS_LOOK) == [(fd, select.EPOLLIN | select.EPOLLERR)] or (
            asleep.poll(0)[0][1] & select.EPOLLERR
        ), "who sleeps wakes"
        for pid in clients:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in (
                *(errno.ECONNABORTED, errno.ENOTCONN, errno.EIO, errno.ETIMEDOUT),
            )
        assert time.monotonic() - began < TIMEOUT + 3 * KERNELS_LOOK
        assert errno_of(lambda: os.stat(file)) == errno.ENOTCONN
        relay.server.send_signal(signal.SIGCONT)
        assert relay.server.wait(60) == 0, "awake again, it sees that it is over"
        os.close(fd)
        again = serve(relay.point, relay.root, "--foreground")
        try:
            assert "is mounted at" in again.stderr.readline()
            assert relay.read("app0") == b"abcdef"
        finally:
            end(again, relay.point)


def test_a_server_that_was_stopped_for_a_moment_goes_on():
    with (
        mounted() as relay,
        rchan.create("app", relay.root, subbuf_size=64, n_buffers=1) as channel,
    ):
        channel.write(b"abcdef")
        stopped(relay.server)
        pid = client(lambda: os.close(os.open(relay.point / "app0", os.O_RDONLY)))
        relay.server.send_signal(signal.SIGCONT)
        assert os.waitpid(pid, 0)[1] == 0
        assert relay.read("app0") == b"abcdef"


def use(point, name, channel):
    """A client's life: look, open, poll, read, close."""
    os.listdir(point)
    os.stat(point / f"{name}.info")
    fd = os.open(point / f"{name}0", os.O_RDONLY)
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    poller.poll(0)
    channel.write(b"x" * 40)
    channel.flush()
    assert poller.poll(60_000)
    assert os.read(fd, 99) == b"x" * 40
    os.close(fd)
    (point / f"{name}.stat").read_bytes()


def settled(mount, handles, nodes):
    """What the kernel tells of closed files and forgotten names comes a moment later."""
    session, until = mount._session, time.monotonic() + 60
    while len(session._handles) > handles or len(session._nodes) > nodes:
        assert time.monotonic() < until, (len(session._handles), len(session._nodes))
        time.sleep(0.001)


def test_long_use_leaves_nothing_behind(tmp_path, channels):
    """Hundreds of channels and openings: neither descriptors nor memory are kept for them."""
    point = tmp_path / "point"
    point.mkdir()
    with Mount(point) as mount:
        before = None
        for round in range(80):
            name = f"c{round % 7}"
            with rchan.create(name, subbuf_size=64, n_buffers=1) as channel:
                use(point, name, channel)
            assert name not in os.listdir(point)
            assert errno_of(lambda name=name: os.stat(point / f"{name}0")) == errno.ENOENT
            if round == 20:
                settled(mount, 0, 40)
                before = len(os.listdir("/proc/self/fd"))
        settled(mount, 0, 40)
        assert len(os.listdir("/proc/self/fd")) <= before
        assert not mount._session._files.buffers._channels
        assert not mount._session._files.buffers._buffers
        assert os.listdir(channels) == [], "no bells are left either"


def test_a_mount_that_ended_keeps_no_descriptor(tmp_path, channels):
    point = tmp_path / "point"
    point.mkdir()
    before = None
    for _ in range(5):
        with (
            rchan.create("app", subbuf_size=64, n_buffers=1) as channel,
            Mount(point),
        ):
            use(point, "app", channel)
        before = before or len(os.listdir("/proc/self/fd"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_all_who_wait_are_told():
    """Eight processes sleep on one buffer, some for edges: one finished sub-buffer wakes all."""
    with (
        mounted() as relay,
        rchan.create("app", relay.root, subbuf_size=64, n_buffers=1) as channel,
    ):
        ready, say = os.pipe()
        pids = []
        for number in range(8):
            pid = os.fork()
            if pid == 0:
                fd = os.open(relay.point / "app0", os.O_RDONLY)
                poller = select.epoll()
                poller.register(fd, select.EPOLLIN | (select.EPOLLET if number % 2 else 0))
                assert poller.poll(0) == []
                os.write(say, b"r")
                os._exit(0 if poller.poll(60) == [(fd, select.EPOLLIN)] else 1)
            pids.append(pid)
        for _ in pids:
            assert os.read(ready, 1) == b"r"
        channel.write(b"x")
        channel.flush()
        assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 8
        os.close(ready)
        os.close(say)


def test_clients_that_are_killed_while_they_wait_leave_nothing():
    with (
        mounted() as relay,
        rchan.create("app", relay.root, subbuf_size=64, n_buffers=1) as channel,
    ):
        before = relay.held()
        for _ in range(10):
            ready, say = os.pipe()
            pid = os.fork()
            if pid == 0:
                fd = os.open(relay.point / "app0", os.O_RDONLY)
                poller = select.poll()
                poller.register(fd, select.POLLIN)
                poller.poll(0)
                os.write(say, b"r")
                poller.poll()
            assert os.read(ready, 1) == b"r"
            kill(pid)
            os.close(ready)
            os.close(say)
        relay.until_free("app")
        assert relay.held() == before == []
        channel.write(b"x")
        assert relay.read("app0") == b"x"


def test_it_unmounts_while_all_are_busy(tmp_path, channels):
    """Readers, pollers and lookers in the middle of it: each gets an error, nobody hangs."""
    point = tmp_path / "point"
    point.mkdir()
    stop = threading.Event()
    ended = []

    def work(act):
        while not stop.is_set():
            try:
                act()
            except OSError as error:
                ended.append(error.errno)
                return

    with rchan.create("app", subbuf_size=4096, n_buffers=1) as channel:
        mount = Mount(point).start()
        fd = os.open(point / "app0", os.O_RDONLY)
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        acts = (
            lambda: os.read(fd, 100),
            lambda: os.fstat(fd),
            lambda: (poller.poll(50), os.fstat(fd)),
            lambda: channel.write(b"x" * 50),
        )
        threads = [threading.Thread(target=work, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        while not channel.stats().total.consumed.records:
            os.sched_yield()
        mount.close()
        for thread in threads[:3]:
            thread.join(60)
            assert not thread.is_alive()
        stop.set()
        threads[3].join()
        os.close(fd)
        assert set(ended) <= {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO}
        assert os.listdir(point) == []
