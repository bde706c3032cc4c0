"""Rivals from PyPI (extra "bench"): they are installed into build/rivals-VERSION, not among our own
packages.

    python benchmarks/rivals.py    installs all that are not there; says which cannot be, and why"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "build" / "rivals-{}.{}".format(*sys.version_info)

# Project name -> module, where they differ.
MODULES = {
    "faster-fifo": "faster_fifo",
    "opentelemetry-sdk": "opentelemetry.sdk",
    "posix-ipc": "posix_ipc",
    "pyzmq": "zmq",
}


class Absent(Exception):
    """Why a rival is not there to compare with."""


def wanted() -> dict[str, Requirement]:
    """Module -> requirement."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = settings["project"]["optional-dependencies"]["bench"]
    each = [Requirement(line) for line in lines]
    return {MODULES.get(one.name, one.name): one for one in each}


def load(module: str) -> ModuleType:
    """The rival's module. Raises Absent."""
    requirement = wanted()[module]
    if requirement.marker is not None and not requirement.marker.evaluate():
        raise Absent(f"{requirement.name} is not there for this Python ({requirement.marker})")
    if PACKAGES.is_dir() and str(PACKAGES) not in sys.path:
        sys.path.append(str(PACKAGES))
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Absent(f"{requirement.name}: {error} (benchmarks/rivals.py installs it)") from None


def install() -> dict[str, str]:
    """Installs what cannot be imported, each by itself; module -> why it still cannot."""
    missing = {}
    for module, requirement in wanted().items():
        try:
            load(module)
            continue
        except Absent as error:
            missing[module] = str(error)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(PACKAGES)]
        line = f"{requirement.name}{requirement.specifier}"
        done = subprocess.run([*command, line], capture_output=True, text=True, check=False)
        importlib.invalidate_caches()
        try:
            load(module)
            del missing[module]
        except Absent as error:
            said = done.stderr.strip().splitlines()
            missing[module] = said[-1] if done.returncode and said else str(error)
    return missing


def main() -> int:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    missing = install()
    for module, why in missing.items():
        print(f"absent: {module}: {why}")
    print(f"{len(wanted()) - len(missing)} of {len(wanted())} rivals are there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
