"""The token view against running the bytes of each token."""

from __future__ import annotations

import random
from collections import deque
from itertools import product

import numpy as np
import pytest

from ctrlgen.constraints import clipping, reading, vocabulary
from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.lifting import TokenAutomaton
from ctrlgen.constraints.nodes import (
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
    text,
)
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import LimitError, UnsatisfiableError
from tests.constraints.brute import Brute, RandomGrammars

# One- and two-byte characters; the second byte of the latter may be a token of its own.
CHARACTER = Choice(
    (text("a"), text("b"), text("é"), Seq((text("\\"), Choice((text("n"), text('"'))))))
)
QUOTE = Bytes(b'"')


def quoted(body: Node) -> Node:
    return Seq((QUOTE, body, QUOTE))


def random_vocabulary(rng: random.Random, letters: bytes, longest: int, size: int) -> Vocabulary:
    tokens: list[bytes | None] = [None, b"", *(bytes([letter]) for letter in letters)]
    for _ in range(size):
        tokens.append(bytes(rng.choices(letters, k=rng.randint(2, longest))))
    rng.shuffle(tokens)
    return Vocabulary(tokens)


def expected_lift(tokens: TokenAutomaton, state: int) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for index, token in enumerate(tokens.vocabulary.tokens):
        after = tokens.automaton.run(state, token) if token else -1
        if after >= 0:
            found.setdefault(after, []).append(index)
    return found


def same_language(automaton: ByteAutomaton, first: int, second: int) -> bool:
    """Whether two states accept the same: no pair that the same text leads to differs.

    A recursive grammar has endless pairs; the first ones, of the shortest texts, are compared.
    """
    seen, queue = {(first, second)}, deque([(first, second)])
    while queue and len(seen) < 200:
        one, other = queue.popleft()
        if automaton.is_accepting(one) != automaton.is_accepting(other):
            return False
        rows = zip(automaton.row(one).tolist(), automaton.row(other).tolist(), strict=True)
        for pair in {pair for pair in rows if pair[0] != pair[1]} - seen:
            if -1 in pair:
                return False
            seen.add(pair)
            queue.append(pair)
    return True


def check_state(tokens: TokenAutomaton, state: int) -> list[int]:
    """Compares everything about one state; returns its successors."""
    automaton = tokens.automaton
    expected = expected_lift(tokens, state)
    lifted = tokens.lift(state)
    sets = [tokens.token_sets[i].tolist() for i in lifted.sets.tolist()]
    runs = {token: after for after, ids in expected.items() for token in ids}
    assert sorted(token for ids in sets for token in ids) == sorted(runs)
    for after, ids in zip(lifted.destinations.tolist(), sets, strict=True):
        for other in {runs[token] for token in ids} - {after}:
            assert same_language(automaton, after, other)
    assert lifted is tokens.lift(state)
    assert np.flatnonzero(tokens.mask(state)).tolist() == sorted(runs)
    for index in range(tokens.vocabulary.size):
        after = tokens.next(state, index)
        assert (after is None) == (index not in runs)
        assert after is None or same_language(automaton, after, runs[index])
    return list(expected)


def check_all(tokens: TokenAutomaton, limit: int) -> None:
    seen = {tokens.automaton.start}
    queue = deque(seen)
    while queue:
        for after in check_state(tokens, queue.popleft()):
            if after not in seen and len(seen) < limit:
                seen.add(after)
                queue.append(after)


def plain_distance(tokens: TokenAutomaton, state: int, limit: int = 3_000) -> int | None:
    """Breadth first; None if the limit comes first."""
    distances, queue = {state: 0}, deque([state])
    while queue and len(distances) < limit:
        state = queue.popleft()
        if tokens.is_accepting(state):
            return distances[state]
        for after in expected_lift(tokens, state):
            if after not in distances:
                distances[after] = distances[state] + 1
                queue.append(after)
    return None


