"""A channel that a group shares: its members do everything with it, others get nowhere."""

import grp
import os
import pickle
import select
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rchan
import rchan.relay
from rchan import names

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")
TEAM = 10_000_000 + os.getpid()  # it has a directory of its own beside those of others
OTHER_TEAM = 2 * TEAM
ALICE, BOB, EVE = 54321, 54322, 54323


def as_user(user: int, groups: list[int], act: Callable[[], object]) -> None:
    """Do it in a child that is this user, in these groups; it must succeed."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.umask(0o077)
            os.setgroups(groups)
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            act()
            status = 0
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def modes(place: Path) -> dict[str, tuple[int, int]]:
    found = {path.name: path.lstat() for path in place.iterdir()}
    return {name: (stat.S_IMODE(stats.st_mode), stats.st_gid) for name, stats in found.items()}


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where members make a directory of their own, in one like /dev/shm; RCHAN_DIR names it."""
    with tempfile.TemporaryDirectory(prefix="rchan-test-", dir="/dev/shm") as path:
        Path(path).chmod(0o1777)
        monkeypatch.setenv("RCHAN_DIR", str(Path(path, "shared")))
        yield Path(path, "shared")


def test_two_members_share_everything(place: Path) -> None:
    """Alice makes it; Bob writes, also where no buffer was yet, reads, waits by a bell, removes."""

    def alice() -> None:
        with rchan.cpus.injected(possible=range(2), online=(0,)):
            channel = rchan.create("app", subbuf_size=64, n_buffers=2, group=TEAM)
        assert channel.group == TEAM
        assert channel.write(b"alice|", 0)
        channel.detach()

    def bob() -> None:
        with rchan.open("app", group=TEAM) as channel:
            assert channel.write(b"bob|", 0)
            channel.prepare_cpu(1)
            assert channel.write(b"bob's own|", 1)
            assert [info.name for info in rchan.list(group=TEAM)] == ["app"]
            with rchan.RelayFile(channel.buffers[0]) as file:
                file.fileno()
                assert file.read() == b"alice|bob|"
                assert modes(place) == dict.fromkeys(
                    ("app.chan", "app0", "app1", "app.0.bell"), (0o660, TEAM)
                )
            assert channel.stats().total.closes

    as_user(ALICE, [TEAM], alice)
    found = place.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_gid, found.st_uid) == (0o2770, TEAM, ALICE)
    as_user(BOB, [TEAM], bob)
    assert (place / "app1").stat().st_uid == BOB
    as_user(ALICE, [TEAM], lambda: rchan.remove("app", group=TEAM))
    assert modes(place) == {}


def test_each_wakes_the_other(place: Path) -> None:
    """Bob's write rings the bell that Alice made."""
    ready, go = os.pipe()

    def alice() -> None:
        with (
            rchan.create("app", subbuf_size=64, n_buffers=1, group=TEAM) as channel,
            rchan.RelayFile(channel.buffers[0]) as file,
        ):
            assert file.poll() == 0
            waiting = select.poll()
            waiting.register(file, select.POLLIN)
            assert waiting.poll(0) == []
            os.write(go, b"x")
            assert waiting.poll(60_000), "nobody rang"
            assert file.read() == b"bob|"

    pid = os.fork()
    if pid == 0:
        try:
            as_user(ALICE, [TEAM], alice)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.read(ready, 1) == b"x"

    def bob() -> None:
        with rchan.open("app", group=TEAM) as channel:
            channel.write(b"bob|")
            channel.flush()

    as_user(BOB, [TEAM], bob)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(ready)
    os.close(go)


def test_who_is_no_member_gets_nowhere(place: Path) -> None:
    as_user(ALICE, [TEAM], lambda: rchan.create("app", subbuf_size=64, group=TEAM).detach())

    def eve() -> None:
        for group, words in ((TEAM, "not in group"), ("", "belongs to user"), (None, "belongs to")):
            attempts = (
                lambda group=group: rchan.open("app", group=group),
                lambda group=group: rchan.create("app", group=group),
                lambda group=group: rchan.remove("app", group=group),
                lambda group=group: rchan.list(group=group),
            )
            for attempt in attempts:
                with pytest.raises(rchan.NotPermitted, match=words):
                    attempt()
        for group in (TEAM, None):
            with pytest.raises((rchan.NotPermitted, rchan.ChannelNotFound, PermissionError)):
                rchan.open_file(place / "app0", group=group)
        for path in (place, place / "app.chan", place / "app0"):
            with pytest.raises(PermissionError):
                os.open(path, os.O_RDONLY)
        with pytest.raises(PermissionError):
            os.open(place / "mine", os.O_CREAT | os.O_WRONLY)
        # Were the look before the use in vain, the core would find it out on the descriptor.
        with pytest.raises(rchan.NotPermitted):
            rchan.Channel._attach(str(place), "app", None, TEAM)
        with pytest.raises(rchan.NotPermitted, match="belongs to group 0"):
            rchan.Channel._create("/dev/shm", "eve", 64, 2, 1, False, 0o660, (0,), None, None, TEAM)

    as_user(EVE, [OTHER_TEAM], eve)
    as_user(BOB, [TEAM], lambda: rchan.open("app", group=TEAM).detach())


