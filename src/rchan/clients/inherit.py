"""What a process has installed, its children of multiprocessing have, however they are started.

A forked child has it anyway. To any other, multiprocessing pickles the Process object, with the
`_config` that every process hands down to its children: what lies in it and is unpickled there
installs itself.
"""

import contextlib
import logging
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from rchan.clients.imports import when_imported

_KEY: Final = "rchan"
_handlers: "weakref.WeakSet[logging.Handler]" = weakref.WeakSet()
_others: dict[Any, Callable[[], tuple[Callable[..., object], tuple[Any, ...]] | None]] = {}


class _Carrier:
    """Is pickled as what is installed at that moment."""

    def __reduce__(self) -> tuple[Any, ...]:
        import pickle  # noqa: PLC0415

        try:
            return _arrive, (pickle.dumps(_installed()),)
        except Exception:  # never a reason that a process does not start
            return _Carrier, ()


def _installed() -> tuple[list[Any], list[Any]]:
    loggers: list[logging.Logger] = [logging.getLogger()]
    loggers += [
        one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)
    ]
    used = [
        (one.name, one.level, one.propagate, [h for h in one.handlers if h in _handlers])
        for one in loggers
        if any(h in _handlers for h in one.handlers) or one.level
    ]
    others = [found for make in list(_others.values()) if (found := make()) is not None]
    return (used if any(handlers for *_, handlers in used) else []), others


def _arrive(pickled: bytes) -> _Carrier:
    """In the child: whatever fails, the child goes on without."""
    with contextlib.suppress(Exception):
        import pickle  # noqa: PLC0415

        loggers, others = pickle.loads(pickled)
        for name, level, propagate, handlers in loggers:
            logger = logging.getLogger("" if name == "root" else name)
            logger.setLevel(level)
            logger.propagate = propagate
            for handler in handlers:
                if not any(h in _handlers for h in logger.handlers):
                    logger.addHandler(handler)
        for function, arguments in others:
            function(*arguments)
    return _Carrier()


def add(handler: logging.Handler) -> None:
    """Have children take it over, at the loggers where it is when they are started."""
    _handlers.add(handler)
    _prepare()


def remove(handler: logging.Handler) -> None:
    """No longer."""
    _handlers.discard(handler)


def add_other(
    key: Any, make: Callable[[], tuple[Callable[..., object], tuple[Any, ...]] | None]
) -> None:
    """Have children call what `make` gives when they are started: a function and arguments."""
    _others[key] = make
    _prepare()


def remove_other(key: Any) -> None:
    """No longer."""
    _others.pop(key, None)


def _prepare() -> None:
    when_imported("multiprocessing.process", _put_into)


def _put_into(module: ModuleType) -> None:
    module.current_process()._config[_KEY] = _Carrier()
