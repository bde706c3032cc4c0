"""LogHandler: whatever is logged is in the channel, and reads as if a Formatter had written it."""

import copy
import io
import logging
import pickle
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from clients_trace import logged
from hypothesis import given
from hypothesis import strategies as st

import rchan
from rchan.clients import message
from rchan.clients.quick import _stock as stock_log
from rchan.clients.records import QuickRecord
from rchan.clients.template import escaped, fill_in, split, unescaped
from rchan.export import text


@pytest.fixture
def handler(channels):
    found = rchan.LogHandler("app", n_buffers=1, overwrite=True)
    yield found
    found.close()


@pytest.fixture
def log(handler):
    logger = logging.Logger("test.of.handler", 1)  # a child of nobody: pytest listens, too
    logger.addHandler(handler)
    return logger


def lines(handler):
    return [message.message_of(fields) for _, fields, _ in logged(handler.tracer.channel)]


class Broken:
    def __repr__(self):
        raise OSError("no words")


class Plain:
    def __repr__(self):
        return "<Plain>"


USUAL = [
    ("req %d took %f", (3, 0.25)),
    ("nothing to fill in", ()),
    ("100%", ()),
    ("%s and %r", ("a", "b")),
    ("%5.1f|%-8s|%08x|%%|%c", (1, "x", 255, "c")),
    ("%d %s %s", (True, True, 1.5)),
    ("%s %r", (None, Plain())),
    ("%d", (Decimal("7.9"),)),
    ("%(user)s: %(n)05d, again %(user)r", ({"user": "me", "n": 7},)),
    ("%({x}i)s %(x)s", ({"{x}i": 1, "x": 2},)),
    ("%s", ({"a": 1},)),
    ("%s", (b"\x00\xff",)),
    ("%*d", (5, 7)),
    ("%d", (2**80,)),
    ("two\nlines\t%s \\x41 */ é", ("tab",)),
]


@pytest.mark.parametrize(("template", "args"), USUAL)
def test_it_reads_as_it_would_have_been_written(handler, log, template, args):
    stream = io.StringIO()
    log.addHandler(logging.StreamHandler(stream))
    for _ in range(3):  # the first, a second and a quick one
        log.info(template, *args)
    log.handlers.pop()
    log.info(template, *args)  # and one of which no record is made
    log.info(template, *args)
    expected = stream.getvalue().removesuffix("\n")
    assert "\n".join(lines(handler)[:3]) == expected
    assert len(set(lines(handler))) == 1


def test_what_a_record_knows(handler, log):
    log.warning("a %s", "b")
    log.warning("c")
    ((name, fields, event), (_, other, _)) = logged(handler.tracer.channel)
    assert name.startswith("log:test.of.handler:test_log_handler.py:")
    here = test_what_a_record_knows.__code__.co_firstlineno
    assert (fields["line"], other["line"]) == (here + 1, here + 2)
    assert Path(fields["file"]) == Path(__file__)
    assert (fields["level"], fields["logger"]) == ("WARNING", "test.of.handler")
    assert (fields["function"], fields["thread"]) == ("test_what_a_record_knows", "MainThread")
    record = message.to_record(fields, realtime_ns=10**18, pid=event.pid)
    assert (record.levelno, record.getMessage(), record.lineno) == (30, "a b", here + 1)
    assert record.module == "test_log_handler"
    assert logging.Formatter("%(levelname)s %(funcName)s").format(record).startswith("WARNING test")


def test_arguments_are_stored_as_values(handler, log):
    log.info("%d %f %s %s", 3, 0.25, "text", True)
    ((_, fields, _),) = logged(handler.tracer.channel)
    assert [fields[f"arg{n}"] for n in range(4)] == [3, 0.25, "text", True]


def test_exceptions_stacks_and_extra(handler, log):
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed %d", 1, extra={"user": "me", "thing": Plain(), "n": 2})
    log.info("here", stack_info=True)
    (_, failed, _), (_, here, _) = logged(handler.tracer.channel)
    assert failed["exception"] == "ValueError: why"
    assert 'raise ValueError("why")' in failed["traceback"]
    assert message.extra_of(failed) == {"user": "me", "thing": "<Plain>", "n": 2}
    assert "Stack (most recent call last)" in here["stack"]
    assert message.line_of(failed).startswith("ERROR:test.of.handler:failed 1\nTraceback ")


def test_a_place_has_one_type_and_a_made_up_template_has_none(handler, log):
    for number in range(100):
        log.info(f"message {number}")
        log.info("template " + "x" * number + " %d", number)
    assert lines(handler)[::2] == [f"message {number}" for number in range(100)]
    assert lines(handler)[1::2] == ["template " + "x" * n + f" {n}" for n in range(100)]
    assert len(handler.tracer.schemas) < 15


