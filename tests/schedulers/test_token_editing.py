"""Token editing, on a denoiser that corrects what it sees."""

import numpy as np
import pytest

import ctrlgen
from ctrlgen.schedulers import Threshold, TokenEditing
from ctrlgen.testing import ScriptedDenoiser


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
