"""`rchan create`, `ls`, `stat`, `flush`, `reset`, `pause`, `resume`, `rm`."""

import os
from pathlib import Path

import pytest
from cli_calls import call

import rchan
from rchan.cli import exits
from rchan.cli.look import Look, look_into
from rchan.cli.rates import Rate, Watch, buffer_rates, channel_rate
from rchan.stats import ChannelStats, Count, Stats


class TestCreate:
    def test_makes_a_channel_that_stays(self) -> None:
        done = call("create", "app", "--subbuf-size", "4K", "--n-subbufs", "4", "--json")
        (found,) = rchan.list()
        assert (found.state, found.subbuf_size, found.n_subbufs) == ("orphaned", 4096, 4)
        assert done.json["path"] == found.path
        assert done.status == 0

    @pytest.mark.parametrize(
        ("options", "subbuf_size", "n_subbufs"),
        [
            ("--size 64M", 262144, 256),
            ("--size 1M", 131072, 8),
            ("--size 8K", 4096, 2),
            ("--size 1", 4096, 2),
            ("--size 1M --subbuf-size 4K", 4096, 256),
            ("--size 1M --n-subbufs 4", 262144, 4),
            ("--subbuf-size 4K", 4096, 8),
        ],
    )
    def test_size_is_shared_out(self, options: str, subbuf_size: int, n_subbufs: int) -> None:
        assert call("create", "app", "--n-buffers", "1", *options.split()).status == 0
        (found,) = rchan.list()
        assert (found.subbuf_size, found.n_subbufs) == (subbuf_size, n_subbufs)

    def test_that_is_there_already(self) -> None:
        shape = ("--subbuf-size", "4K")
        assert call("create", "app", *shape).status == 0
        assert call("create", "app", *shape).status == exits.EXISTS
        assert call("create", "app", *shape, "--exist-ok").status == 0
        other = call("create", "app", "--subbuf-size", "8K", "--exist-ok")
        assert other.status == exits.USAGE
        assert "subbuf_size=4096" in other.err

    def test_mode(self) -> None:
        assert call("create", "app", "--mode", "640", "--size", "8K").status == 0
        (found,) = rchan.list()
        assert Path(found.path).stat().st_mode & 0o777 == 0o640
        assert call("create", "b", "--mode", "9").status == exits.USAGE

    def test_too_big(self) -> None:
        done = call("create", "app", "--size", "4096G", "--n-subbufs", "4096")
        assert done.status == exits.USAGE
        assert len(done.err.splitlines()) == 1
        assert rchan.list() == []


@pytest.fixture
def app():
    with rchan.create("app", subbuf_size=4096, n_subbufs=4, n_buffers=2) as channel:
        yield channel


class TestLs:
    def test_state(self, app: rchan.Channel) -> None:
        rchan.create("left", subbuf_size=4096).detach()
        ended = rchan.create("ended", subbuf_size=4096)
        ended.finalize()
        app.enabled = False
        rows = [line.split() for line in call("ls").text.splitlines()[1:]]
        assert {row[0]: row[1] for row in rows} == {
            "app": "paused",
            "ended": "finalized",
            "left": "orphaned",
        }
        ended.close()

    def test_json(self, app: rchan.Channel) -> None:
        app.write(b"x" * 4096, cpu=0)
        (told,) = call("ls", "--json").json
        assert told["fill"] == 0.125
        assert told["unread"] == {"records": 1, "bytes": 4096}
        assert told["producers"] == [os.getpid()]
        assert told["capacity"] == 2 * 4 * 4096
        assert told["rates"]["written_bytes"] > 0

    def test_json_of_a_damaged_one_elsewhere(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o700)
        (tmp_path / "bad.chan").write_bytes(b"nothing of ours")
        (told,) = call("ls", "--json", "--parent", tmp_path).json
        assert (told["state"], told["path"]) == ("damaged", str(tmp_path / "bad.chan"))
        assert (told["age"], told["rates"]["written_bytes"]) == (0, 0)

    def test_rates_are_those_of_the_time_between(self, app: rchan.Channel) -> None:
        app.write(b"before")
        (told,) = call("ls", "--rates", "--interval", "0.01", "--json").json
        assert told["rates"]["written_records"] == 0
        assert told["rates"]["over"] >= 0.01

    def test_interval_must_be_one(self) -> None:
        for word in ("0", "-1", "x", "nan", "inf"):
            assert call("ls", "-r", "--interval", word).status == exits.USAGE

    def test_a_channel_that_we_may_not_read(self, app: rchan.Channel, monkeypatch) -> None:
        def refuse(*_):
            raise rchan.NotPermitted("no")

        monkeypatch.setattr("rchan.cli.look.open_channel", refuse)
        assert call("ls").text.splitlines()[1].split() == ["app", "not", "permitted"]