@pytest.mark.parametrize(
    ("template", "args", "note"),
    [
        ("%d", ("text",), "TypeError: %d format"),
        ("%s", (1, 2), "values"),
        ("%s %s", (1,), "values"),
        ("%(a)s", ({"b": 1},), "KeyError"),
        ("%y", (1,), "unsupported format"),
        ("%", (1,), "incomplete format"),
    ],
)
def test_arguments_that_do_not_fit(handler, log, capfd, template, args, note):
    for _ in range(2):
        log.info(template, *args)
    (_, first, _), (_, second, _) = logged(handler.tracer.channel)
    assert first["message"].startswith(f"{template} % ")
    assert first == second
    assert note in first["error"]
    assert capfd.readouterr().err == ""


def test_a_broken_repr_is_noted(handler, log):
    for _ in range(3):
        log.info("it is %r", Broken())
        log.info(Broken())
    log.info("x", extra={"thing": Broken()})
    assert lines(handler)[0] == "it is <%r of Broken raised OSError: no words>"
    assert lines(handler)[1] == "<%s of Broken raised OSError: no words>"
    assert len(lines(handler)) == 7


def test_a_repr_that_logs(handler, log):
    class Logging:
        def __repr__(self):
            log.info("asked for %r", self)
            log.info("%*s", 3, self)
            return "Logging"

    for _ in range(3):
        log.info("%s", Logging())
    assert lines(handler)[1::3] == ["%*s % <tuple>"] * 3
    assert lines(handler)[2::3] == ["Logging"] * 3
    assert all("Logging object at" in line for line in lines(handler)[::3])


def test_huge_arguments_are_cut_and_marked(handler, log):
    log.info("%s", "é" * 1_000_000)
    log.info("%s", list(range(100_000)))
    log.info("x" * 1_000_000)
    log.info("%s" * 200, *range(200))
    huge = lines(handler)
    assert len(huge) == 4
    assert all(len(line.encode()) <= 8192 and "…[+" in line for line in huge[:3])
    assert huge[3] == "".join(map(str, range(200)))


def test_messages_of_any_type_and_with_surrogates(handler, log):
    unhashable = [1]
    for given_message in (ValueError("as a message"), unhashable, None, 3):
        log.info(given_message)
    log.info("%s", "a\0b\udc80")
    found = lines(handler)
    assert found == ["as a message", "[1]", "None", "3", "a\\x00b\\udc80"]


def test_filters_and_levels(handler, log):
    handler.setLevel("ERROR")
    log.info("below")
    handler.setLevel(0)
    log.disabled = True
    log.info("disabled")
    log.disabled = False
    handler.addFilter(lambda record: record.getMessage() != "no")
    log.info("no")
    log.info("yes")
    assert lines(handler) == ["yes"]


def test_other_handlers_see_every_record(handler, log):
    seen = []
    other = logging.Handler()
    other.emit = seen.append
    for _ in range(3):
        log.info("one")
    log.addHandler(other)
    log.info("two %d", 2)
    log.removeHandler(other)
    assert [record.getMessage() for record in seen] == ["two 2"]
    assert isinstance(seen[0], QuickRecord)
    assert lines(handler) == ["one", "one", "one", "two 2"]


def test_a_logger_that_somebody_has_changed_makes_records(handler, log, monkeypatch):
    seen = []
    before = logging.Logger.callHandlers

    def call_handlers(logger, record):
        seen.append(record.getMessage())
        return before(logger, record)

    for _ in range(2):
        log.info("before")
    monkeypatch.setattr(logging.Logger, "callHandlers", call_handlers)
    log.info("seen")
    assert seen == ["seen"]
    assert lines(handler) == ["before", "before", "seen"]


def all_ways(log):
    """A record by each way to log; the second of a place is quicker than the first."""

    def own_level():
        log._log(25, "a level of %s", ("our own",))

    def deep():
        log.info("deep %s", 1, stacklevel=2)

    for _ in range(2):
        log.info("plain")
        log.warning("with %s and %d", "arguments", 5)
        log.info("%(a)s", {"a": 1})
        log.log(35, "a number of a level")
        own_level()
        deep()
        log.error("extra", extra={"user": 5})
        log.info(ValueError("no str"))
        try:
            raise KeyError("x")
        except KeyError:
            log.exception("failed")


class Keeping(logging.Handler):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def emit(self, record):
        self.kept.append(record)


def test_others_see_the_records_that_logging_makes(channels):
    """Made by our shorter way they have the same attributes, to the line of the program."""
    log, kept = logging.Logger("app.same", 10), {}
    for quick in (False, True):
        others = log.handlers = [Keeping()]
        if quick:
            log.addHandler(rchan.LogHandler("app"))
        before = logging.getLogRecordFactory(), logging.Logger._log
        try:
            if not quick:
                logging.setLogRecordFactory(logging.LogRecord)
                logging.Logger._log = stock_log
            all_ways(log)
        finally:
            logging.setLogRecordFactory(before[0])
            logging.Logger._log = before[1]
        kept[quick] = others[0].kept
    log.handlers[1].close()
    clocks = {"created", "msecs", "relativeCreated", "exc_info", "exc_text"}
    assert len(kept[True]) == len(kept[False]) == 18
    for mine, stock in zip(kept[True], kept[False], strict=True):
        assert mine.getMessage() == stock.getMessage()
        for name in stock.__dict__.keys() - clocks - {"msg"}:
            assert mine.__dict__[name] == stock.__dict__[name], (stock, name)


