"""The public surface: every name once, documented; the fast path is the C method itself."""

import importlib.metadata
import inspect
import pydoc
import types

import pytest

import rchan
from rchan import _core, errors, relay

KERNEL_NAMES = """relay_open relay_write __relay_write relay_reserve relay_commit relay_flush
relay_reset relay_close relay_subbufs_consumed relay_late_setup_files relay_prepare_cpu
relay_buf_full relay_buf_empty relay_switch_subbuf subbuf_start_reserve relay_stats
relayfs_create_dir relayfs_remove_dir"""


def test_every_name_once():
    assert len(rchan.__all__) == len(set(rchan.__all__))  # in ruff's order (RUF022)
    public = {
        name
        for name in dir(rchan)
        if not name.startswith("_") and not isinstance(getattr(rchan, name), types.ModuleType)
    }
    assert public | {"relay"} == set(rchan.__all__)


def test_all_errors_are_public():
    kinds = {name for name, value in vars(errors).items() if isinstance(value, type)}
    kinds = {name for name in kinds if getattr(errors, name).__module__ == "rchan.errors"}
    assert kinds <= set(rchan.__all__)


@pytest.mark.parametrize("name", rchan.__all__)
def test_every_name_is_documented(name):
    thing = getattr(rchan, name)
    assert inspect.getdoc(thing)
    if isinstance(thing, type) and thing.__module__ != "rchan.errors":
        undocumented = [
            member
            for member, value in vars(thing).items()
            if not member.startswith("_")
            and (callable(value) or isinstance(value, property))
            and not inspect.getdoc(value)
        ]
        assert undocumented == []


@pytest.mark.parametrize("name", KERNEL_NAMES.split())
def test_the_kernels_names(name):
    assert name in relay.__all__
    assert inspect.getdoc(getattr(relay, name))


def test_write_is_the_c_method_itself():
    for name in ("write", "reserve"):
        method = inspect.getattr_static(rchan.Channel, name)
        assert isinstance(method, types.MethodDescriptorType)
        assert method.__doc__ == getattr(_core.Channel, name).__doc__


ERRORS = {
    "ChannelExists": FileExistsError,
    "ChannelNotFound": FileNotFoundError,
    "CorruptChannel": ValueError,
    "IncompatibleChannel": rchan.CorruptChannel,
    "NotPermitted": PermissionError,
    "NoSpace": OSError,
    "GeometryError": ValueError,
    "BadName": ValueError,
    "ChannelClosed": ValueError,
    "NotHeld": ValueError,
    "ChannelBusy": TimeoutError,
    "CallbackFailed": RuntimeError,
    "NoSuchBuffer": IndexError,
    "Unsupported": OSError,
    "WrongType": TypeError,
    "SystemFailure": OSError,
}


@pytest.mark.parametrize(("name", "builtin"), ERRORS.items())
def test_each_error_is_also_a_builtin(name, builtin):
    error = getattr(rchan, name)
    assert issubclass(error, rchan.RchanError)
    assert issubclass(error, builtin)
    assert str(error("a sentence")) == "a sentence"
    assert str(error(5, "a sentence")) == "a sentence"


def test_version_and_warning():
    assert rchan.__version__ == importlib.metadata.version("rchan")
    assert issubclass(rchan.RchanWarning, UserWarning)


def test_help_can_be_shown():
    for thing in (rchan, rchan.Channel, rchan.Buffer, relay):
        assert pydoc.render_doc(thing)
