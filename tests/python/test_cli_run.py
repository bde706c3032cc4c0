"""`rchan run`: programs that know nothing of rchan."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from event_decoder import babeltrace2

import rchan
from rchan import events

RCHAN = (sys.executable, "-m", "rchan.cli")
PROGRAM = """
import logging, multiprocessing, os, signal, subprocess, sys

def work(n):
    logging.getLogger("child").warning("work %d", n)
    if n == 99:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    logging.basicConfig(level=20, format="%(message)s", stream=sys.stdout)
    log = logging.getLogger("main")
    log.info("begin %s", sys.argv[1])
    if sys.argv[1] == "plain":
        for method in ("fork", "spawn", "forkserver"):
            child = multiprocessing.get_context(method).Process(target=work, args=(1,))
            child.start(); child.join()
        again = "import logging; logging.warning('from %s', 'subprocess')"
        subprocess.run([sys.executable, "-c", again], stderr=subprocess.DEVNULL)
    if sys.argv[1] == "child":
        child = multiprocessing.Process(target=work, args=(99,))
        child.start(); child.join()
    if sys.argv[1] == "raise":
        raise ValueError("nobody catches")
    if sys.argv[1] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[1] == "wait":
        print("waiting", flush=True)
        signal.sigwait({signal.SIGUSR1})
        log.info("got the signal")
    sys.exit(3)
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def run(*arguments: Any, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RCHAN, "run", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        **how,
    )


def messages(directory):
    """The log records that babeltrace2 finds."""
    lines, losses = babeltrace2(directory)
    assert losses == ""
    return [line for line in lines if " log:" in line]


def test_every_process_is_recorded(program, tmp_path, channels):
    done = run("-o", tmp_path / "out", "--", sys.executable, program, "plain")
    assert done.returncode == 3
    assert done.stdout == "begin plain\nwork 1\n"  # of the child that was forked
    assert done.stderr.splitlines()[-1].startswith("rchan: ")
    found = messages(tmp_path / "out")
    assert len([line for line in found if "log:child:" in line]) == 3
    assert len([line for line in found if 'arg0 = "subprocess"' in line]) == 1
    assert len([line for line in found if "log:main:" in line]) == 1
    assert list(channels.iterdir()) == []


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("nothing", 3, None),
        ("raise", 1, "raised what nobody caught"),
        ("kill", 137, "was killed"),
        ("child", 3, "was killed"),
    ],
)
def test_a_snapshot_when_a_process_dies(program, tmp_path, channels, how, status, said):
    out = tmp_path / "out"
    options = ("--overwrite", "--size", "1M", "-o", out)
    done = run(*options, "--", sys.executable, program, how)
    assert done.returncode == status
    if said is None:
        assert not out.exists()
        assert "rchan:" not in done.stderr
    else:
        assert [path.name for path in out.iterdir()] == ["snapshot-1"]
        assert said in done.stderr
        assert any(f'arg0 = "{how}"' in line for line in messages(out))
    assert list(channels.iterdir()) == []


def test_signals_are_passed_on(program, tmp_path):
    arguments = [*RCHAN, "run", "-o", str(tmp_path / "out"), "--", sys.executable]
    block = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n"
    program.write_text(block + PROGRAM)
    with subprocess.Popen(
        [*arguments, program, "wait"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "waiting\n":
                break
        process.send_signal(signal.SIGUSR1)
        assert process.wait(60) == 3
    assert any("got the signal" in line for line in messages(tmp_path / "out"))


def test_the_programs_own_death_of_a_signal(tmp_path):
    code = "import os; os.kill(os.getpid(), 15)"
    done = run("-o", tmp_path / "out", "--", sys.executable, "-c", code)
    assert done.returncode == 128 + 15


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((), 2, "no COMMAND"),
        (("--",), 2, "no COMMAND"),
        (("--", "no-such-command-at-all"), 127, "command not found"),
        (("--", "/"), 126, "/"),
        (("-o", "/proc/no/such", "--", "true"), 8, "/proc/no/such"),
        (("-o", ".", "--", "true"), 5, "exists already"),
    ],
)
def test_what_cannot_be_run(tmp_path, channels, arguments, status, words):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == status
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(channels.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_the_programs_own_sitecustomize_runs_first(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import builtins; builtins.mine = __file__\n")
    code = "import sys, sitecustomize; print(mine == sitecustomize.__file__, len(sys.path))"
    environment = {**os.environ, "PYTHONPATH": str(own)}
    bare = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    done = run("-o", tmp_path / "out", "--", sys.executable, "-c", code, env=environment)
    assert done.stdout == bare.stdout
    assert done.stdout.startswith("True")


def test_a_process_that_cannot_be_recorded_runs_all_the_same(tmp_path, channels):
    """Its channel is damaged, or gone, when it starts."""
    code = (
        "import os, subprocess, sys\n"
        "path = os.environ['RCHAN_PARENT'] + '/' + os.environ['RCHAN_CHANNEL'] + '.chan'\n"
        "link = os.environ['RCHAN_PARENT'] + '/damaged.chan'\n"
        "open(link, 'wb').write(b'nonsense' * 1000)\n"
        "again = [sys.executable, '-c', 'print(1)']\n"
        "subprocess.run(again, env={**os.environ, 'RCHAN_CHANNEL': 'damaged'})\n"
        "subprocess.run(again, env={**os.environ, 'RCHAN_CHANNEL': 'gone'})\n"
        "os.remove(link)\n"
    )
    done = run("-o", tmp_path / "out", "--", sys.executable, "-c", code)
    assert done.stdout == "1\n1\n"
    assert done.stderr.count("is not recorded: CorruptChannel") == 1


def test_isolated_programs_run(tmp_path):
    done = run("-o", tmp_path / "out", "--", sys.executable, "-I", "-c", "print(2)")
    assert (done.returncode, done.stdout) == (0, "2\n")


def test_a_program_that_becomes_another_is_not_dead(tmp_path):
    code = "import os; os.execv('/bin/true', ['true'])"
    out = tmp_path / "out"
    done = run("--overwrite", "-o", out, "--", sys.executable, "-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert not out.exists()


def test_without_a_directory_it_has_the_time_in_its_name(tmp_path):
    done = run("--", sys.executable, "-c", "import logging; logging.error('x')", cwd=tmp_path)
    (made,) = tmp_path.iterdir()
    assert made.name.startswith("rchan-run-20")
    assert f"events in {made.name}" in done.stderr
    assert len(messages(Path(made))) == 1


@pytest.mark.parametrize("shape", ["n_buffers=1", "n_buffers=rchan.cpus.default_n_buffers()"])
def test_a_channel_of_the_same_number_is_left_alone(tmp_path, channels, shape):
    """In another container a process may have ours, and so may have had one that was killed."""
    code = f"""
        import os, sys, rchan
        trace = rchan.Tracer(f"run-{{os.getpid()}}", {shape})
        trace.event("old", n=rchan.u64)(1)
        arguments = [sys.executable, "-c", "import logging; logging.warning('new')"]
        os.execv({RCHAN[0]!r}, [*{RCHAN!r}, "run", "-o", "trace", "--", *arguments])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    names = {event.name for event in events.read(tmp_path / "trace")}
    assert "log" in {name.partition(":")[0] for name in names}, names
    assert "old" not in names
    (left,) = rchan.list()
    with rchan.open(left.name) as channel:
        assert [event.name for event in events.read(channel)] == ["old"]
