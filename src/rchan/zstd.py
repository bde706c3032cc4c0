"""zstd, from the standard library (3.14 and later) or the package `zstandard`."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, BinaryIO, Final

from rchan.errors import Unsupported

SUFFIX: Final = ".zst"
_BLOCK: Final = 1 << 20


@cache  # a look for what is not there goes through every folder of sys.path
def _module() -> tuple[str, Any]:
    for name in ("compression.zstd", "zstandard"):
        try:
            return name, import_module(name)
        except ImportError:
            continue
    raise Unsupported(
        "there is no zstd in this Python: pip install 'rchan[zstd]' (or Python 3.14 and later)"
    )


def compressor(level: int) -> Callable[[memoryview], bytes]:
    """A function that makes one frame of its argument. Raises Unsupported."""
    name, module = _module()
    if name == "zstandard":
        compress: Callable[[memoryview], bytes] = module.ZstdCompressor(level=level).compress
        return compress
    return lambda data: bytes(module.compress(data, level=level))


def decompress(frame: bytes | memoryview, length: int) -> bytes:
    """The `length` bytes of a frame; other bytes, or none, if it is damaged. Raises Unsupported."""
    name, module = _module()
    try:
        if name == "zstandard":
            # It would allocate whatever the frame says; -1: that says nothing.
            if module.frame_content_size(frame) not in (-1, length):
                return b""
            return bytes(module.ZstdDecompressor().decompress(frame, max_output_size=length))
        return bytes(module.ZstdDecompressor().decompress(frame, max_length=length))
    except (module.ZstdError, ValueError, EOFError, MemoryError):
        return b""


def copy_decompressed(source: BinaryIO, target: BinaryIO) -> None:
    """What is in the frames of a file, up to the first damaged one. Raises Unsupported, OSError."""
    name, module = _module()
    if name == "zstandard":
        reader = module.ZstdDecompressor().stream_reader(
            source, read_across_frames=True, closefd=False
        )
    else:
        reader = module.open(source, "rb")
    try:
        while block := reader.read(_BLOCK):
            target.write(block)
    except (module.ZstdError, EOFError):
        pass
