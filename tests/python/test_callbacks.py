"""All seven callbacks: when they are called, with what, and what their answers do."""

import stat
import sys

import pytest

import rchan


class Recorded(rchan.Callbacks):
    """Writes down every call."""

    def __init__(self):
        self.calls = []

    def subbuf_start(self, buf, subbuf, prev_subbuf, prev_padding):
        prev = None if prev_subbuf is None else len(prev_subbuf)
        self.calls.append(("subbuf_start", len(subbuf), prev, prev_padding))
        return super().subbuf_start(buf, subbuf, prev_subbuf, prev_padding)

    def buf_full(self, buf, subbuf_idx, subbuf):
        self.calls.append(("buf_full", subbuf_idx, bytes(subbuf)))

    def deliver(self, buf, subbuf_idx, subbuf):
        self.calls.append(("deliver", subbuf_idx, bytes(subbuf)))

    def buf_mapped(self, buf, filp):
        self.calls.append(("buf_mapped", buf.index, filp.name))

    def buf_unmapped(self, buf, filp):
        self.calls.append(("buf_unmapped", buf.index, filp.name))

    def create_buf_file(self, filename, parent, mode, buf, is_global):
        self.calls.append(("create_buf_file", filename, parent, mode, buf.index, is_global.value))
        return super().create_buf_file(filename, parent, mode, buf, is_global)

    def remove_buf_file(self, path):
        self.calls.append(("remove_buf_file", path))
        return super().remove_buf_file(path)

    def taken(self):
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def client():
    return Recorded()


@pytest.fixture
def channel(client, four_cpus):
    with rchan.create("app", subbuf_size=8, n_subbufs=2, n_buffers=1, callbacks=client) as channel:
        yield channel


def test_each_is_told_once(client, channel, channels):
    assert client.taken() == [
        ("create_buf_file", "app0", str(channels), 0o400, 0, False),
        ("subbuf_start", 8, None, 0),
    ]
    channel.write(b"aaaaa")
    assert client.taken() == []
    channel.write(b"bbbbbbbb")
    assert client.taken() == [
        ("subbuf_start", 8, 8, 3),
        ("deliver", 0, b"aaaaa\0\0\0"),
    ]
    assert not channel.write(b"c")
    assert client.taken() == [
        ("subbuf_start", 8, 8, 0),
        ("deliver", 1, b"bbbbbbbb"),
        ("buf_full", 1, b"bbbbbbbb"),
    ]
    assert not channel.write(b"c")
    assert client.taken() == [("subbuf_start", 8, 8, 0)]
    with rchan.RelayFile(channel.buffers[0], client) as file:
        view = file.mmap(4096)
        assert client.taken() == [("buf_mapped", 0, "app0")]
        del view
        assert client.taken() == [("buf_unmapped", 0, "app0")]
    channel.close()
    assert client.taken() == [("remove_buf_file", str(channels / "app0"))]


def test_buffer_only_has_no_file(client, four_cpus, channels):
    with rchan.create(None, subbuf_size=8, n_subbufs=2, n_buffers=1, callbacks=client):
        assert client.taken()[0] == ("create_buf_file", None, str(channels), 0o400, 0, False)
    assert client.taken() == [("remove_buf_file", None)]


def test_reset_starts_anew(client, channel):
    client.taken()
    channel.reset()
    assert client.taken() == [("subbuf_start", 8, None, 0)]


def test_files_are_real(channel, channels):
    assert stat.S_ISREG((channels / "app0").stat().st_mode)
    channel.write(b"shown")
    assert (channels / "app0").read_bytes()[:5] == b"shown"


def test_they_run_where_they_are_caused(client, channel):
    client.taken()
    other_client = Recorded()
    with rchan.open("app", callbacks=other_client) as other:
        other.write(b"a" * 8)
        other.write(b"b" * 8)
        assert [call[0] for call in other_client.taken()] == ["subbuf_start", "deliver"]
        assert client.taken() == []


def test_only_overridden_methods_cost(four_cpus):
    class Only(rchan.Callbacks):
        def deliver(self, buf, subbuf_idx, subbuf):
            raise NotImplementedError

    assert [hook is not None for hook in rchan.callbacks.hooks(Only())] == [
        False, False, False, True, False,
    ]  # fmt: skip
    assert rchan.callbacks.hooks(rchan.Callbacks()) == (None,) * 5


def test_headers(four_cpus):
    class Header(rchan.Callbacks):
        def subbuf_start(self, buf, subbuf, prev_subbuf, prev_padding):
            if prev_subbuf is not None:
                prev_subbuf[:1] = bytes([prev_padding])
            if buf.full:
                return False
            assert buf.subbuf_start_reserve(2)
            subbuf[:2] = b"\xff" + bytes([buf.subbufs_produced])
            return True

    with rchan.create("app", subbuf_size=8, n_subbufs=3, n_buffers=1, callbacks=Header()) as chan:
        chan.write(b"abc")
        chan.write(b"defghi")
        assert not chan.write(b"seven..")
        chan.write(b"x")
        wanted = b"\x03\x00abc" + b"\x00\x01defghi" + b"\xff\x02x"
        assert rchan.RelayFile(chan.buffers[0]).read() == wanted
        total = chan.stats().total
        assert total.written == (3, 16)
        assert total.dropped_too_big == (1, 7)
        with pytest.warns(rchan.RchanWarning):
            chan.close()


