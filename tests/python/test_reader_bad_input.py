"""What a reader refuses, and with which error."""

import math

import pytest

import rchan


@pytest.fixture
def one(four_cpus):
    """One buffer of four sub-buffers of 32 bytes."""
    with rchan.create("one", subbuf_size=32, n_subbufs=4, n_buffers=1) as channel:
        yield channel


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
