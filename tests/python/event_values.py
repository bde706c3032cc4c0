"""An event with a field of every type, its values, and what they are when they are read."""

import enum

import rchan


class Colour(enum.Enum):
    RED = 1
    GREEN = 200


EVERY = {
    **{f"u{bits}": getattr(rchan, f"u{bits}") for bits in (8, 16, 32, 64)},
    **{f"i{bits}": getattr(rchan, f"i{bits}") for bits in (8, 16, 32, 64)},
    "f": rchan.f32,
    "d": rchan.f64,
    "b": rchan.bool,
    "s": rchan.string,
    "t": rchan.text,
    "y": rchan.bytes,
    "e": Colour,
    "fixed": rchan.array(rchan.i16, 2),
    "many": rchan.array(rchan.u64),
    "names": rchan.array(str),
    "flags": rchan.array(bool),
    "colours": rchan.array(Colour),
    "none": rchan.array(rchan.u8, 0),
}
VALUES = (
    *(2**8 - 1, 2**16 - 1, 2**32 - 1, 2**64 - 1, -(2**7), -(2**15), -(2**31), -(2**63)),
    *(0.5, 1e300, True, "äß€𝄞", "x\0y", b"\0\xff", Colour.GREEN),
    *([-1, 1], [2**64 - 1, 0], ["", "é"], [True, False, True], [Colour.RED, Colour.GREEN], []),
)
READ = dict(zip(EVERY, VALUES, strict=True)) | {
    "t": "x\\x00y",
    "e": "GREEN",
    "colours": ["RED", "GREEN"],
}
