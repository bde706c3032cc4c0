"""Run by every Python that `rchan run` starts, directly or not: the environment leads here.

First the sitecustomize that would have run without us; then, whatever happens, the program goes on.
"""

import contextlib
import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location


def _others() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != here]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


def _ours() -> None:
    if "RCHAN_RUN" not in os.environ:
        return
    try:
        if PathFinder.find_spec("rchan", sys.path) is None:
            # Another environment's Python: the package alone, without its neighbours.
            package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
            spec = spec_from_file_location(
                "rchan", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
            )
            sys.modules["rchan"] = module = module_from_spec(spec)  # type: ignore[arg-type]
            try:
                spec.loader.exec_module(module)  # type: ignore[union-attr]
            except BaseException:
                del sys.modules["rchan"]
                raise
        from rchan.clients import launched  # noqa: PLC0415

        launched.begin()
    except Exception as error:
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        with contextlib.suppress(Exception):
            sys.stderr.write(f"rchan: process {os.getpid()} is not recorded: {words}\n")


try:
    _others()
finally:
    _ours()
