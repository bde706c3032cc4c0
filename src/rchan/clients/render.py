"""Values of any kind as text, whatever their own code does meanwhile."""

import threading
import traceback
from typing import Any, Final


class _Busy(threading.local):
    on = False


_busy: Final = _Busy()


def rendered(spec: str, value: object) -> str:
    """`spec % value`, such as "%s"; what raises is noted in the text.

    A value whose own code logs: what it logs meanwhile is shown without that code, so it ends.
    """
    if _busy.on:
        return object.__repr__(value)
    _busy.on = True
    try:
        return spec % (value,)
    except Exception as error:
        return f"<{spec} of {type(value).__name__} raised {_name_of(error)}>"
    finally:
        _busy.on = False


def _name_of(error: BaseException) -> str:
    try:
        return f"{type(error).__qualname__}: {error}"[:200]
    except Exception:
        return type(error).__qualname__


def formatted(template: str, args: Any) -> tuple[str, str]:
    """`template % args`, and ""; or what it would have been made of, and why it was not."""
    if _busy.on:
        return f"{template} % <{type(args).__name__}>", "inside a value's own code"
    _busy.on = True
    try:
        return str(template % args), ""
    except Exception as error:
        why = f"{type(error).__qualname__}: {_name_of(error).partition(': ')[2]}"
    finally:
        _busy.on = False
    return f"{template} % {rendered('%r', args)}", why


def exception_line(error: BaseException | None) -> str:
    """Type and message, such as `ValueError: no`."""
    return "" if error is None else f"{type(error).__qualname__}: {rendered('%s', error)}"


def exception_text(info: Any) -> str:
    """The traceback, as people know it."""
    if _busy.on:
        return ""
    _busy.on = True
    try:
        return "".join(traceback.format_exception(*info)).rstrip("\n")
    except Exception as failure:
        return f"<traceback: {_name_of(failure)}>"
    finally:
        _busy.on = False