@pytest.fixture(params=["thin", "wide", "clipped"])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small alphabets are read thread by thread; by stencils if called wide.

    Bounds are lifted that few tokens exhaust; here also those that many do.
    """
    if request.param != "thin":
        for limit in ("_WIDE_CLOSED", "_WIDE", "_MANY", "_MANY_OTHERS"):
            monkeypatch.setattr(reading, limit, 1)
    if request.param == "clipped":
        monkeypatch.setattr(clipping, "_FEWEST_BYTES", 2)
        monkeypatch.setattr(clipping, "_FEWEST", 1)
        monkeypatch.setattr(vocabulary, "_STENCILS", 1)  # stencils are forgotten all the time


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize("seed", range(80))
def test_lifting_is_running_the_bytes(seed: int) -> None:
    rng = random.Random(seed)
    vocabulary = random_vocabulary(rng, b"abcx", 4, rng.choice([5, 40]))
    try:
        automaton = ByteAutomaton(RandomGrammars(seed).grammar(), max_states=5_000)
    except UnsatisfiableError:
        return
    check_all(TokenAutomaton(automaton, vocabulary), 15)


@pytest.mark.parametrize("seed", range(60))
def test_distances_are_exact(seed: int) -> None:
    rng = random.Random(seed)
    vocabulary = random_vocabulary(rng, b"abc", 4, 8)
    grammar = RandomGrammars(seed).grammar()
    try:
        tokens = TokenAutomaton(ByteAutomaton(grammar, max_states=50_000), vocabulary)
        expected = plain_distance(tokens, tokens.automaton.start)
        if expected is None:
            return
        shortest = tokens.shortest(tokens.automaton.start)
    except UnsatisfiableError:
        return
    except LimitError:
        assert expected is None
        return
    assert len(shortest) == expected == tokens.distance(tokens.automaton.start)
    data = b"".join(vocabulary.tokens[token] or b"" for token in shortest)
    assert Brute(grammar, data).accepts() and tokens.accepts(data)


# Up to nine words between spaces, here of a and b.
WORD = Repeat(text("a"), 1)
WORDS = Seq((Repeat(Seq((WORD, Repeat(text("b"), 1))), 0, 8), WORD))
BODIES = [
    Repeat(CHARACTER),
    Repeat(CHARACTER, 0, 40),
    Repeat(CHARACTER, 9),
    Repeat(CHARACTER, 12, 40),
    Repeat(CHARACTER, 2, 5),
    Repeat(CHARACTER, 0, 3),
    Repeat(Choice((text("a"), text("aab"), Seq((text("b"), QUOTE)))), 0, 4),  # counts are ambiguous
    Repeat(Choice((text("a"), text("ab"), text("b"))), 2, 6),
    Repeat(Choice((text("a"), text("aa"), text("aaa"))), 4, 9),
    Repeat(CHARACTER, 1, 60, b"b"),
    And((Repeat(CHARACTER, 0, 6), WORDS)),
    And((Repeat(CHARACTER, 0, 12), WORDS)),
    And((Repeat(CHARACTER, 3, 40), WORDS, Not(Seq((Repeat(CHARACTER), text("aba")))))),
    Repeat(Repeat(CHARACTER, 0, 2), 3, 30),
    Choice((Repeat(CHARACTER, 0, 30), Repeat(text("ab"), 0, 50))),
    And((Repeat(CHARACTER, 3, 30), Not(Seq((Repeat(CHARACTER), text("bb"), Repeat(CHARACTER)))))),
    Seq((Repeat(CHARACTER, 0, 20), Repeat(CHARACTER, 0, 30))),
    Seq((text("a"), QUOTE, Repeat(Choice((CHARACTER, QUOTE))))),  # the delimiter is not the end
]


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize("seed", range(36))
def test_a_lifted_head_serves_every_context(seed: int) -> None:
    """Strings in several contexts are lifted from the same head; each is compared in full."""
    rng = random.Random(seed)
    body = BODIES[seed % len(BODIES)]
    fields = tuple(Seq((text(key), quoted(body))) for key in ("a", "b", "ab"))
    value = Choice((Join(fields, (True, False, True)), Repeat(quoted(body), 1, 3, b",")))
    letters = 'aé"b\\n,'.encode()
    vocabulary = random_vocabulary(rng, letters, 5, rng.choice([30, 200]))
    check_all(TokenAutomaton(ByteAutomaton(Grammar(value)), vocabulary), 45)


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize("seed", range(24))
def test_heads_put_together_at_random(seed: int) -> None:
    rng = random.Random(seed)
    one, other = rng.choice(BODIES), rng.choice(BODIES)
    bounded = Repeat(CHARACTER, rng.randint(0, 3), rng.randint(3, 14))
    body = rng.choice(
        (And((one, bounded)), And((one, other)), Seq((one, other)), And((one, Not(other))))
    )
    fields = tuple(Seq((text(key), quoted(body))) for key in ("a", "b"))
    letters = 'aé"b\\n,'.encode()
    vocabulary = random_vocabulary(rng, letters, rng.choice([5, 9, 12]), rng.choice([30, 200]))
    try:
        automaton = ByteAutomaton(Grammar(Join(fields, (True, False))), max_states=20_000)
    except UnsatisfiableError:
        return
    check_all(TokenAutomaton(automaton, vocabulary), 15)


def test_how_many_characters_are_left_needs_no_stencil_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of pattern and length, nor how many words; here long words of one letter, spaces are b."""
    for limit in ("_WIDE_CLOSED", "_WIDE", "_MANY", "_MANY_OTHERS"):
        monkeypatch.setattr(reading, limit, 1)
    pattern = Seq((Repeat(Seq((WORD, Repeat(text("b"), 1))), 0, 90), WORD))
    vocabulary = Vocabulary([b"a" * n for n in range(1, 60)] + [b"b", b'"', b"ab", b"ba"])
    automaton = ByteAutomaton(Grammar(quoted(And((Repeat(CHARACTER, 0, 400), pattern)))))
    tokens = TokenAutomaton(automaton, vocabulary)
    state, cut = automaton.run(automaton.start, b'"ab'), []
    for _ in range(30):
        tokens.bits(state)
        cut.append(len(vocabulary.stencils))
        state = automaton.run(state, b"aab")
    assert cut[0] == cut[-1] == 1


