"""install: exceptions, warnings, GC pauses; and what children of every start method inherit."""

import asyncio
import gc
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import warnings

import clients_worker
import pytest
from clients_trace import logged

import rchan
from rchan.clients import message
from rchan.clients.imports import when_imported

METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture
def installed(channels):
    with rchan.install("app", n_buffers=1, gc_pauses=False) as found:
        yield found


def of(installed, name):
    return [fields for kind, fields, _ in logged(installed.tracer.channel) if kind == name]


def start(method, target, number):
    process = multiprocessing.get_context(method).Process(target=target, args=(number,))
    process.start()
    process.join()
    return process


@pytest.mark.parametrize("method", METHODS)
def test_children_have_the_handler(channels, method):
    handler = rchan.LogHandler("app", n_buffers=1)
    logger = logging.getLogger("app.work")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        child = start(method, clients_worker.work, 5)
        (found,) = logged(handler.tracer.channel)
        assert message.message_of(found[1]) == "work 5 in a child"
        assert found[2].pid == child.pid
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        handler.close()


@pytest.mark.parametrize("method", METHODS)
def test_children_have_all_that_is_installed(channels, method, capfd):
    with rchan.install("app", n_buffers=1, gc_pauses=False, logs=True) as installed:
        child = start(method, clients_worker.fail, 5)
        assert child.exitcode == 1
        found = [event for event in logged(installed.tracer.channel) if event[2].pid == child.pid]
        names = [name for name, _, _ in found]
        assert names[0] == "python:process"
        exceptions = {fields["where"]: fields for name, fields, _ in found if "exc" in name}
        assert exceptions["process"]["message"] == "child 5"
        assert "clients_worker.py" in exceptions["process"]["traceback"]
        assert exceptions["thread"]["type"] == "ZeroDivisionError"
        assert exceptions["thread"]["thread"] == "dying"
        assert "python:warning" in names
        assert "ValueError: child 5" in capfd.readouterr().err


def test_warnings_go_on(installed):
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        warnings.warn("recorded elsewhere", stacklevel=1)
    assert of(installed, "python:warning") == []
    warnings.showwarning("careful", UserWarning, "file.py", 3, open(os.devnull, "w"))  # noqa: SIM115
    (found,) = of(installed, "python:warning")
    assert (found["category"], found["message"], found["line"]) == ("UserWarning", "careful", 3)


def test_asyncio(installed, caplog):
    async def main():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(main())
    (found,) = of(installed, "python:exception")
    assert (found["where"], found["type"]) == ("asyncio", "ZeroDivisionError")


def test_gc_pauses(channels):
    with rchan.install("app", exceptions=False, warnings=False) as installed:
        gc.collect()
        found = of(installed, "python:gc")
        full = [pause["seconds"] for pause in found if pause["generation"] == 2]
        assert full and min(full) >= 0
    before = installed.tracer.closed
    gc.collect()
    assert before


def test_uninstalled_it_leaves_nothing(channels):
    before = (sys.excepthook, threading.excepthook, sys.unraisablehook, list(gc.callbacks))
    call_handlers = logging.Logger.callHandlers
    with rchan.install("app", logs=True) as installed:
        assert sys.excepthook is not before[0]
        assert rchan.install("app") is installed
    installed.uninstall()
    after = (sys.excepthook, threading.excepthook, sys.unraisablehook, list(gc.callbacks))
    assert after == before
    assert logging.Logger.callHandlers is call_handlers
    with rchan.install("app"):
        pass


UNCAUGHT = """
import rchan
rchan.install("app", gc_pauses=False)
class Odd:
    def __del__(self): raise KeyError("unraisable")
Odd()
raise ValueError("uncaught")
"""


def test_uncaught_in_the_program(channels):
    done = subprocess.run(
        [sys.executable, "-c", UNCAUGHT], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "ValueError: uncaught" in done.stderr
    with rchan.Tracer("app") as trace:
        found = [fields for name, fields, _ in logged(trace.channel) if "exception" in name]
    assert [fields["where"] for fields in found] == ["unraisable", "main"]
    assert found[1]["message"] == "uncaught"


FORKING = """
import logging, os, threading, rchan
log, kept = logging.getLogger("fork"), logging.getLogger("kept")
log.addHandler(rchan.LogHandler("fork"))
kept.addHandler(rchan.LogHandler("kept"))
log.setLevel(20)
kept.setLevel(20)
stop = threading.Event()
def run(n):
    step = 0
    while not stop.is_set():
        log.info("thread %d step %d", n, step)
        step += 1
threads = [threading.Thread(target=run, args=(n,)) for n in range(2)]
[t.start() for t in threads]
for child in range(20):
    pid = os.fork()
    if not pid:
        log.info("child %d", child)
        kept.info(f"child {child}")
        kept.info("child again %s", child)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
[t.join() for t in threads]
"""


def test_fork_while_logging(channels):
    with rchan.Tracer("fork", overwrite=True), rchan.Tracer("kept") as trace:
        subprocess.run([sys.executable, "-W", "ignore", "-c", FORKING], check=True, timeout=60)
        messages = [message.message_of(fields) for _, fields, _ in logged(trace.channel)]
    wanted = [f"child {n}" for n in range(20)] + [f"child again {n}" for n in range(20)]
    assert sorted(messages) == sorted(wanted)


def test_when_imported(tmp_path, monkeypatch):
    (tmp_path / "later_module.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    seen = []
    when_imported("later_module", lambda module: seen.append(module.value))
    assert seen == []
    import later_module  # noqa: PLC0415

    assert seen == [1]
    assert later_module.__loader__ is later_module.__spec__.loader
    when_imported("later_module", lambda module: seen.append(2))
    assert seen == [1, 2]


def test_a_handler_that_cannot_be_joined_in_the_child_is_no_reason_to_fail(channels, capfd):
    handler = rchan.LogHandler("gone", n_buffers=1)
    logger = logging.getLogger("app.gone")
    logger.addHandler(handler)
    rchan.remove("gone")
    try:
        assert start("spawn", clients_worker.work, 1).exitcode == 0
    finally:
        logger.removeHandler(handler)
        handler.close()
