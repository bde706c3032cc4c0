"""The data of golden traces: payloads that are known by their number, and their short form."""

_FNV_BASIS = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3


def payload(sequence: int, length: int) -> bytes:
    """The bytes of record number `sequence`."""
    return bytes((37 * sequence + 11 * i + 3 * (i >> 8) + 1) & 255 for i in range(length))


def fnv1a(data: bytes | memoryview) -> str:
    """FNV-1a, 64 bits, as 16 hexadecimal digits."""
    value = _FNV_BASIS
    for byte in data:
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def shown_data(data: bytes) -> str | dict[str, object]:
    """Hexadecimal up to 64 bytes; else length, hash and both ends."""
    if len(data) <= 64:
        return data.hex()
    return {
        "n": len(data),
        "fnv": fnv1a(data),
        "head": data[:16].hex(),
        "tail": data[-16:].hex(),
    }


def expanded(name: str) -> str:
    """`@longK` is a name of K letters."""
    return "x" * int(name[5:]) if name.startswith("@long") else name


def shown_name(name: str | None) -> object:
    """A file name, or only its length if it is long."""
    return {"namelen": len(name)} if name is not None and len(name) > 200 else name


def page_parts(start: int, length: int, page: int = 4096) -> list[int]:
    """Lengths of the pieces that pages cut out of bytes start to start + length of a buffer."""
    parts = []
    while length > 0:
        part = min(length, page - start % page)
        parts.append(part)
        start, length = start + part, length - part
    return parts