@pytest.mark.parametrize("length", [7, 8, 2**40])
def test_header_that_leaves_no_room(four_cpus, length):
    answers = []

    class Greedy(rchan.Callbacks):
        def subbuf_start(self, buf, subbuf, prev_subbuf, prev_padding):
            answers.append(buf.subbuf_start_reserve(length))
            return True

    with rchan.create("app", subbuf_size=8, n_subbufs=2, n_buffers=1, callbacks=Greedy()) as chan:
        assert answers == [False]
        assert not chan.buffers[0].subbuf_start_reserve(1), "not inside a callback"


class Raises(rchan.Callbacks):
    """Its methods named in `which` raise."""

    def __init__(self, *which):
        self.which = which

    def _maybe(self, name):
        if name in self.which:
            raise KeyError(name)

    def subbuf_start(self, buf, subbuf, prev_subbuf, prev_padding):
        self._maybe("subbuf_start")
        return not buf.full

    def deliver(self, buf, subbuf_idx, subbuf):
        self._maybe("deliver")

    def buf_full(self, buf, subbuf_idx, subbuf):
        self._maybe("buf_full")

    def create_buf_file(self, filename, parent, mode, buf, is_global):
        self._maybe("create_buf_file")
        return super().create_buf_file(filename, parent, mode, buf, is_global)

    def remove_buf_file(self, path):
        self._maybe("remove_buf_file")
        return super().remove_buf_file(path)


@pytest.fixture
def unraisable(monkeypatch):
    """Names that Raises raised, as sys.unraisablehook was told."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: told.append(args.exc_value.args[0]))
    return told


@pytest.mark.parametrize("which", ["deliver", "buf_full"])
def test_one_that_raises_breaks_no_write(four_cpus, unraisable, which):
    client = Raises(which)
    with rchan.create("app", subbuf_size=8, n_subbufs=2, n_buffers=1, callbacks=client) as channel:
        assert [channel.write(b"x" * 8, 0) for _ in range(3)] == [True, True, False]
        assert unraisable == [which] * (2 if which == "deliver" else 1)
        assert channel.stats().total.closes


def test_subbuf_start_that_raises_counts_as_full(four_cpus, unraisable):
    client = Raises()
    with rchan.create("app", subbuf_size=8, n_subbufs=2, n_buffers=1, callbacks=client) as channel:
        assert channel.write(b"x" * 8, 0)
        client.which = ("subbuf_start",)
        assert not channel.write(b"y" * 8, 0)
        assert unraisable == ["subbuf_start"]
        client.which = ()
        assert channel.write(b"z" * 8, 0)
        assert rchan.RelayFile(channel.buffers[0]).read() == b"x" * 8 + b"z" * 8
        assert channel.stats().total.dropped_full == (1, 8)


def test_create_buf_file_that_raises(four_cpus, channels):
    with pytest.raises(rchan.CallbackFailed) as failure:
        rchan.create("app", subbuf_size=8, callbacks=Raises("create_buf_file"))
    assert isinstance(failure.value.__cause__, KeyError)
    assert list(channels.iterdir()) == []


def test_remove_buf_file_that_raises(four_cpus, channels, unraisable):
    with rchan.create("app", subbuf_size=8, callbacks=Raises("remove_buf_file")) as channel:
        n_buffers = len(channel.buffers)
    assert unraisable == ["remove_buf_file"] * n_buffers
    assert channel.closed


def test_writing_from_inside(four_cpus):
    class Writes(rchan.Callbacks):
        def subbuf_start(self, buf, subbuf, prev_subbuf, prev_padding):
            if prev_subbuf is not None:
                answers.append(channel.write(b"inside", 0))
            return not buf.full

    answers = []
    client = Writes()
    with rchan.create("app", subbuf_size=8, n_subbufs=2, n_buffers=1, callbacks=client) as channel:
        channel.write(b"12345678", 0)
        assert channel.write(b"outside", 0)
        assert answers == [False]
        assert channel.stats().total.dropped_contended == (1, 6)
        assert channel.stats().total.closes


def test_views_end_with_the_call(four_cpus, unraisable):
    class Keeps(rchan.Callbacks):
        def deliver(self, buf, subbuf_idx, subbuf):
            kept.append(subbuf)

    kept = []
    with rchan.create("app", subbuf_size=8, n_subbufs=2, n_buffers=1, callbacks=Keeps()) as channel:
        channel.write(b"12345678", 0)
        channel.flush()
        with pytest.raises(ValueError, match="released"):
            bytes(kept[0])


@pytest.mark.parametrize("callbacks", [object(), rchan.Callbacks, lambda: None, {}])
def test_wrong_type(callbacks):
    with pytest.raises(rchan.WrongType, match=r"rchan\.Callbacks"):
        rchan.create("app", callbacks=callbacks)


@pytest.mark.parametrize("name", ["create_buf_file", "remove_buf_file"])
def test_no_way_to_make_files(channels, name):
    client = rchan.Callbacks()
    setattr(client, name, None)
    with pytest.raises(rchan.WrongType, match=name):
        rchan.create("app", callbacks=client)
    assert list(channels.iterdir()) == []
