"""How processes live and die: signals, exec, exit, namespaces, frozen owners, clocks, CPUs."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from forking import forked, kill

import rchan

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make namespaces or users")
CPU_1 = Path("/sys/devices/system/cpu/cpu1/online")


def run(code: str, *, under: tuple[str, ...] = (), **environment: str) -> str:
    """In an interpreter of its own; its output."""
    done = subprocess.run(
        [*under, sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def unshare(*options: str) -> tuple[str, ...]:
    """The command, or a skip where the kernel does not allow it."""
    command = ("unshare", *options)
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare")
    done = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"unshare is not allowed here: {done.stderr.strip()}")
    return command


@pytest.fixture
def channel(four_cpus: None):
    with rchan.create("app", subbuf_size=256, n_subbufs=4, n_buffers=1) as channel:
        yield channel


# ---- signals ----


@pytest.fixture
def interrupted():
    """A signal every half millisecond, handled in Python: each call that blocks gets its EINTR."""
    count = [0]

    def handle(*_: object) -> None:
        count[0] += 1

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    yield count
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    assert count[0] > 3


def test_every_wait_goes_on_after_a_signal(channel: rchan.Channel, interrupted: list[int]) -> None:
    with (
        rchan.RelayFile(channel.buffers[0], blocking=True) as file,
        channel.reader(timeout=0.02) as reader,
        channel.tap(timeout=0.02, start="now") as tap,
    ):
        began = time.monotonic()
        assert list(reader) == []
        assert list(tap) == []
        assert time.monotonic() - began >= 0.04, "an interrupted wait is not over"

        def write_later() -> None:
            seen = interrupted[0]
            while interrupted[0] < seen + 5:
                time.sleep(0.001)
            channel.write(b"at last")
            channel.flush()

        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        thread = threading.Thread(target=write_later)
        thread.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        assert file.read(7) == b"at last"
        thread.join()


def test_create_and_open_under_signals(channels: Path, interrupted: list[int]) -> None:
    while interrupted[0] < 10:
        with rchan.create("app", subbuf_size=1 << 18, n_subbufs=8, n_buffers=1) as channel:
            with rchan.open("app") as other:
                assert other.write(b"x")
            assert channel.snapshot().records == 1


def test_an_exception_from_a_signal_ends_a_wait(channel: rchan.Channel) -> None:
    def handle(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handle)
    try:
        for wait in (lambda: list(channel.reader()), lambda: list(channel.tap())):
            with pytest.raises(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 0.01)
                wait()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert channel.write(b"goes on")


def test_a_handler_that_writes_during_a_callback(channels: Path) -> None:
    """In the middle of a callback, with the owner word held: counted, not a deadlock."""
    outcomes: list[bool] = []
    channel = None

    def handle(*_: object) -> None:
        if channel:  # the first time is inside create
            outcomes.append(channel.write(b"from the handler"))

    class Interrupted(rchan.Callbacks):
        def subbuf_start(self, *_: object) -> bool:
            os.kill(os.getpid(), signal.SIGUSR1)
            for _ in range(1000):  # handlers run between byte codes
                pass
            return True

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        options = {"subbuf_size": 64, "n_subbufs": 2, "n_buffers": 1}
        with rchan.create("app", callbacks=Interrupted(), **options) as channel:
            attempts = 0
            for _ in range(20):
                channel.write(b"x" * 40)
                attempts += 1
            total = channel.stats().total
            assert total.closes
            assert len(outcomes) >= 10
            assert total.attempted.records == attempts + len(outcomes)
    finally:
        signal.signal(signal.SIGUSR1, before)


# ---- ends ----


def test_exec_after_fork(channel: rchan.Channel) -> None:
    """The new program has none of it: its slot goes, and no descriptor is left open in it."""
    program = """if True:
        import os
        for fd in os.listdir("/proc/self/fd"):
            if os.path.exists(f"/proc/self/fd/{fd}"):
                print(os.readlink(f"/proc/self/fd/{fd}"))
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        channel.write(b"before exec")
        os.dup2(writing, 1)
        os.execv(sys.executable, [sys.executable, "-c", program])
    os.close(writing)
    with os.fdopen(reading) as output:
        inherited = output.read()
    os.waitpid(pid, 0)
    assert "/app" not in inherited
    assert "pipe" in inherited
    assert channel.producers() == [os.getpid()]
    assert channel.stats().total.written == (1, 11)


def test_os_exit_loses_nothing(channel: rchan.Channel) -> None:
    pid = os.fork()
    if not pid:
        for _ in range(3):
            channel.write(b"said")
        os._exit(0)
    os.waitpid(pid, 0)
    assert channel.producers() == [os.getpid()]
    assert rchan.RelayFile(channel.buffers[0]).read() == b"said" * 3


@pytest.mark.parametrize("allocator", ["default", "debug", "malloc_debug"])
def test_interpreter_ends_with_everything_alive(channels: Path, allocator: str) -> None:
    run(
        """
        import rchan, sys, threading
        channel = rchan.create("app", subbuf_size=64, n_buffers=1)
        channel.write(b"x" * 40)
        channel.flush()
        file = rchan.RelayFile(channel.buffers[0])
        fd = file.fileno()
        sub = channel.buffers[0].take()
        view = memoryview(sub)[3:]
        slot = channel.reserve(8)
        inner = memoryview(slot)
        snapshot = channel.snapshot()
        part = memoryview(snapshot[0].data) if len(snapshot) else None
        tap, reader = channel.tap(), channel.reader()
        stuck = threading.Thread(target=lambda: list(channel.tap(start="now")), daemon=True)
        stuck.start()
        sys.everything = (channel, file, sub, view, slot, inner, snapshot, part, tap, reader)
        """,
        PYTHONMALLOC=allocator,
    )
    rchan.remove("app")
    assert not [path for path in channels.iterdir() if path.suffix == ".chan"]