@pytest.mark.usefixtures("width")
def test_counters_that_tokens_exhaust() -> None:
    """Tokens with more bytes and words than are left, that end inside, at and behind a text."""
    letters = ["a", "b"]
    spelled = ["".join(each) for n in range(1, 6) for each in product(letters, repeat=n)]
    spelled.append("ababababa")
    ends = ['"', '",', '","a']
    tokens = [*spelled, *(word + end for word in ("", *spelled) for end in ends)]
    vocabulary = Vocabulary([token.encode() for token in tokens])
    for most, words in ((4, 4), (8, 2), (6, 1), (9, 3), (10, 5)):
        body = Seq((Repeat(Seq((WORD, Repeat(text("b"), 1))), 0, words), WORD))
        field = quoted(And((Repeat(CHARACTER, 0, most), body)))
        automaton = ByteAutomaton(Grammar(Repeat(field, 1, 3, b",")))
        check_all(TokenAutomaton(automaton, vocabulary), 12)


def test_a_shared_head_is_lifted_once() -> None:
    field = quoted(Repeat(CHARACTER))
    grammar = Grammar(Seq((text("a"), field, text("b"), field, text("ab"))))
    vocabulary = random_vocabulary(random.Random(0), b'ab"\\n', 4, 100)
    tokens = TokenAutomaton(ByteAutomaton(grammar), vocabulary)
    first, second = (tokens.automaton.run(tokens.automaton.start, p) for p in (b'a"', b'a"a"b"'))
    tokens.lift(first)
    sets = len(tokens.token_sets)
    assert len(set(tokens.lift(first).sets.tolist()) & set(tokens.lift(second).sets.tolist())) > 1
    assert first != second and len(tokens.token_sets) < sets + len(tokens.lift(second).sets)


def test_distance_in_spite_of_counters_and_recursion() -> None:
    body = quoted(Repeat(CHARACTER, 0, 400))
    fields = tuple(Seq((text(key), body)) for key in ("a", "b", "n"))
    rules: dict[str, Node] = {
        "value": Choice((body, Seq((text("["), Repeat(Ref("value"), 1, None, b","), text("]")))))
    }
    grammar = Grammar(Seq((Join(fields, (True,) * 3), text("["), Ref("value"), text("]"))), rules)
    vocabulary = Vocabulary([bytes([byte]) for byte in b'ab"\\n,[]'] + [b'""', b'"],', b'","'])
    tokens = TokenAutomaton(ByteAutomaton(grammar), vocabulary)
    start = tokens.automaton.start
    assert tokens.distance(start) == 11
    spelled = b"".join(vocabulary.tokens[token] or b"" for token in tokens.shortest(start))
    assert spelled == b'a"",b"",n""[""]'


def test_no_tokens_spell_a_completion() -> None:
    tokens = TokenAutomaton(ByteAutomaton(Grammar(text("ab"))), Vocabulary([b"a"]))
    with pytest.raises(LimitError, match="spell"):
        tokens.distance(tokens.automaton.start)


def test_a_constraint_reads_from_left_to_right() -> None:
    vocabulary = Vocabulary([b'"', b"a", b'a"', b"b", None])
    constraint = Constraint(Grammar(quoted(Repeat(text("a"), 1, 3))), vocabulary)
    assert constraint.min_tokens == 2
    state: int | None = constraint.start()
    for token in (0, 1, 2):
        assert state is not None and constraint.mask(state)[token]
        state = constraint.next(state, token)
    assert state is not None and constraint.is_accepting(state)
    assert constraint.distance(state) == 0
    assert constraint.accepts('"aa"') and not constraint.accepts(b'"b"')
    assert constraint.next(constraint.start(), 3) is None
    assert constraint.next(constraint.start(), 99) is None
