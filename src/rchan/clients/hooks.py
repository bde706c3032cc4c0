"""install: what the interpreter has to say, as events: exceptions, warnings, GC pauses."""

import contextlib
import gc
import logging
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any, Final, Self

from rchan.clients import inherit
from rchan.clients.handler import LIMIT, LogHandler
from rchan.clients.imports import when_imported
from rchan.clients.render import exception_line, exception_text, rendered
from rchan.events import types
from rchan.events.tracer import Tracer
from rchan.names import Parent

_MOST_COMMAND: Final = 4096
Told = Callable[[], object]
_installed: "dict[Any, Installed]" = {}


class Installed:
    """Made by `install`; `uninstall`, or leaving it as a context manager, undoes what that did."""

    def __init__(
        self, tracer: Tracer, own: bool, told: Told | None, wanted: dict[str, Any]
    ) -> None:
        """tracer: what writes; own: it is to be closed, too; wanted: as of `install`.

        told: called at every uncaught exception.
        """
        self._own, self._told, self._wanted = own, told, wanted
        self.tracer = tracer
        """What the events are written with."""
        text = types.text
        self._exception = tracer.event(
            "python:exception", where=text, thread=text, type=text, message=text, traceback=text
        ).emit
        self._undo: list[Callable[[], None]] = []
        self._handler: LogHandler | None = None
        self._on = True
        self._in_process()
        if wanted["exceptions"]:
            self._hook_exceptions()
        if wanted["warnings"]:
            self._hook_warnings()
        if wanted["gc_pauses"]:
            self._hook_gc()
        if wanted["logs"]:
            self._handler = LogHandler(tracer, limit=wanted["limit"])
            inherit.remove(self._handler)  # as a part of us
            self._hook_logs(self._handler)

    # ---- each hook ----

    def _in_process(self) -> None:
        event = self.tracer.event("python:process", parent=types.u32, command=types.text(4096)).emit
        started = weakref.WeakMethod(self._started)
        self._started_event = event

        def after_fork() -> None:
            method = started()
            if method is not None:
                method()

        os.register_at_fork(after_in_child=after_fork)
        self._started()

    def _started(self) -> None:
        if self._on:
            with contextlib.suppress(Exception):
                self._started_event(os.getppid(), " ".join(sys.orig_argv)[:_MOST_COMMAND])

    def exception(self, where: str, error: BaseException | None, thread: str = "") -> None:
        """Write error as an event; nothing comes of it if that fails.

        where: what caught it, such as "main". thread: its name; default: that of this one.
        """
        if not self._on or error is None:
            return
        with contextlib.suppress(Exception):
            info = (type(error), error, error.__traceback__)
            name = thread or threading.current_thread().name
            line = exception_line(error).partition(": ")
            self._exception(where, name, line[0], line[2], exception_text(info))

    def _hook_exceptions(self) -> None:
        def main(
            kind: type[BaseException], error: BaseException, trace: TracebackType | None
        ) -> Any:
            self.exception("main", error)
            self._tell()
            return before_main(kind, error, trace)

        def in_thread(args: Any) -> Any:
            if args.exc_type is not SystemExit:
                name = "" if args.thread is None else args.thread.name
                self.exception("thread", args.exc_value, name)
            return before_thread(args)

        def unraisable(args: Any) -> Any:
            self.exception("unraisable", args.exc_value)
            return before_unraisable(args)

        before_main = self._replace(sys, "excepthook", main)
        before_thread = self._replace(threading, "excepthook", in_thread)
        before_unraisable = self._replace(sys, "unraisablehook", unraisable)
        when_imported("multiprocessing.process", self._hook_processes)
        when_imported("asyncio.base_events", self._hook_asyncio)

    def _hook_processes(self, module: ModuleType) -> None:
        """A child of multiprocessing prints what its `run` raises, and tells no hook."""
        if not self._on:
            return

        def bootstrap(process: Any, *args: Any, **given: Any) -> Any:
            run = process.run

            def run_and_tell() -> None:
                try:
                    run()
                except Exception as error:
                    self.exception("process", error)
                    self._tell()
                    raise

            process.run = run_and_tell
            return before(process, *args, **given)

        before = self._replace(module.BaseProcess, "_bootstrap", bootstrap)

    def _hook_asyncio(self, module: ModuleType) -> None:
        if not self._on:
            return

        def handle(loop: Any, context: dict[str, Any]) -> Any:
            self.exception("asyncio", context.get("exception"))
            return before(loop, context)

        before = self._replace(module.BaseEventLoop, "call_exception_handler", handle)

    def _hook_warnings(self) -> None:
        text = types.text
        event = self.tracer.event(
            "python:warning", category=text, message=text, file=text, line=types.u32
        ).emit

        def show(
            message: Any, category: Any, filename: str, lineno: int, *more: Any, **given: Any
        ) -> Any:
            if self._on:
                with contextlib.suppress(Exception):
                    event(category.__qualname__, rendered("%s", message), filename, max(0, lineno))
            return before(message, category, filename, lineno, *more, **given)

        before = self._replace(warnings, "showwarning", show)

    def _hook_gc(self) -> None:
        event = self.tracer.event(
            "python:gc",
            generation=types.u8,
            seconds=types.f64,
            collected=types.u64,
            uncollectable=types.u64,
        ).emit
        began = 0.0
        clock = time.perf_counter

        def collecting(phase: str, info: dict[str, int]) -> None:
            nonlocal began
            if phase == "start":
                began = clock()
                return
            with contextlib.suppress(Exception):
                seconds = clock() - began
                event(info["generation"], seconds, info["collected"], info["uncollectable"])

        gc.callbacks.append(collecting)
        self._undo.append(lambda: gc.callbacks.remove(collecting))

    def _hook_logs(self, handler: LogHandler) -> None:
        """All loggers, whatever handlers they have: the program's own set-up stays as it is."""

        def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> Any:
            handler.handle(record)
            return before(logger, record)

        before = self._replace(logging.Logger, "callHandlers", call_handlers)

    # ---- undoing ----

    def _replace(self, owner: Any, name: str, hook: Any) -> Any:
        before = getattr(owner, name)
        setattr(owner, name, hook)

        def undo() -> None:
            if getattr(owner, name) is hook:  # else somebody else came after us, and calls us
                setattr(owner, name, before)

        self._undo.append(undo)
        return before

    def _tell(self) -> None:
        if self._told is not None:
            with contextlib.suppress(Exception):
                self._told()

    def uninstall(self) -> None:
        """Take all hooks out again; a second call does nothing."""
        if not self._on:
            return
        self._on = False
        for key, found in list(_installed.items()):
            if found is self:
                del _installed[key]
                inherit.remove_other(key)
        for undo in reversed(self._undo):
            undo()
        if self._handler is not None:
            self._handler.close()
        if self._own:
            self.tracer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.uninstall()

    def _for_children(self) -> tuple[Callable[..., object], tuple[Any, ...]] | None:
        return _install_again, (self.tracer.name, self.tracer.channel.directory, self._wanted)

    def __repr__(self) -> str:
        return f"<rchan.Installed {'in ' + repr(self.tracer.name) if self._on else 'no longer'}>"


