"""Builds the C parts of the benchmarks with the system's compiler, into a temporary directory."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sysconfig
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


def compile_c(output: Path, sources: list[Path], *flags: str) -> Path:
    command = [os.environ.get("CC", "cc"), "-std=c11", "-O3", "-D_GNU_SOURCE", *flags]
    subprocess.run([*command, "-o", output, *sources], check=True)
    return output


def core_program(name: str, directory: Path) -> Path:
    """A program of benchmarks/ linked with the core."""
    sources = [ROOT / "benchmarks" / f"{name}.c", *sorted((ROOT / "core").glob("*.c"))]
    return compile_c(directory / name, sources, f"-I{ROOT / 'core'}", "-pthread")


def extension(name: str, directory: Path) -> ModuleType:
    include = sysconfig.get_paths()["include"]
    path = directory / f"{name}.abi3.so"
    compile_c(path, [ROOT / "benchmarks" / f"{name}.c"], "-shared", "-fPIC", f"-I{include}")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
