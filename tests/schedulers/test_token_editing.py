"""Token editing, on a denoiser that corrects what it sees."""

import re

import numpy as np
import pytest

import ctrlgen
from ctrlgen.schedulers import Threshold, TokenEditing
from ctrlgen.testing import RandomDenoiser, ScriptedDenoiser


class Corrector(ScriptedDenoiser):
    """Sure of "a" in front while nothing else is there, and of "b" as soon as it sees that "a"."""

    def __init__(self) -> None:
        super().__init__(lambda rng, shape: np.zeros(shape))

    def leave_one_out(self, sequences, positions):
        raise AssertionError("tokens are edited in sight")

    def __call__(self, sequences, positions):
        self.calls += 1
        return [self.rows_of(ids, asked) for ids, asked in zip(sequences, positions, strict=True)]

    def rows_of(self, ids, asked):
        rows = np.zeros((len(asked), self.vocabulary.size))
        answer = [token for token in ids[1:] if token != self.mask_token_id]  # behind the prompt
        for row, position in zip(rows, asked, strict=True):
            if position == 1:
                row[ord("b" if answer else "a")] = 20.0
            else:
                row[ord("c") if position <= 4 else self.fill_token_id] = 1.0
        return rows


@pytest.mark.parametrize(
    ("scheduler", "text", "revised"), [(Threshold(), "accc", 0), (TokenEditing(), "bccc", 1)]
)
def test_a_token_is_edited_in_sight(scheduler, text, revised):
    model = ctrlgen.Model(Corrector())
    generator = ctrlgen.Generator(model, ctrlgen.regex("[a-c]{4}"), scheduler=scheduler)
    result = generator.generate("x")
    assert (result.text, result.usage.revised_tokens) == (text, revised)


class Sequel(Corrector):
    """Fills all of "aaa" at once, then turns one letter after the other into "b"."""

    def rows_of(self, ids, asked):
        rows = np.zeros((len(asked), self.vocabulary.size))
        letters = bytes(token for token in ids[1:] if token < 256)
        for row, position in zip(rows, asked, strict=True):
            done = letters.count(b"b")
            wanted = b"b" * (done + 1) + b"a" * 3 if letters else b"aaa"
            row[wanted[position - 1] if position <= 3 else self.fill_token_id] = 20.0
        return rows


@pytest.mark.parametrize(("post_steps", "text"), [(0, "aaa"), (1, "baa"), (2, "bba"), (16, "bbb")])
def test_editing_goes_on_behind_the_last_mask(post_steps, text):
    """Each look overwrites one token at once; the look that changes nothing is the last one."""
    model = ctrlgen.Model(Sequel())
    editing = TokenEditing(post_steps=post_steps)
    result = ctrlgen.Generator(model, ctrlgen.regex("[ab]{3}"), scheduler=editing).generate("x")
    assert (result.text, result.finish_reason) == (text, "stop")
    assert result.usage.revised_tokens == min(post_steps, 3)
    assert result.usage.forward_passes == 1 + min(post_steps, 4)
    open_ = [sum(cell.state == "open" for cell in event.cells) for event in result.trace]
    assert not any(open_)  # nothing is opened for a step: tokens are written over


def test_editing_ends_with_the_budget():
    editing = TokenEditing()
    generator = ctrlgen.Generator(
        ctrlgen.Model(Sequel()), ctrlgen.regex("[ab]{3}"), scheduler=editing
    )
    result = generator.generate("x", steps=3)
    assert (result.text, result.finish_reason, result.usage.forward_passes) == ("baa", "stop", 3)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_edited_the_answer_is_valid(seed):
    """The model contradicts itself in every look; tokens of a gap only fit together."""
    pattern = "(ab|ba)(cd|dc){1,3}|a{2,5}b"
    model = ctrlgen.Model(RandomDenoiser(seed, scale=6.0))
    editing = TokenEditing(threshold=0.5, edit=0.6)
    result = ctrlgen.Generator(model, ctrlgen.regex(pattern), scheduler=editing).generate("x")
    assert re.fullmatch(pattern, result.text)
    for event in result.trace:
        assert re.fullmatch(pattern, event.text)
