"""Decimals that a number divides, and those that it does not, as digit automata."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache

from ctrlgen.constraints.json_text import DIGIT, LEADING, MINUS, POINT, all_of, any_of, one_of
from ctrlgen.constraints.nodes import (
    EMPTY,
    NOTHING,
    Bytes,
    Choice,
    Node,
    Repeat,
    Seq,
    optional,
    text,
)
from ctrlgen.errors import LimitError

MAX_MODULUS = 1000


@lru_cache(maxsize=64)
def multiples(modulus: int, places: int, width: int, divides: bool) -> Node:
    """Decimals with up to `places` fraction digits; scaled by 10^places, `modulus` divides them.

    Or does not, if `divides` is false.

    The remainder so far is the state; it is unrolled over `width` digits, so the graph has no
    cycle and may stand in an intersection.
    """
    zeros = 0
    while divides and places == 0 and modulus % 10 == 0:  # digits that only say 'and so many zeros'
        modulus, zeros = modulus // 10, zeros + 1
    if modulus > MAX_MODULUS:
        raise LimitError(
            f"multipleOf needs a remainder automaton of {modulus} states",
            hint=f"at most {MAX_MODULUS} are supported, powers of ten apart",
        )

    @cache
    def fraction(left: int, remainder: int) -> Node:
        """Up to `left` more fraction digits; digits left out are zeros."""
        stop = [EMPTY] if (remainder * 10**left % modulus == 0) == divides else []
        return any_of([*stop, *(_steps(fraction, left, remainder, modulus) if left else ())])

    @cache
    def ending(remainder: int) -> Node:
        fits = (remainder * 10**places % modulus == 0) == divides
        stop: list[Node] = [EMPTY] if fits else []
        digits = any_of(list(_steps(fraction, places, remainder, modulus))) if places else NOTHING
        return any_of([*stop, *([] if digits is NOTHING else [Seq((POINT, digits))])])

    @cache
    def whole(left: int, remainder: int) -> Node:
        """Up to `left` more integer digits."""
        more = _steps(whole, left, remainder, modulus) if left else ()
        return any_of([ending(remainder), *more])

    nonzero = any_of(list(_steps(whole, max(1, width - zeros), 0, modulus, "123456789")))
    below_one = Seq((Bytes(b"0"), ending(0)))
    if places:
        # "-0" and "-0.00" are spelled without the sign
        signed = Seq((MINUS, Choice((nonzero, Seq((Bytes(b"0"), _positive(fraction, places)))))))
        return Choice((below_one, nonzero, signed))
    return Choice((below_one, Seq((optional(MINUS), nonzero, text("0" * zeros)))))


def _steps(
    after: Callable[[int, int], Node],
    left: int,
    remainder: int,
    modulus: int,
    digits: str = "0123456789",
) -> list[Node]:
    """One digit, then what `after` allows; digits that lead to the same remainder are one step."""
    targets: dict[int, str] = {}
    for digit in digits:
        target = (remainder * 10 + int(digit)) % modulus
        targets[target] = targets.get(target, "") + digit
    rests = [(group, after(left - 1, target)) for target, group in targets.items()]
    return [Seq((one_of(group), rest)) for group, rest in rests if rest is not NOTHING]


def _positive(fraction: Callable[[int, int], Node], places: int) -> Node:
    """A fraction part, in a multiple below one, that has a digit other than zero."""
    digits = fraction(places, 0)
    some = Seq((Repeat(Bytes(b"0")), LEADING, Repeat(DIGIT)))
    return Seq((POINT, all_of([digits, some])))