@pytest.mark.parametrize("name", ["handle", "makeRecord", "findCaller"])
def test_a_logger_with_a_method_of_its_own(handler, log, monkeypatch, name):
    """As mocks have it: in the logger itself."""
    calls = []
    stock = getattr(log, name)
    own = lambda *args, **given: calls.append(name) or stock(*args, **given)  # noqa: E731
    log.info("before")
    monkeypatch.setattr(log, name, own, raising=False)
    log.info("seen")
    assert calls == [name]
    assert lines(handler) == ["before", "seen"]


def test_quick_records_are_like_any_other():
    given_arguments = ("a.b", 31, "/x/y.py", 7, "m %s", (1,), None, "function", None)
    quick, stock = QuickRecord(*given_arguments), logging.LogRecord(*given_arguments)
    clocks = {"created", "msecs", "relativeCreated"}
    same = {key: value for key, value in stock.__dict__.items() if key not in clocks}
    assert {key: quick.__dict__[key] for key in same} == same
    assert list(quick.__dict__) == list(stock.__dict__)
    assert abs(quick.created - stock.created) < 60
    assert abs(quick.relativeCreated - stock.relativeCreated) < 60_000
    for again in (copy.copy(quick), pickle.loads(pickle.dumps(quick))):
        assert again.__dict__ == quick.__dict__


def test_a_channel_that_is_removed_or_closed(handler, log, capfd):
    log.info("one")
    rchan.remove("app")
    for _ in range(3):
        log.info("two")
        log.info("three %d", 3)
    handler.close()
    log.info("four")
    assert handler.unwritten >= 1
    assert capfd.readouterr().err == ""


def test_a_full_channel_counts(channels, capfd):
    handler = rchan.LogHandler("full", n_buffers=1, subbuf_size=512, n_subbufs=2)
    logger = logging.Logger("full")
    logger.addHandler(handler)
    for number in range(1000):
        logger.error("number %d", number)
    total = handler.tracer.channel.stats().total
    assert total.attempted.records == 1000
    assert total.dropped_full.records > 900
    assert capfd.readouterr().err == ""
    handler.close()


def test_a_limit_that_is_none(channels):
    with pytest.raises(rchan.FieldError, match="from 16"):
        rchan.LogHandler("app", limit=1)
    assert list(channels.iterdir()) == []


def test_pickled_by_name(handler):
    again = pickle.loads(pickle.dumps(handler))
    assert again.tracer.name == "app"
    assert again.level == handler.level
    again.close()


def test_threads(handler, log):
    def run(number):
        for step in range(200):
            log.info("thread %d step %d", number, step)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"thread {number} step {step}" for number in range(4) for step in range(200)}
    assert sorted(lines(handler)) == sorted(expected)


SHUTDOWN = """
import atexit, logging, rchan
log = logging.getLogger("end")
class Last:
    def __del__(self):
        log.warning("deleted %s", self)
atexit.register(lambda: log.warning("after shutdown"))
log.addHandler(rchan.LogHandler("end"))
log.warning("begun")
keep = Last()
import sys; sys.modules["kept"] = keep
"""


def test_logging_while_the_interpreter_shuts_down(channels):
    done = subprocess.run(
        [sys.executable, "-c", SHUTDOWN], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    with rchan.Tracer("end") as trace:
        assert "begun" in [fields.get("message") for _, fields, _ in logged(trace.channel)]


@given(st.text())
def test_labels_come_back(text):
    label = escaped(text)
    assert unescaped(label) == text
    label.encode()
    assert not any(ord(character) < 32 for character in label)


@given(st.text(alphabet="%ds(ax)f0. -*"), st.tuples(st.integers() | st.text()))
def test_templates_fill_in_as_python_does(template, values):
    parts = split(template)
    if parts is None:
        return
    specs = [part for part in parts if not isinstance(part, str)]
    if len(specs) != 1 or specs[0].key is not None:
        return
    try:
        expected = template % values
    except (TypeError, ValueError, OverflowError, MemoryError):
        return
    assert fill_in(template, {f"arg{specs[0].suffix}": values[0]}) == expected


def test_printed_as_a_line(channels: Path) -> None:
    logger = logging.Logger("app.part")
    handler = rchan.LogHandler("printed")
    logger.addHandler(handler)
    logger.warning("request %d took %.2f s", 7, 0.25)
    with rchan.open("printed") as channel, rchan.events.read(channel) as events:
        (line,) = map(text.line, events)
    handler.close()
    rchan.remove("printed")
    assert line.endswith("WARNING:app.part:request 7 took 0.25 s")
