"""A limit of time ends the exploration of an automaton, and what was made stays right."""

import threading

import pytest

from ctrlgen.constraints import compile as compile_constraint
from ctrlgen.constraints.time_limit import check_time, time_limit
from ctrlgen.errors import LimitError
from ctrlgen.spec import regex
from ctrlgen.testing import RandomDenoiser


def test_without_a_limit_nothing_is_checked() -> None:
    check_time()


def test_the_tighter_limit_holds_and_ends_with_its_block() -> None:
    with time_limit(0.0):
        with pytest.raises(LimitError), time_limit(60.0):
            check_time()
        with pytest.raises(LimitError):
            check_time()
    check_time()


def test_other_threads_have_their_own() -> None:
    found: list[bool] = []

    def other() -> None:
        check_time()
        found.append(True)

    with time_limit(0.0):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert found == [True]


def test_an_automaton_goes_on_after_a_limit() -> None:
    constraint = compile_constraint(regex("(?!abc)[a-c]{3}"), RandomDenoiser().vocabulary)
    with pytest.raises(LimitError), time_limit(0.0):
        constraint.accepts("abb")
    assert constraint.accepts("abb")
    assert not constraint.accepts("abc")
