"""What committed tokens leave of a gap's graph; test_posterior.py checks what is computed on it."""

import gc

import numpy as np

import ctrlgen
from ctrlgen.constraints.atoms import Ints
from ctrlgen.constraints.gap import GapGraph, Slack, reachable
from ctrlgen.constraints.posterior import Posterior
from ctrlgen.testing import ScriptedDenoiser

DENOISER = ScriptedDenoiser(lambda rng, shape: rng.normal(size=shape))
FILL = DENOISER.fill_token_id


def graph_of(pattern: str, length: int) -> GapGraph:
    constraint = ctrlgen.compile(ctrlgen.regex(pattern), DENOISER.vocabulary)
    states = reachable(constraint.tokens, constraint.start(), length, 500)
    assert states is not None
    return GapGraph(constraint.tokens, states, length, Slack(FILL))


def tokens(text: str) -> Ints:
    """Bytes are tokens here; `?` is open, `.` is fill."""
    known = {ord("?"): -1, ord("."): FILL}
    return np.array([known.get(byte, byte) for byte in text.encode()])


def test_only_open_positions_are_layers() -> None:
    trellis = graph_of("[X-Z]{4}-[X-Z]{2}-[X-Z]{2}", 10).trellis(tokens("XY??-Z?-XX"))
    assert trellis.open.tolist() == [2, 3, 6]
    assert trellis.widths == [1, 1, 1, 1]  # one way through
    assert [layer.by_target[:2].tolist() for layer in trellis.layers] == [[[0], [0]]] * 3
    assert trellis.ends.tolist() == [0.0]


def test_committed_runs_are_contracted_from_both_sides() -> None:
    """Of a node's arcs, those stay that lead through the committed tokens behind it."""
    graph = graph_of("ab?c|ad", 4)
    assert graph.trellis(tokens("a???")).layers[0].by_target.shape == (3, 3)  # b, c and d
    (layer,) = graph.trellis(tokens("a?c.")).layers
    assert layer.by_target[:2].tolist() == [[0], [0]]  # b: behind c and d stands no c


def test_layers_that_are_alike_are_the_same() -> None:
    graph = graph_of("[a-z]*", 9)
    whole, begun = graph.untouched, graph.trellis(tokens("a???b????"))
    assert len(set(map(id, whole.layers))) < 4
    assert any(layer in whole.layers for layer in begun.layers)


def test_nothing_open_and_nothing_possible() -> None:
    graph = graph_of("ab", 3)
    for text, expected in (("ab.", True), ("a..", False), ("b??", False), ("a?b", False)):
        rows = np.zeros((3, DENOISER.vocabulary.size))
        assert Posterior(graph, rows, tokens(text)).feasible == expected, text


def test_a_trellis_is_shared_as_long_as_somebody_holds_it() -> None:
    graph, committed = graph_of("[a-z]*", 5), tokens("a????")
    held = graph.trellis(committed)
    assert graph.trellis(committed.copy()) is held
    assert graph.trellis(tokens("b????")) is not held
    assert graph.trellis(tokens("?????")) is graph.untouched
    del held
    gc.collect()
    assert list(graph._trellises.values()) == [graph.untouched]