# ---- namespaces, other users ----


@needs_root
def test_two_pid_namespaces_share_a_directory(channel: rchan.Channel) -> None:
    """The same process id in both: the owner's slot is told by the kernel's lock, not by the id."""
    under = unshare("--pid", "--fork", "--mount-proc")
    ready, say = os.pipe()
    code = f"""
        import os, rchan, signal
        channel = rchan.open("app")
        assert os.getpid() == 1
        channel.write(b"from inside|")
        slot = channel.reserve(8)
        os.write({say}, b"x")
        signal.pause()
    """
    command = [*under, "--kill-child", sys.executable, "-c", textwrap.dedent(code)]
    inside = subprocess.Popen(command, pass_fds=[say])
    os.close(say)
    try:
        assert os.read(ready, 1) == b"x"
        assert sorted(channel.producers()) == sorted([1, os.getpid()])
        # Held by a living owner whose id says nothing here: neither taken over nor waited for long.
        assert not channel.write(b"meanwhile")
        with pytest.raises(rchan.ChannelBusy):
            channel.flush()
    finally:
        inside.kill()
        inside.wait()
        os.close(ready)
    while len(channel.producers()) > 1:
        time.sleep(0.001)  # the namespace's init dies after unshare
    channel.flush()
    assert rchan.RelayFile(channel.buffers[0]).read() == b"from inside|"
    assert channel.stats().total.closes


@needs_root
def test_an_ordinary_user(tmp_path: Path) -> None:
    """Everything works without root: in a home directory of their own."""
    setpriv = shutil.which("setpriv")
    if not setpriv:
        pytest.skip("there is no setpriv")
    user = 10_000_000 + os.getpid()  # with a directory of their own beside those of others
    if subprocess.run(
        [setpriv, f"--reuid={user}", sys.executable, "-c", "import rchan"], check=False
    ).returncode:
        pytest.skip("another user cannot read this interpreter or its packages")
    run(
        f"""
        import os, rchan
        assert os.geteuid() == {user}
        with rchan.create("app") as channel:
            assert channel.directory == "/dev/shm/rchan-{user}"
            assert channel.write(b"x") and rchan.list()[0].name == "app"
            with rchan.open("app") as other:
                with rchan.RelayFile(other.buffers[max(other.buffers)]) as file:
                    file.fileno()
        os.rmdir("/dev/shm/rchan-{user}")
        """,
        under=(setpriv, f"--reuid={user}", f"--regid={user}", "--clear-groups"),
        RCHAN_DIR="",
    )


@needs_root
@pytest.mark.parametrize("offset", ["100000", "-0"])
def test_clocks_step(channel: rchan.Channel, offset: str) -> None:
    """A writer whose CLOCK_MONOTONIC is a day ahead: times are odd, nothing else is."""
    under = unshare("--time", "--monotonic", offset, "--fork")
    channel.write(b"ours|")
    run("import rchan; rchan.open('app').write(b'ahead|')", under=under)
    channel.write(b"ours again|")
    channel.flush()
    with channel.reader(in_time_order=True, timeout=0) as reader:
        assert b"".join(bytes(sub) for sub in reader) == b"ours|ahead|ours again|"
    assert channel.stats().total.closes


# ---- owners that do not run ----


def test_a_frozen_owner(four_cpus: None) -> None:
    with rchan.create("app", subbuf_size=256, n_buffers=1) as channel:
        kept: list[rchan.Reservation] = []

        def hold() -> None:
            kept.append(channel.reserve(8))
            kept[0][:] = b"finished"

        with forked(hold) as pid:
            os.kill(pid, signal.SIGSTOP)
            os.waitpid(pid, os.WUNTRACED)
            began = time.monotonic()
            assert not channel.write(b"dropped")
            assert not channel.write(b"dropped")
            assert time.monotonic() - began < 60, "bounded, by 10 ms and what the machine adds"
            with pytest.raises(rchan.ChannelBusy):
                channel.flush()
            assert channel.snapshot().records == 0
            assert channel.stats().total.dropped_contended.records == 2
            os.kill(pid, signal.SIGCONT)
            kill(pid)
        channel.flush()
        assert channel.write(b"goes on")
        assert channel.stats().total.closes


@needs_root
@pytest.mark.skipif(os.environ.get("RCHAN_TEST_CPUS") != "1", reason="RCHAN_TEST_CPUS=1 allows it")
def test_a_cpu_goes_offline(channels: Path) -> None:
    if not CPU_1.exists():
        pytest.skip("CPU 1 cannot be switched off here")
    with rchan.create("app", subbuf_size=256, n_buffers=2) as channel:
        channel.write(b"on one|", 1)
        CPU_1.write_text("0")
        try:
            assert channel.write(b"still|", 1), "its buffer stays"
            assert channel.write(b"on zero|")
        finally:
            CPU_1.write_text("1")
        assert channel.stats().total.closes
        assert rchan.RelayFile(channel.buffers[1]).read() == b"on one|still|"
