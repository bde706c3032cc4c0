"""structlog's events as typed events."""

import multiprocessing
import pickle
import sys

import clients_worker
import pytest
from clients_trace import logged

import rchan
from rchan.clients.structlog import Processor, _for_children

structlog = pytest.importorskip("structlog")


@pytest.fixture
def processor(channels):
    return Processor("app", n_buffers=1, last=True)


def log_of(*processors):
    return structlog.wrap_logger(None, processors=list(processors))


def events(processor):
    return [(name, fields) for name, fields, _ in logged(processor.tracer.channel)]


def test_keys_are_typed_fields(processor):
    log = log_of(processor).bind(user="me")
    for number in range(3):
        log.info("logged in", n=number, seconds=0.25, ok=True)
    found = events(processor)
    assert [name for name, _ in found] == ["structlog:logged_in"] * 3
    assert found[2][1] == {
        "method": "info",
        "event": "logged in",
        "user": "me",
        "n": 2,
        "seconds": 0.25,
        "ok": True,
    }
    assert len(processor.tracer.schemas) == 1


def test_whatever_is_logged(processor):
    log = log_of(processor)

    class Broken:
        def __repr__(self):
            raise OSError("no")

    try:
        raise ValueError("why")
    except ValueError as error:
        log.error("failed", exc_info=error, thing=Broken(), rest=[1, 2])
    log.info("big", n=2**70)
    log.info("odd key", **{"a b": 1})
    log.info(None)
    found = [fields for _, fields in events(processor)]
    assert found[0]["exc_info_repr"].startswith("ValueError: why\nTraceback")
    assert found[0]["thing_repr"] == "<%r of Broken raised OSError: no>"
    assert found[0]["rest_repr"] == "[1, 2]"
    assert found[1]["fields"] == "{'n': 1180591620717411303424}"
    assert found[2]["fields"] == "{'a b': 1}"
    assert len(found) == 4


def test_a_repr_that_logs(processor):
    """It is not asked again inside of itself."""
    log = log_of(processor)

    class Logging:
        def __repr__(self):
            log.info("asked", thing=self)
            return "Logging"

    for _ in range(2):
        log.info("outer", thing=Logging())
    found = [(fields["event"], fields["thing_repr"]) for _, fields in events(processor)]
    assert [event for event, _ in found] == ["asked", "outer"] * 2
    assert found[1][1] == found[3][1] == "Logging"
    assert "Logging object at" in found[0][1]


def test_texts_that_are_too_long_or_odd(channels):
    processor = Processor("app", n_buffers=1, last=True, limit=100)
    log_of(processor).info("long", a="x" * 1000, b="nul\0 and \udc80", c=["y" * 1000])
    ((_, fields),) = events(processor)
    assert fields["a"].endswith("…[+916]")
    assert fields["b"] == "nul\\x00 and \\udc80"
    assert len(fields["c_repr"].encode()) <= 100


@pytest.fixture
def unconfigured():
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("shown", ["nothing", "json", "lambda"])
def test_children_have_the_processor(channels, unconfigured, capfd, method, shown):
    """However they are started, without a line in them; also if not all of it can be pickled."""
    processor = Processor("app", n_buffers=1, last=shown == "nothing")
    more = {"json": structlog.processors.JSONRenderer(), "lambda": lambda log, how, event: "shown"}
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            processor,
            *([] if shown == "nothing" else [more[shown]]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
    )
    process = multiprocessing.get_context(method).Process(
        target=clients_worker.work_structlog, args=(5,)
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    ((name, fields, event),) = logged(processor.tracer.channel)
    assert (name, fields["number"], event.pid) == ("structlog:in_a_child", 5, process.pid)
    out, err = capfd.readouterr()
    wanted = {"nothing": "", "json": '{"number": 5, "event": "in a child"}\n'}
    assert out == wanted.get(shown, "shown\n" if method == "fork" else "")
    assert err == ""


def test_a_child_that_configures_structlog_itself(channels, unconfigured):
    """What it wants stands."""
    Processor("app", n_buffers=1)
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    configure, arguments = _for_children() or (None, None)
    assert configure is None  # none of ours is in it
    processor = Processor("app", n_buffers=1, last=True)
    structlog.configure(processors=[processor])
    configure, arguments = _for_children()
    mine = [structlog.processors.JSONRenderer()]
    structlog.configure(processors=mine)
    configure(*arguments)
    assert structlog.get_config()["processors"] is mine


def test_without_structlog(channels, monkeypatch):
    monkeypatch.setitem(sys.modules, "structlog", None)
    with pytest.raises(rchan.Unsupported, match="pip install"):
        Processor("app", last=True)
    assert list(channels.iterdir()) == []


def test_the_next_processor_gets_the_same(channels):
    processor, seen = Processor("app", n_buffers=1), []

    def last(logger, method, event):
        seen.append(dict(event))
        raise structlog.DropEvent

    log_of(processor, last).info("one", n=1)
    assert seen == [{"event": "one", "n": 1}]
    again = pickle.loads(pickle.dumps(processor))
    assert again.tracer.name == "app"
    rchan.remove("app")
    log_of(processor, last).info("two", n=1)
    processor.tracer.close()
    log_of(processor, last).info("one", n=1)
    assert processor.unwritten
    assert len(seen) == 3
