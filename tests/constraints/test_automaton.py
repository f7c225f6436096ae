"""The byte automaton against a recogniser that follows the definitions."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.nodes import (
    NOTHING,
    And,
    Bytes,
    Choice,
    Grammar,
    Join,
    Node,
    Not,
    Ref,
    Repeat,
    Seq,
    byte_range,
    text,
)
from ctrlgen.errors import ConstraintError, GrammarError, LimitError, UnsatisfiableError
from tests.constraints.brute import LETTERS, Brute, RandomGrammars, words

WORDS = words(5)
CHAR = byte_range(0x23, 0x7E)


def accepts(automaton: ByteAutomaton, data: bytes) -> bool:
    return automaton.is_accepting(automaton.run(automaton.start, data))


def reachable(automaton: ByteAutomaton, limit: int = 60) -> list[int]:
    seen = {automaton.start: None}
    queue = deque(seen)
    while queue and len(seen) < limit:
        for after in set(automaton.row(queue.popleft()).tolist()) - {-1}:
            if after not in seen:
                seen[after] = None
                queue.append(after)
    return list(seen)


@pytest.mark.parametrize("seed", range(250))
def test_agrees_with_the_definitions(seed: int) -> None:
    grammar = RandomGrammars(seed).grammar()
    expected = [word for word in WORDS if Brute(grammar, word).accepts()]
    try:
        automaton = ByteAutomaton(grammar, max_states=5_000)
    except UnsatisfiableError:
        assert not expected
        return
    assert [word for word in WORDS if accepts(automaton, word)] == expected
    shortest = automaton.shortest(automaton.start)
    assert Brute(grammar, shortest).accepts()
    # A complement also holds words over other bytes.
    if set(shortest) <= set(LETTERS):
        assert len(shortest) == min(map(len, expected), default=len(shortest))


@pytest.mark.parametrize("seed", range(100))
def test_every_state_is_live_and_its_distance_exact(seed: int) -> None:
    try:
        automaton = ByteAutomaton(RandomGrammars(seed).grammar(), max_states=5_000)
    except UnsatisfiableError:
        return
    for state in reachable(automaton):
        completion = automaton.shortest(state)
        assert automaton.is_accepting(automaton.run(state, completion))
        assert len(completion) == automaton.min_bytes(state)
        row = automaton.row(state)
        assert row.dtype == np.int32 and not row.flags.writeable
        assert [automaton.step(state, byte) for byte in range(256)] == row.tolist()
        lengths = [automaton.min_bytes(after) for after in set(row.tolist()) - {-1}]
        assert automaton.is_accepting(state) or min(lengths) == len(completion) - 1


def test_a_counter_costs_states_only_where_a_text_reached_it() -> None:
    body = Repeat(CHAR, 0, 100_000)
    automaton = ByteAutomaton(Grammar(Seq((Bytes(b'"'), body, Bytes(b'"')))))
    state = automaton.run(automaton.start, b'"' + b"x" * 20)
    assert automaton.min_bytes(state) == 1
    assert automaton.n_states < 30


def test_a_counter_in_an_intersection_is_lazy_too() -> None:
    vowels = Repeat(Seq((Repeat(CHAR), Choice((text("a"), text("e"))))), 1)
    automaton = ByteAutomaton(Grammar(And((vowels, Repeat(CHAR, 500, 100_000)))))
    assert automaton.min_bytes(automaton.start) == 500
    assert automaton.n_states < 2_000


@pytest.mark.parametrize("seed", range(60))
def test_distances_in_counted_intersections_are_exact(seed: int) -> None:
    """Length bounds are left out of the search at first; they must come back in."""
    inner = RandomGrammars(seed).grammar()
    letters = byte_range(LETTERS[0], LETTERS[-1])
    least = seed % 4
    counted = And((inner.root, Repeat(letters, least, least + seed % 3)))
    grammar = Grammar(counted, inner.rules)
    expected = [word for word in WORDS if Brute(grammar, word).accepts()]
    try:
        automaton = ByteAutomaton(grammar, max_states=5_000)
    except UnsatisfiableError:
        assert not expected
        return
    assert automaton.min_bytes(automaton.start) == min(map(len, expected))
    for state in reachable(automaton):
        row = automaton.row(state)
        lengths = [automaton.min_bytes(after) for after in set(row.tolist()) - {-1}]
        left = automaton.min_bytes(state)
        assert automaton.is_accepting(state) == (left == 0)
        assert left == 0 or left == 1 + min(lengths)


def test_a_string_body_is_one_state_in_one_context() -> None:
    automaton = ByteAutomaton(Grammar(Seq((Bytes(b'"'), Repeat(CHAR), Bytes(b'"},')))))
    body = automaton.run(automaton.start, b'"')
    assert automaton.run(body, b"xyz") == body


def test_recursion_is_unbounded() -> None:
    brackets = Repeat(Seq((Bytes(b"["), Ref("brackets"), Bytes(b"]"))))
    automaton = ByteAutomaton(Grammar(Ref("brackets"), {"brackets": brackets}))
    assert accepts(automaton, b"[" * 500 + b"]" * 500)
    assert not accepts(automaton, b"[[]")
    assert automaton.min_bytes(automaton.run(automaton.start, b"[[[")) == 3


def test_a_rule_that_never_ends_is_left_out() -> None:
    endless = Seq((Bytes(b"a"), Ref("endless")))
    rules = {"endless": endless}
    automaton = ByteAutomaton(Grammar(Choice((Ref("endless"), Bytes(b"b"))), rules))
    assert automaton.step(automaton.start, ord("a")) == -1
    with pytest.raises(UnsatisfiableError):
        ByteAutomaton(Grammar(endless, rules))


def test_two_thousand_optional_members() -> None:
    items = tuple(text(f'"key{i}":1') for i in range(2_000))
    automaton = ByteAutomaton(Grammar(Join(items, (False,) * 1_999 + (True,))))
    assert accepts(automaton, b'"key3":1,"key700":1,"key1999":1')
    assert not accepts(automaton, b'"key700":1,"key3":1,"key1999":1')
    assert automaton.n_states < 150


def test_an_intersection_may_use_rules() -> None:
    rules: dict[str, Node] = {"any": Repeat(CHAR), "short": Repeat(CHAR, 2, 3)}
    node = And((Ref("any"), Ref("short"), Not(Seq((text("ab"), Ref("any"))))))
    automaton = ByteAutomaton(Grammar(node, rules))
    assert accepts(automaton, b"xab") and not accepts(automaton, b"abx")


def test_long_sequences_do_not_recurse() -> None:
    node = Seq(tuple(Choice((Bytes(bytes([97 + i % 3])), Bytes(b""))) for i in range(1_200)))
    automaton = ByteAutomaton(Grammar(node))
    assert accepts(automaton, b"ca")


@pytest.mark.parametrize(
    ("grammar", "error"),
    [
        (Grammar(NOTHING), UnsatisfiableError),
        (Grammar(And((text("a"), text("b")))), UnsatisfiableError),
        (Grammar(Ref("missing")), GrammarError),
        (Grammar(Ref("r"), {"r": And((Ref("r"), text("a")))}), GrammarError),
    ],
)
def test_refused(grammar: Grammar, error: type[ConstraintError]) -> None:
    with pytest.raises(error):
        ByteAutomaton(grammar)


def test_left_recursion_does_not_hang() -> None:
    rule = Choice((Seq((Ref("r"), text("a"))), text("b")))
    automaton = ByteAutomaton(Grammar(Ref("r"), {"r": rule}))
    with pytest.raises(GrammarError, match="left-recursive"):
        automaton.row(automaton.start)


def test_limits() -> None:
    automaton = ByteAutomaton(Grammar(Repeat(CHAR, 0, 1_000)), max_states=10)
    with pytest.raises(LimitError):
        automaton.run(automaton.start, b"x" * 20)
