"""Every file operation, and every request for memory, fails once: an error that says so, nothing
left behind, and the next attempt succeeds."""

import ast
import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHIM = Path(__file__).parents[1] / "world/shim_fail.c"

# In a process of its own, under the shim.
PROGRAM = """
import ctypes, os, sys, rchan.relay
import rchan
from rchan import cpus

shim = ctypes.CDLL(sys.argv[1])
root = sys.argv[2]
error = int(sys.argv[3])

def state():
    return sorted(os.listdir(root)), len(os.listdir("/proc/self/fd"))

def everywhere(act, undo=lambda result: result.close(), at_once=True):
    before, k = state(), 0
    while True:
        k += 1
        assert k < 500
        shim.shim_arm(k, error)
        try:
            result = act()
        except (rchan.RchanError, MemoryError) as failure:
            calls = shim.shim_disarm()
            assert str(failure) or isinstance(failure, MemoryError)
            del failure
        else:
            calls = shim.shim_disarm()
            undo(result)
            del result
        assert state() == before or not at_once, (k, state(), before)
        undo(act())
        assert state() == before, (k, state(), before)
        if calls < k:
            return k - 1

def late():
    channel = rchan.create(None, subbuf_size=64, n_buffers=2)
    channel.write(b"early", 0)
    try:
        channel.late_setup_files("late")
    except BaseException:
        shim.shim_disarm()
        channel.close()
        raise
    assert channel.buffers[0].books().readable_records == 1
    return channel

def grow():
    other = rchan.open("two")
    try:
        other.prepare_cpu(1)
    except BaseException:
        assert other.write(b"goes to the first", 1)
        other.close()
        raise
    return other

def bell():  # one whose name cannot be taken away goes when the next is made
    with rchan.RelayFile(channel.buffers[0]) as file:
        file.fileno()

def late_in_vain():  # a file is in the way: what had a name is hidden, then given up
    channel = rchan.create(None, subbuf_size=64, n_buffers=2)
    try:
        channel.late_setup_files("taken")
    except rchan.ChannelExists:
        return channel
    except BaseException:
        channel.close()
        raise

def trace():
    try:
        tracer = rchan.Tracer("events", n_buffers=1)
    except BaseException:  # it may have made the channel: another one can have joined it by then
        shim.shim_disarm()
        if rchan.list():
            rchan.remove("events")
        raise
    try:
        tracer.event("request", user=rchan.u64)(42)
    except BaseException:
        shim.shim_disarm()
        end_trace(tracer)
        raise
    return tracer

def end_trace(tracer):
    tracer.close()
    rchan.remove("events")

counts = {}
with cpus.injected(possible=range(2), online=(0, 1)):
    counts["create"] = everywhere(lambda: rchan.create("app", subbuf_size=64, n_buffers=2))
    counts["late"] = everywhere(late)
    open(os.path.join(root, "taken1"), "x").close()
    counts["late in vain"] = everywhere(late_in_vain, at_once=False)
    os.unlink(os.path.join(root, "taken1"))
    team = rchan.relay.relayfs_create_dir("team", root, os.getegid())
    shared = lambda: rchan.create("app", team, subbuf_size=64, n_buffers=2, group=os.getegid())
    counts["share"] = everywhere(shared)
    rchan.relay.relayfs_remove_dir(team, os.getegid())
    counts["events"] = everywhere(trace, end_trace)
    with rchan.create("app", subbuf_size=64, n_buffers=2) as channel:
        channel.write(b"x", 0)
        counts["open"] = everywhere(lambda: rchan.open("app"))
        counts["bell"] = everywhere(bell, lambda result: None, at_once=False)
        counts["snapshot"] = everywhere(channel.snapshot, lambda result: None)
        assert channel.stats().total.closes
with cpus.injected(possible=range(2), online=(0,)):
    with rchan.create("two", subbuf_size=64, n_buffers=2) as channel:
        counts["grow"] = everywhere(lambda: rchan.open("two"))
        grow().close()
print(counts)
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    if not compiler:
        pytest.skip("no C compiler for the shim that makes calls fail")
    built = tmp_path_factory.mktemp("shim") / "shim_fail.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(built), str(SHIM), "-ldl"]
    subprocess.run(command, check=True)
    return built


@pytest.mark.parametrize(
    "error", [errno.ENOSPC, errno.EMFILE, errno.ENOMEM], ids=errno.errorcode.get
)
def test_every_call_fails_once(shim: Path, channels: Path, error: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(shim), str(channels), str(error)]
    done = subprocess.run(
        command,
        env={"LD_PRELOAD": str(shim), "RCHAN_DIR": str(channels), "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    counts = ast.literal_eval(done.stdout)
    assert min(counts[act] for act in ("create", "late", "open", "grow")) >= 15, "they did fail"
