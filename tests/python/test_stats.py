"""The books: each loss has its cause, and they close."""

import json

import pytest

import rchan


def test_every_cause(small):
    file = rchan.RelayFile(small.buffers[0])
    for _ in range(5):
        small.write(b"x" * 30, 0)
    small.write(b"y" * 33, 0)
    small.enabled = False
    small.write(b"z" * 7, 0)
    small.enabled = True
    file.read(30)
    total = small.stats().total
    assert total.attempted == (7, 190)
    assert total.written == (4, 120)
    assert total.consumed == (1, 30)
    assert total.readable == (3, 90)
    assert total.dropped_full == (1, 30)
    assert total.dropped_too_big == (1, 33)
    assert total.dropped_disabled == (1, 7)
    assert total.dropped_contended == (0, 0)
    assert total.dropped == total.lost == (3, 70)
    assert (total.subbufs_produced, total.subbufs_consumed) == (4, 1)
    assert total.closes
    small.reset()
    assert small.stats().total.discarded == (3, 90)
    assert small.stats().total.closes
    with pytest.warns(rchan.RchanWarning, match="33 bytes"):
        small.close()


def test_overwritten(four_cpus):
    with rchan.create("over", subbuf_size=16, n_subbufs=2, n_buffers=1, overwrite=True) as channel:
        for number in range(10):
            channel.write(bytes([number]) * 16, 0)
        file = rchan.RelayFile(channel.buffers[0])
        assert file.read() == b"\x08" * 16 + b"\x09" * 16
        total = channel.stats().total
        assert total.overwritten == (8, 128)
        assert total.closes


def test_sums_over_all_buffers(small):
    small.prepare_cpu(3)
    for cpu in (0, 1, 1, 3):
        small.write(b"x" * 10, cpu)
    stats = small.stats()
    assert list(stats) == [0, 1, 3]
    assert [stats[cpu].written.records for cpu in stats] == [1, 2, 1]
    assert len(stats) == 3
    assert stats.total.written == (4, 40)
    assert stats.total == stats[0].plus(stats[1]).plus(stats[3])


def test_as_json(small):
    small.write(b"abc", 0)
    shown = json.loads(json.dumps(small.stats().as_dict()))
    assert shown["total"]["readable"] == {"records": 1, "bytes": 3}
    assert shown["buffers"]["0"]["lost"] == {"records": 0, "bytes": 0}
    assert shown["buffers"]["1"]["subbufs_produced"] == 0


def test_stats_are_values():
    with pytest.raises(AttributeError):
        rchan.Stats().written = rchan.Count(1, 1)
    assert not rchan.Stats(attempted=rchan.Count(1, 1)).closes
