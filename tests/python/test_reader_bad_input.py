"""What a reader refuses, and with which error."""

import contextlib
import math
import mmap
import random
import sys

import pytest

import rchan


@pytest.mark.parametrize("name", ["timeout", "flush_interval", "watermark"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, rchan.GeometryError),
        (math.nan, rchan.GeometryError),
        (math.inf, rchan.GeometryError),
        ("1", rchan.WrongType),
        (True, rchan.WrongType),
    ],
)
def test_bad_times(one, name, value, error):
    with pytest.raises(error, match=name):
        one.reader(**{name: value})


def test_bad_arguments(one):
    with pytest.raises(rchan.GeometryError, match="flush_interval is 0"):
        one.reader(flush_interval=0)
    with pytest.raises(rchan.NoSuchBuffer, match="empty"):
        one.reader(cpus=[])
    with pytest.raises(rchan.NoSuchBuffer):
        one.reader(cpus=[4096])
    for cpus in (1, "0", ["0"], [None]):
        with pytest.raises(rchan.WrongType):
            one.reader(cpus=cpus)
    with pytest.raises(rchan.WrongType):
        rchan.Reader("one")
    with pytest.raises(rchan.GeometryError, match="timeout"):
        one.reader().take(timeout=-1)
    with pytest.raises(TypeError):
        rchan.TakenSubbuf()
    one.close()
    with pytest.raises(rchan.ChannelClosed):
        one.reader()


def test_damaged_words_are_an_error(one, channels):
    for number in range(2):
        one.write(b"%030d" % number)
    one.flush()
    reader = one.reader(timeout=0)
    control = channels / "one.chan"
    content = bytearray(control.read_bytes())
    block = 4096 + rchan._core.MAX_SLOTS * 8
    content[block + 8 : block + 16] = b"\xff" * 8  # the writer's head
    with control.open("r+b") as file:
        file.write(content[: block + 16])
    with pytest.raises(rchan.CorruptChannel):
        list(reader)


# Of the buffer's block: owner, head, pending, started, totals, wake, reader, tail, accounts, meta.
WORDS = (0, 8, 16, 24, 64, 72, 80, 88, 320, 384, 392, 448, 456, 464, 512, 768, 776, 784, 896, 1024)


@pytest.mark.parametrize("seed", range(60))
def test_hostile_words_neither_hang_nor_crash(four_cpus, channels, seed):
    chosen = random.Random(seed)
    overwrite, in_time_order, finalized = (chosen.random() < 0.5 for _ in range(3))
    with rchan.create(
        "h", subbuf_size=32, n_subbufs=4, n_buffers=1, overwrite=overwrite
    ) as channel:
        for number in range(chosen.randrange(1, 8)):
            channel.write(b"%030d" % number)
        if finalized:
            channel.finalize()
        reader = channel.reader(
            in_time_order=in_time_order,
            watermark=chosen.choice([0, 0.001, None]),
            flush_interval=chosen.choice([None, 0.001]),
            timeout=None if finalized else chosen.choice([0, 0.01]),
        )
        with (channels / "h.chan").open("r+b") as file, mmap.mmap(file.fileno(), 0) as words:
            for _ in range(chosen.randrange(1, 5)):
                at = 4096 + rchan._core.MAX_SLOTS * 8 + chosen.choice(WORDS)
                value = chosen.choice([0, 1, 2**64 - 1, chosen.getrandbits(64), 4 << 6, 7 << 6])
                words[at : at + 8] = value.to_bytes(8, sys.byteorder)
        seen = set()
        with contextlib.suppress(rchan.CorruptChannel):
            for sub in reader:
                assert (sub.seq, len(bytes(sub))) not in seen, "delivered twice"
                seen.add((sub.seq, sub.length))
                assert sub.length <= 32
        channel.detach()
