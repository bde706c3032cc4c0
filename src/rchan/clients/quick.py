"""Loggers whose only handlers are LogHandlers make no record: it would be thrown away at once.

`logging.Logger._log` is replaced by one that looks whether anybody else could see the record. If
so, it makes it by the shorter way; if anything is unusual, the original goes on as ever.
"""

import logging
import sys
from typing import Any, Final

from rchan.clients.records import PLACES, QuickRecord, place, record_at

_Logger: Final = logging.Logger
_stock: Final = _Logger._log
_MAKING: Final = (_Logger.makeRecord, _Logger.findCaller)
_HANDLING: Final = (_Logger.handle, _Logger.callHandlers)
_REPLACED: Final = frozenset({"handle", "callHandlers", "makeRecord", "findCaller"})
"""In a logger's own attributes: somebody looks at it."""
_KINDS: Final = (logging.Logger, logging.RootLogger)
_RECORDS: Final = (logging.LogRecord, QuickRecord)
_SOURCE: Final = _stock.__code__.co_filename

_N_OWN: Final = len(logging.Logger("").__dict__)
"""Attributes of a logger that nobody has given more, but `manager`, which most have."""

_kinds: set[type] = set()


def _log(
    self: logging.Logger,
    level: int,
    msg: object,
    args: Any,
    exc_info: Any = None,
    extra: Any = None,
    stack_info: bool = False,
    stacklevel: int = 1,
) -> None:
    if (
        exc_info is None
        and extra is None
        and not stack_info
        and stacklevel == 1
        and not self.disabled
        and type(self) in _KINDS
        and (len(own := self.__dict__) - ("manager" in own) == _N_OWN or _REPLACED.isdisjoint(own))
        and (_Logger.makeRecord, _Logger.findCaller) == _MAKING
        and logging._srcfile
    ):
        factory = logging._logRecordFactory  # type: ignore[attr-defined]
        handler = _only_handler(self, level, factory) if type(msg) is str else None
        if handler is not None or factory is QuickRecord:
            frame = sys._getframe(1)
            code = frame.f_code
            while code.co_filename == _SOURCE and frame.f_back is not None:
                frame = frame.f_back
                code = frame.f_code
            key = (code.co_filename, frame.f_lineno, level, self.name, code.co_name)
            where = PLACES.get(key) or place(*key)
            if handler is not None and handler.write(where, msg, args):
                return
            if factory is QuickRecord:
                self.handle(record_at(where, msg, args))
                return
    _stock(self, level, msg, args, exc_info, extra, stack_info, stacklevel)


def _only_handler(logger: logging.Logger, level: int, factory: Any) -> Any:
    """The one handler that gets such a record of this logger, if it is ours; else None."""
    if (
        logger.filters
        or factory not in _RECORDS
        or (_Logger.handle, _Logger.callHandlers) != _HANDLING
    ):
        return None
    only: Any = None
    one: logging.Logger | None = logger
    while one is not None:
        for handler in one.handlers:
            if level >= handler.level:
                if only is not None or type(handler) not in _kinds or handler.filters:
                    return None
                only = handler
        one = one.parent if one.propagate else None
    return only


def make_no_records_for(kind: type[logging.Handler]) -> None:
    """From now on, loggers whose only handler is exactly of this kind use its `write`."""
    _kinds.add(kind)
    stock = all(method.__code__.co_filename == _SOURCE for method in (_stock, *_MAKING, *_HANDLING))
    if stock and _Logger._log is _stock:  # else somebody else has changed them, and is to see all
        # The caller of a logger is the first frame that is not of logging's own file.
        _log.__code__ = _log.__code__.replace(co_filename=_SOURCE)
        _Logger._log = _log  # type: ignore[method-assign]
