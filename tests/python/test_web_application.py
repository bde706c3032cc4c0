"""Real input: Flask under gunicorn with 4 workers, one of them killed, through `rchan run`."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from event_decoder import babeltrace2

from rchan import events, tracefile

pytest.importorskip("gunicorn")
pytest.importorskip("flask")

HERE = Path(__file__).parent
REQUESTS = 240
WORKERS = 4
ASKING = 8


def ask(address, number):
    """The answer, or None: the worker that had it is dead."""
    connection = http.client.HTTPConnection(*address, timeout=60)
    try:
        connection.request("GET", f"/work/{number}")
        answer = connection.getresponse()
        return json.loads(answer.read()) if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def serve(directory, *options):
    """gunicorn under `rchan run`, and its address, which listens already."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    gunicorn = ("-m", "gunicorn", "--workers", str(WORKERS), "--access-logfile", "-")
    gunicorn += ("--timeout", "300")  # not to take a worker that the machine keeps waiting for dead
    bound = ("--bind", f"fd://{listener.fileno()}", "web_application:app")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "rchan.cli", "run", "-o", directory, *options, "--"),
            *(sys.executable, *gunicorn, *bound),
        ],
        cwd=HERE,
        pass_fds=[listener.fileno()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = listener.getsockname()
    listener.close()
    return process, address


def log_records(lines, logger):
    return [line for line in lines if f'logger = ( "{logger}" :' in line]


def field(line, name):
    return re.search(rf"\b{name} = \"?([^,\"}}]+)", line)[1].strip()


def test_all_that_was_acknowledged_is_in_the_trace(tmp_path):
    process, address = serve(tmp_path / "trace")
    answers = []
    with ThreadPoolExecutor(ASKING) as pool:
        for answer in pool.map(lambda number: ask(address, number), range(REQUESTS)):
            answers += [answer] if answer else []
            if answer and len(answers) == REQUESTS // 2:
                victim = answer["pid"]
                os.kill(victim, signal.SIGKILL)  # others are asking meanwhile
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert len(answers) >= REQUESTS - ASKING

    lines, losses = babeltrace2(tmp_path / "trace")
    assert losses == ""
    assert f"rchan: {len(lines)} events in " in said.replace(",", "")
    (checked,) = tracefile.verify(tmp_path / "trace")
    assert (checked.state, checked.damaged, checked.records) == ("complete", False, len(lines))
    with events.read(tmp_path / "trace") as reading:
        assert sum(event.name == "request" for event in reading) == sum(
            " request: " in line for line in lines
        )
    assert reading.report.lines() == []
    answered = Counter(answer["number"] for answer in answers)
    assert all(answer["stored"] for answer in answers)
    requests = [line for line in lines if " request: " in line]
    stored = Counter(int(field(line, "number")) for line in requests)
    assert not answered - stored
    assert (stored - answered).total() <= ASKING  # written, but killed before it could answer
    orders = log_records(lines, "shop.orders")
    assert {int(field(line, "arg0")) for line in orders} >= set(answered)
    assert Counter(int(field(line, "pid")) for line in requests)[victim] > 0
    accesses = log_records(lines, "gunicorn.access")  # its loggers hand nothing on to the root
    assert len(accesses) >= len(answered) - WORKERS  # logged after the answer
    assert '"GET /work/0 HTTP/1.1"' in "".join(accesses)
    begun = {int(field(line, "pid")) for line in lines if " python:process: " in line}
    assert {answer["pid"] for answer in answers} < begun  # and gunicorn's own
