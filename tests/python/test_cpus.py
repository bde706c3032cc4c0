"""CPU lists, control group quotas, and what n_buffers is by default."""

import os
from pathlib import Path

import pytest

import rchan
from rchan import cpus


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0\n", (0,)), ("0-3\n", (0, 1, 2, 3)), ("0-1,4,6-7", (0, 1, 4, 6, 7)), ("\n", ())],
)
def test_lists(text, numbers):
    assert cpus.parse_cpu_list(text) == numbers


@pytest.mark.parametrize("text", ["x", "1-", "-3", "1-2-3"])
def test_bad_lists(text):
    with pytest.raises(ValueError, match="invalid literal"):
        cpus.parse_cpu_list(text)


def test_this_machine():
    assert set(os.sched_getaffinity(0)) <= set(cpus.online()) <= set(cpus.possible())


def test_without_sysfs(monkeypatch, tmp_path):
    monkeypatch.setattr(cpus, "_SYSFS", tmp_path)
    assert cpus.possible() == tuple(range(os.cpu_count()))
    assert set(cpus.online()) == os.sched_getaffinity(0)


def test_injected_masks_end_with_the_block():
    before = cpus.possible(), cpus.online()
    with cpus.injected(possible=(0, 5), online=[5]):
        assert (cpus.possible(), cpus.online()) == ((0, 5), (5,))
        with cpus.injected(online=[0]):
            assert cpus.online() == (0,)
    assert (cpus.possible(), cpus.online()) == before


def groups(monkeypatch, tmp_path: Path, membership: str, mounts: str, files: dict[str, str]):
    """A /proc/self and the files of control groups, as they would be found."""
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "cgroup").write_text(membership)
    (tmp_path / "mountinfo").write_text(mounts.replace("@", str(tmp_path)))
    monkeypatch.setattr(cpus, "_PROC", tmp_path)


V2_MOUNT = "30 23 0:26 {root} @/v2 rw,nosuid - cgroup2 cgroup2 rw\n"


def test_version_2_takes_the_tightest_level(monkeypatch, tmp_path):
    files = {
        "v2/a/b/cpu.max": "max 100000\n",
        "v2/a/cpu.max": "150000 100000\n",
        "v2/cpu.max": "400000 100000\n",
    }
    groups(monkeypatch, tmp_path, "0::/a/b\n", V2_MOUNT.format(root="/"), files)
    assert cpus.cgroup_quota() == 1.5
    with cpus.injected(range(256), [0]):
        assert cpus.default_n_buffers() == 3


def test_version_2_in_a_container_that_sees_its_own_part(monkeypatch, tmp_path):
    files = {"v2/cpu.max": "20000 100000\n"}
    groups(monkeypatch, tmp_path, "0::/\n", V2_MOUNT.format(root="/docker/x"), files)
    assert cpus.cgroup_quota() == 0.2
    with cpus.injected(range(8), [0]):
        assert cpus.default_n_buffers() == 1


V1_MOUNT = "31 23 0:27 / @/v1 rw - cgroup cgroup rw,cpu,cpuacct\n"


@pytest.mark.parametrize(("quota", "cpus_allowed"), [("250000", 2.5), ("-1", None)])
def test_version_1(monkeypatch, tmp_path, quota, cpus_allowed):
    files = {"v1/job/cpu.cfs_quota_us": quota, "v1/job/cpu.cfs_period_us": "100000"}
    groups(monkeypatch, tmp_path, "4:cpu,cpuacct:/job\n1:name=systemd:/\n", V1_MOUNT, files)
    assert cpus.cgroup_quota() == cpus_allowed


def test_no_quota(monkeypatch, tmp_path):
    groups(monkeypatch, tmp_path, "0::/a\n", V2_MOUNT.format(root="/"), {})
    assert cpus.cgroup_quota() is None
    monkeypatch.setattr(cpus, "_PROC", tmp_path / "nothing here")
    assert cpus.cgroup_quota() is None
    with cpus.injected((0, 1, 5), [0]):
        assert cpus.default_n_buffers() == 6


def test_channels_get_that_many(monkeypatch, tmp_path):
    groups(
        monkeypatch, tmp_path, "0::/\n", V2_MOUNT.format(root="/"), {"v2/cpu.max": "100000 100000"}
    )
    with cpus.injected(range(64), range(64)), rchan.create("app", subbuf_size=64) as channel:
        assert channel.n_buffers == 2
        assert sorted(channel.buffers) == [0, 1]
        assert channel.buffers[63] is channel.buffers[1]