def install(
    channel: str | Tracer = "python",
    parent: Parent = None,
    *,
    exceptions: bool = True,
    warnings: bool = True,
    gc_pauses: bool = True,
    logs: bool = False,
    limit: int = LIMIT,
    told: Told | None = None,
    **geometry: Any,
) -> Installed:
    """Write what the interpreter has to say as events, in this process and its children.

    exceptions: uncaught ones: of the program, threads, multiprocessing's processes, asyncio, and
    those that Python cannot raise: `python:exception`. warnings: `python:warning`. gc_pauses:
    `python:gc`, for each garbage collection. Each process says `python:process` when it begins.
    What did these things before still does them. logs: every record of every logger, as a
    LogHandler writes it, without adding a handler. limit: as of LogHandler. told: called at every
    uncaught exception of a program or process.

    channel, parent, geometry: as of `rchan.Tracer`, or a Tracer. Children of multiprocessing, by
    whichever start method, have the same installed. A second call for the same channel returns
    what the first did. Raises what `rchan.Tracer` raises.
    """
    own = not isinstance(channel, Tracer)
    tracer = channel if isinstance(channel, Tracer) else Tracer(channel, parent, **geometry)
    key = (tracer.name, tracer.channel.directory)
    if key in _installed:
        if own:
            tracer.close()
        return _installed[key]
    wanted = {
        "exceptions": exceptions,
        "warnings": warnings,
        "gc_pauses": gc_pauses,
        "logs": logs,
        "limit": limit,
    }
    made = Installed(tracer, own, told, wanted)
    _installed[key] = made
    inherit.add_other(key, made._for_children)
    return made


def _install_again(name: str, directory: str, wanted: dict[str, Any]) -> None:
    """In a child that multiprocessing started anew."""
    install(name, directory, **wanted)
