"""Odd arguments: a documented status, one line on standard error, never a traceback."""

import re

import pytest
from cli_calls import call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rchan
from rchan.cli import exits
from rchan.cli.commands import COMMANDS
from rchan.cli.completion import candidates

# What would wait, write elsewhere, or take memory if it were right is left out.
NAMES = [name for name in COMMANDS if name not in ("top", "record")]
MANY = ("flush", "reset", "pause", "resume", "rm")  # take several NAMEs
WORDS = st.one_of(
    st.sampled_from(
        [
            "app",
            "-n",
            "-c",
            "--json",
            "--parent",
            "--cpu",
            "--raw",
            "--orphaned",
            "--lines",
            "--blocks",
            "--prefixed",
            "u8",
            "--n-buffers",
            "--mode",
            "--strict",
            "--quiet",
            "--help",
            "--",
            "-",
            "",
            "0",
            "-1",
            "1",
            "600",
            "9" * 30,
            "a/b",
            "..",
            "\x00",
            "\udcff",
            "\x1b[2J",
            "x" * 300,
            "\u0661",
        ]
    ),
    st.text(max_size=6).filter(lambda word: not word.startswith("--")),
)


@pytest.fixture(scope="module", autouse=True)
def statuses() -> set[int]:
    return {int(number) for number in re.findall(r"\b(\d+)  \w", exits.TEXT)}


@given(st.sampled_from(NAMES), st.lists(WORDS, max_size=4))
@settings(
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_odd_arguments(statuses: set[int], name: str, words: list[str]) -> None:
    with rchan.create("app", subbuf_size=4096, n_subbufs=2, n_buffers=1, exist_ok=True) as app:
        app.write(b"a line\n")
        done = call(name, *words, stdin=b"\x03abc")
        assert done.status in statuses
        if done.status not in (exits.OK, exits.BAD_INPUT):
            # A line each of what was wrong, and no control character but its end.
            assert done.err.startswith("rchan")
            assert len(done.err.splitlines()) == 1 or name in MANY
        if not app.finalized:
            app.enabled = True
    for found in rchan.list():
        rchan.remove(found.name)


@given(st.lists(st.one_of(st.sampled_from([*COMMANDS]), WORDS), max_size=4))
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_completion_never_fails(words: list[str]) -> None:
    for candidate, _ in candidates(words or [""]):
        assert candidate == ":files" or candidate.startswith(words[-1] if words else "")
