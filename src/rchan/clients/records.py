"""Log records that are made in a third of the time, and where in the program each comes from."""

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

_STOCK: Final = logging.LogRecord("", 0, "", 0, "", (), None)
PLAIN: Final = frozenset(_STOCK.__dict__)
"""Attributes that every record has."""
N_PLAIN: Final = len(PLAIN)
_BEGIN: Final = _STOCK.created - _STOCK.relativeCreated / 1000
_TASKS: Final = "taskName" in PLAIN
_MOST_PLACES: Final = 16384


class Place:
    """A call of a logger in a program, with its logger and level; compared by identity."""

    __slots__ = ("attributes", "file", "function", "level", "line", "logger")

    def __init__(self, file: str, line: int, level: int, logger: str, function: str | None) -> None:
        self.file = file
        self.line = line
        self.level = level
        self.logger = logger
        self.function = function
        record = logging.LogRecord(logger, level, file, line, "", (), None, function)
        self.attributes = record.__dict__
        """Of a record from here."""


PLACES: dict[tuple[Any, ...], Place] = {}
_own = {"process": os.getpid()}
os.register_at_fork(after_in_child=lambda: _own.update(process=os.getpid()))


def place(file: str, line: int, level: int, logger: str, function: str | None) -> Place:
    """The one object for it, unless there are too many."""
    key = (file, line, level, logger, function)
    found = PLACES.get(key)
    if found is None:
        found = Place(*key)
        if len(PLACES) < _MOST_PLACES:
            found = PLACES.setdefault(key, found)
    return found


def place_of(record: logging.LogRecord) -> Place:
    """Where any record comes from."""
    if type(record) is QuickRecord:
        return record.place
    return place(record.pathname, record.lineno, record.levelno, record.name, record.funcName)


class QuickRecord(logging.LogRecord):
    """A LogRecord with the same attributes, most of them copied from the last one of its place."""

    __slots__ = ("place",)

    place: Place

    def __init__(
        self,
        name: str,
        level: int,
        pathname: str,
        lineno: int,
        msg: object,
        args: Any,
        exc_info: Any,
        func: str | None = None,
        sinfo: str | None = None,
        **kwargs: Any,
    ) -> None:
        found = PLACES.get((pathname, lineno, level, name, func))
        if found is None:
            found = place(pathname, lineno, level, name, func)
        self._fill(found, msg, args, exc_info, sinfo)

    def _fill(
        self, found: Place, msg: object, args: Any, exc_info: Any = None, sinfo: str | None = None
    ) -> None:
        now = time.time()
        self.place = found
        own = found.attributes.copy()
        if args and len(args) == 1 and isinstance(args[0], Mapping) and args[0]:
            args = args[0]
        own["msg"] = msg
        own["args"] = args
        own["exc_info"] = exc_info
        own["stack_info"] = sinfo
        own["levelname"] = logging.getLevelName(found.level)
        own["created"] = now
        own["msecs"] = int((now - int(now)) * 1000) + 0.0
        own["relativeCreated"] = (now - _BEGIN) * 1000
        if logging.logThreads:
            thread = threading.current_thread()
            own["thread"] = thread.ident
            own["threadName"] = thread.name
        else:
            own["thread"] = own["threadName"] = None
        own["process"] = _own["process"] if logging.logProcesses else None
        own["processName"] = _process_name()
        if _TASKS:
            own["taskName"] = _task_name()
        self.__dict__ = own


def record_at(found: Place, msg: object, args: Any) -> QuickRecord:
    """A record of this place."""
    record = QuickRecord.__new__(QuickRecord)
    record._fill(found, msg, args)
    return record


def _process_name() -> str | None:
    if not logging.logMultiprocessing:
        return None
    loaded = sys.modules.get("multiprocessing")
    if loaded is not None:
        try:
            name: str = loaded.current_process().name
            return name
        except Exception:  # half imported
            pass
    return "MainProcess"


def _task_name() -> str | None:
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and getattr(logging, "logAsyncioTasks", True):
        try:
            name: str = asyncio.current_task().get_name()
            return name
        except Exception:  # no loop, or no task
            pass
    return None


def use_quick_records() -> None:
    """From now on the program's records are QuickRecords, unless it makes them in its own way."""
    if logging.getLogRecordFactory() is logging.LogRecord:
        logging.setLogRecordFactory(QuickRecord)