class TestStat:
    def test_books_and_buffers(self, app: rchan.Channel) -> None:
        for cpu in (0, 1):
            app.write(b"record", cpu=cpu)
        done = call("stat", "--buffers", "app")
        assert "the books close" in done.text
        rows = [line.split() for line in done.text.splitlines()[-2:]]
        assert [row[:4] for row in rows] == [["0", "0%", "1", "1"], ["1", "0%", "1", "1"]]

    def test_json(self, app: rchan.Channel) -> None:
        app.write(b"record", cpu=1)
        told = call("stat", "--json", "app").json
        assert told["buffers"]["1"]["readable"] == {"records": 1, "bytes": 6}
        assert told["closes"] is True
        assert told["geometry"] == {
            "subbuf_size": 4096,
            "n_subbufs": 4,
            "n_buffers": 2,
            "overwrite": False,
        }

    def test_who_waits(self, app: rchan.Channel) -> None:
        buffer = app._prepare(0)
        epoch = buffer._sleeper_add()
        assert call("stat", "--json", "app").json["readers"] == 1
        buffer._sleeper_remove(epoch)
        assert call("stat", "--json", "app").json["readers"] == 0

    def test_who_looks_is_not_attached(self, app: rchan.Channel) -> None:
        before = app.producers()
        look = look_into(app)
        assert look.producers == ()
        call("ls")
        assert app.producers() == before


class TestControl:
    def test_flush(self, app: rchan.Channel) -> None:
        app.write(b"record", cpu=0)
        assert call("flush", "app").status == 0
        assert app.buffers[0].subbufs_produced == 1

    def test_reset(self, app: rchan.Channel) -> None:
        app.write(b"record", cpu=0)
        assert call("reset", "app").status == 0
        assert app.stats().total.discarded.records == 1

    def test_pause_and_resume(self, app: rchan.Channel) -> None:
        assert call("pause", "app").status == 0
        assert not app.write(b"record")
        assert call("resume", "app").status == 0
        assert app.write(b"record")

    def test_all_are_tried(self, app: rchan.Channel) -> None:
        done = call("pause", "missing", "app")
        assert done.status == exits.NOT_FOUND
        assert not app.enabled

    def test_a_held_buffer_is_told(self, app: rchan.Channel) -> None:
        app.write(b"record", cpu=0)
        app.flush()
        held = app.buffers[0].take()
        done = call("reset", "app")
        assert done.status == exits.FAILURE
        assert "buffer 0" in done.err
        held.give_back()


class TestRm:
    def test_several(self) -> None:
        for name in ("a", "b"):
            rchan.create(name, subbuf_size=4096).detach()
        assert call("rm", "a", "missing", "b").status == exits.NOT_FOUND
        assert rchan.list() == []

    def test_orphaned(self, app: rchan.Channel) -> None:
        left = rchan.create("left", subbuf_size=4096)
        left.write(b"unread")
        left.detach()
        done = call("rm", "--orphaned", "--dry-run")
        assert done.text == "left (1 records unread)\n"
        assert len(rchan.list()) == 2
        assert call("rm", "--orphaned").status == 0
        assert [found.name for found in rchan.list()] == ["app"]

    def test_what_is_not_said(self) -> None:
        for arguments in ((), ("app", "--orphaned")):
            done = call("rm", *arguments)
            assert (done.status, len(done.err.splitlines())) == (exits.USAGE, 1)


class TestNearMatches:
    def test_of_channels(self, app: rchan.Channel) -> None:
        for command in (["stat"], ["cat"], ["tail"], ["rm"], ["flush"], ["snapshot", "-o", "-"]):
            done = call(*command, "apq")
            assert done.status == exits.NOT_FOUND
            assert done.err.endswith("did you mean 'app'?\n"), done.err
            assert len(done.err.splitlines()) == 1

    def test_of_one_of_several(self, app: rchan.Channel) -> None:
        for command in ("rm", "flush", "pause"):
            done = call(command, "apq", "quite-different")
            assert done.status == exits.NOT_FOUND
            first, second = done.err.splitlines()
            assert first.endswith("did you mean 'app'?")
            assert "did you mean" not in second

    def test_of_commands(self) -> None:
        done = call("snapshto")
        assert (done.status, "'snapshot'" in done.err) == (exits.USAGE, True)

    def test_of_options(self) -> None:
        done = call("tail", "--folow", "app")
        assert (done.status, "did you mean '--follow'?" in done.err) == (exits.USAGE, True)
        assert "'rchan tail --help'" in done.err

    def test_nothing_is_near(self, app: rchan.Channel) -> None:
        assert "did you mean" not in call("stat", "quite-different").err


def look(when: int, written: int, created: int = 1, wakeups: int = 0) -> Look:
    stats = Stats(written=Count(written, 10 * written), consumed=Count(written // 2, 5 * written))
    return Look(
        "app",
        "live",
        when,
        subbuf_size=100,
        n_subbufs=4,
        created_ns=(created, created),
        stats=ChannelStats(stats, {0: stats}),
        wakeups=wakeups,
    )


class TestRates:
    def test_between_two_looks(self) -> None:
        rate = channel_rate(look(0, 100), look(2 * 10**9, 300, wakeups=4))
        assert rate == Rate(100, 1000, 50, 500, 0, 2)

    def test_of_a_buffer_that_is_new(self) -> None:
        before = Look("app", "live", 0, created_ns=(1, 1))
        assert buffer_rates(before, look(10**9, 100))[0].written_records == 100

    def test_never_below_zero_and_never_divided_by_it(self) -> None:
        assert channel_rate(look(0, 300), look(10**9, 100)).written_records == 0
        assert channel_rate(look(5, 100), look(5, 300)) == Rate()

    def test_a_channel_made_anew_begins_anew(self) -> None:
        watch = Watch()
        watch.take([look(0, 100)])
        watch.take([look(10**9, 200)])
        assert [*watch.channels["app"].written] == [1000]
        watch.take([look(2 * 10**9, 50, created=2)])
        assert watch.channels["app"].rate == Rate()
        assert [*watch.channels["app"].written] == []
        watch.take([])
        assert watch.channels == {}