def test_nobody_is_shared_with_unasked(place: Path) -> None:
    """A member who does not say the group is refused, and so is root: it may be a trap."""
    as_user(ALICE, [TEAM], lambda: rchan.create("app", subbuf_size=64, group=TEAM).detach())

    def not_asked() -> None:
        with pytest.raises(rchan.NotPermitted, match="RCHAN_GROUP"):
            rchan.open("app")

    as_user(BOB, [TEAM], not_asked)
    as_user(ALICE, [TEAM], not_asked)
    with pytest.raises(rchan.NotPermitted, match="belongs to user"):
        rchan.open("app")
    with rchan.open("app", group=TEAM) as channel:
        assert channel.write(b"root was asked to")


def test_what_is_not_shared_with_the_group_alone_is_refused(place: Path) -> None:
    rchan.create("app", subbuf_size=64, n_buffers=1, group=TEAM).detach()
    for mode, group in ((0o664, TEAM), (0o640, TEAM), (0o666, TEAM), (0o660, OTHER_TEAM)):
        os.chown(place / "app.chan", -1, group)
        (place / "app.chan").chmod(mode)
        with pytest.raises(rchan.NotPermitted, match=f"not shared with group {TEAM} alone"):
            rchan.open("app", group=TEAM)
    os.chown(place / "app.chan", -1, TEAM)
    (place / "app.chan").chmod(0o660)
    (place / "app0").chmod(0o662)
    with rchan.open("app", group=TEAM) as channel:
        assert not channel.buffers, "its buffer is not believed"
    (place / "app0").chmod(0o660)
    for mode, words in ((0o2777, "by everybody"), (0o2772, "by everybody")):
        place.chmod(mode)
        with pytest.raises(rchan.NotPermitted, match=words):
            rchan.open("app", group=TEAM)
        with pytest.raises(rchan.NotPermitted, match=words):
            rchan.Channel._attach(str(place), "app", None, TEAM)
    place.chmod(0o2770)
    os.chown(place, -1, OTHER_TEAM)
    for attempt in (
        lambda: rchan.open("app", group=TEAM),
        lambda: rchan.Channel._attach(str(place), "app", None, TEAM),
    ):
        with pytest.raises(rchan.NotPermitted, match=f"group {OTHER_TEAM}"):
            attempt()


def test_links_in_a_shared_directory_are_not_followed(place: Path, tmp_path: Path) -> None:
    """What a member may plant there: links to files of another member."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"precious")
    with rchan.create("app", subbuf_size=64, n_buffers=1, group=TEAM) as channel:
        (place / "link.chan").symlink_to(secret)
        with pytest.raises(rchan.NotPermitted, match="symbolic link"):
            rchan.open("link", group=TEAM)
        own = place.parent / "own"
        own.write_bytes(b"precious")
        own.chmod(0o600)
        os.link(own, place / "hard.chan")
        with pytest.raises(rchan.NotPermitted, match="not shared"):
            rchan.open("hard", group=TEAM)
        with pytest.raises(rchan.NotPermitted):
            rchan.remove("hard", group=TEAM)
        (place / "app.0.bell").symlink_to(secret)
        with rchan.RelayFile(channel.buffers[0]) as file:
            file.fileno()
            assert (place / "app.1.bell").is_fifo()
        channel.write_and_wake(b"ring")
    for path in ("link.chan", "hard.chan", "app.0.bell"):
        (place / path).unlink()
    assert secret.read_bytes() == own.read_bytes() == b"precious"
    own.unlink()


def test_directories_that_anybody_can_make_are_no_proof(place: Path) -> None:
    """Above it is a directory that gives all that is made in it to the group, whoever makes it."""
    above = place.parent / "above"
    above.mkdir()
    os.chown(above, 0, TEAM)
    above.chmod(0o3777)
    trap = above / "trap"

    def eve() -> None:
        trap.mkdir()
        trap.chmod(0o770)

    as_user(EVE, [], eve)
    assert trap.stat().st_gid == TEAM
    with pytest.raises(rchan.NotPermitted, match="everybody can make directories"):
        rchan.create("app", parent=trap, subbuf_size=64, group=TEAM)


def test_a_killed_member_is_cleaned_up_after(place: Path) -> None:
    """Alice is killed with a record begun, and with her bell made but not yet the group's."""
    rchan.create("app", subbuf_size=64, n_buffers=1, group=TEAM).detach()

    def alice() -> None:
        channel = rchan.open("app", group=TEAM)
        kept = channel.reserve(8)
        kept[:] = b"not done"
        os.mkfifo(place / "app.0.bell", 0o600)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(AssertionError):
        as_user(ALICE, [TEAM], alice)

    def bob() -> None:
        with rchan.open("app", group=TEAM) as channel:
            assert channel.write(b"bob|")
            with rchan.RelayFile(channel.buffers[0]) as file:
                file.fileno()
                assert modes(place)["app.0.bell"] == (0o660, TEAM)
                assert (place / "app.0.bell").stat().st_uid == BOB
                assert file.read() == b"bob|"
            assert channel.stats().total.closes

    as_user(BOB, [TEAM], bob)
    rchan.remove("app", group=TEAM)
    assert modes(place) == {}


def test_a_directory_whose_maker_was_killed_is_shared_by_its_next_start(place: Path) -> None:
    as_user(ALICE, [TEAM], lambda: place.mkdir(0o700))
    as_user(ALICE, [TEAM], lambda: rchan.create("app", subbuf_size=64, group=TEAM).detach())
    as_user(BOB, [TEAM], lambda: rchan.open("app", group=TEAM).detach())


def test_a_private_directory_is_not_shared_by_mistake(channels: Path) -> None:
    with rchan.create("private", subbuf_size=64):
        with pytest.raises(rchan.NotPermitted, match="not of group"):
            rchan.create("app", subbuf_size=64, group=TEAM)
        assert stat.S_IMODE(channels.stat().st_mode) == 0o700


def test_the_environment_says_the_group(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCHAN_GROUP", str(TEAM))
    with rchan.Tracer("app", n_buffers=1) as trace:
        trace.event("request", user=rchan.u64)(42)
        assert (place / "app.chan").stat().st_gid == TEAM
        assert rchan.list()[0].name == "app"
        assert rchan.open_file(place / "app0").readable()
        below = rchan.relay.relayfs_create_dir("below")
        assert modes(place)["below"] == (0o2770, TEAM)
        with pytest.raises(rchan.NotPermitted):
            rchan.list(group="")
        rchan.relay.relayfs_remove_dir(below)
    monkeypatch.setenv("RCHAN_DIR", "")
    assert names.root(TEAM) == f"/dev/shm/rchan-group-{TEAM}"
    os.rmdir(f"/dev/shm/rchan-group-{TEAM}")


def test_it_is_pickled_with_its_group(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        rchan.create("app", subbuf_size=64, group=TEAM) as channel,
        pickle.loads(pickle.dumps(channel)) as other,
    ):
        assert other.group == TEAM
    mine = rchan.relay.relayfs_create_dir("mine", place.parent, TEAM)
    assert stat.S_IMODE(Path(mine).stat().st_mode) == 0o2770
    with rchan.create(None, mine, subbuf_size=64, n_buffers=1, group=TEAM) as late:
        late.late_setup_files("late", mine)
        assert modes(Path(mine))["late0"] == (0o660, TEAM)
    rchan.relay.relayfs_remove_dir(mine, TEAM)


@pytest.mark.parametrize("group", [True, 1.5, b"team"])
def test_groups_of_wrong_type(group: object) -> None:
    with pytest.raises(rchan.WrongType):
        rchan.create("app", group=group)  # type: ignore[arg-type]


@pytest.mark.parametrize("group", ["no such group", "-1", -1, 2**32 - 1, 2**64, "a\0b"])
def test_groups_that_are_not_there(group: str | int) -> None:
    with pytest.raises(rchan.BadName):
        rchan.create("app", group=group)


def test_the_command_line(place: Path) -> None:
    team = grp.getgrgid(0).gr_name
    command = [sys.executable, "-m", "rchan.cli"]
    for arguments in (
        ["create", "--group", team, "--subbuf-size", "4096", "app"],
        ["stat", "--group", "0", "app"],
        ["rm", "--group", team, "app"],
    ):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(place.stat().st_mode) == 0o2770
    done = subprocess.run([*command, "ls"], capture_output=True, text=True, check=False)
    assert done.returncode and "RCHAN_GROUP" in done.stderr
