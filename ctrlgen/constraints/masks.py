"""Which tokens may come next, as packed bits, without the states that they lead to.

The mask of a state is the union of those of its stacks, and a stack is read in two ways: thin parts
thread by thread (`reading.py`), wide ones from *stencils*, the masks of heads, which all automata
of a vocabulary share.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property
from math import inf

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.clipping import Clipping
from ctrlgen.constraints.cutting import cut
from ctrlgen.constraints.heads import Head, Keys, forced_byte, head_of, uncounted
from ctrlgen.constraints.reading import Reader
from ctrlgen.constraints.stacks import END
from ctrlgen.constraints.stencils import Stencil, add, without
from ctrlgen.constraints.terms import Letter, Loop, Outside, Pair
from ctrlgen.constraints.trie import Trie
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.constraints.walk import Walk, tokens_of

Words = npt.NDArray[np.uint32]
Ints = npt.NDArray[np.int32]

_KEPT = 512  # masks kept per automaton, of a bit per token each
_MANY = 40  # tokens for which numpy is worth its start


class Part:
    """What one stack contributes to a mask.

    Args:
        n_words: Length of a mask.
        masks: Some masks.
        tokens: Tokens beside them.
        cuts: Other parts, each without some tokens: where a mask of its own would be too large.
    """

    def __init__(
        self,
        n_words: int,
        masks: Sequence[Words],
        tokens: Iterable[int],
        cuts: Sequence[tuple[Part, Ints]] = (),
    ) -> None:
        self._n_words = n_words
        self.masks = masks
        self.tokens = tuple(tokens)
        self.cuts = cuts

    @cached_property
    def bits(self) -> Words:
        """The mask of this part alone."""
        return union([self], self._n_words)


def union(parts: Sequence[Part], n_words: int) -> Words:
    """The tokens of any of `parts`, read-only."""
    masks = list({id(mask): mask for part in parts for mask in part.masks}.values())
    words = masks[0].copy() if masks else np.zeros(n_words, np.uint32)
    for mask in masks[1:]:
        words |= mask
    for whole, tokens_out in [each for part in parts for each in part.cuts]:
        words |= without(union([whole], n_words), tokens_out)
    tokens = [token for part in parts for token in part.tokens]
    if len(tokens) > _MANY:
        add(words, np.asarray(tokens, np.int32))
    else:
        view = words.data
        for token in tokens:
            view[token >> 5] |= 1 << (token & 31)
    words.flags.writeable = False
    return words


class Masks:
    """The masks of the states of one automaton.

    Args:
        automaton: The language.
        vocabulary: The tokens.
        reader: Reads the stacks of the automaton.

    Attributes:
        keys: Names of heads.
    """

    def __init__(self, automaton: ByteAutomaton, vocabulary: Vocabulary, reader: Reader) -> None:
        self.keys = Keys(automaton.stacks, automaton, vocabulary.keys)
        self._automaton = automaton
        self._vocabulary = vocabulary
        self._reader = reader
        self._clipping = Clipping(automaton)
        self._uncountable: set[tuple[int, ...]] = set()
        self._own: dict[Hashable, Stencil] = {}
        self._parts: dict[int, Part] = {}
        self._wide: dict[tuple[Stencil, int, float, float], Part] = {}
        self._exits: dict[tuple[Stencil, int], Ints] = {}
        self._ended: dict[tuple[int, bytes], bool] = {}
        self._bits: OrderedDict[int, Words] = OrderedDict()

    def bits(self, state: int) -> Words:
        """The mask of `state`, token t in bit t % 32 of word t // 32, read-only."""
        words = self._bits.get(state)
        if words is None:
            parts = [self._part(stack) for stack in self._automaton.stacks_of(state)]
            words = parts[0].bits if len(parts) == 1 else union(parts, self._vocabulary.n_words)
            self._bits[state] = words
            if len(self._bits) > _KEPT:
                self._bits.popitem(last=False)
        return words

    def _part(self, stack: int) -> Part:
        part = self._parts.get(stack)
        if part is None:
            part = self._parts[stack] = self._read(stack)
        return part

    def _read(self, stack: int) -> Part:
        reading = self._reader.read(stack)
        wide = [self._read_wide(node, below) for node, below in reading.wide]
        if len(wide) == 1 and not reading.ends:
            return wide[0]
        trie = self._vocabulary.trie
        nodes = dict.fromkeys(node for node, _, _ in reading.ends)
        tokens = [token for node in nodes for token in trie.tokens_at(node)]
        tokens += [token for part in wide for token in part.tokens]
        masks = [mask for part in wide for mask in part.masks]
        cuts = [each for part in wide for each in part.cuts]
        return Part(self._vocabulary.n_words, masks, tokens, cuts)

    def _read_wide(self, node: int, stack: int) -> Part:
        """What `stack` reads below `node`; the same for all bounds that no token can tell apart."""
        stacks = self._automaton.stacks
        top = stacks.terms.shapes[stacks.top[stack]]
        if isinstance(top, Outside) and self._is_endless(top):
            return self._read_outside(node, stack, top)
        head = head_of(stacks, stack, self._vocabulary.max_token_bytes)
        if head.terms not in self._uncountable:
            head = self._clipping.counted(head)
        part = self._read_lifted(node, head) or self._read_head(node, head)
        if part is None:
            exact = uncounted(stacks, stack, head)
            self._uncountable.add(exact.terms)
            part = self._read_stencil(self._stencil(node, exact), exact)
        return part

    def _read_lifted(self, node: int, head: Head) -> Part | None:
        """What a head reads, from the one without bounds; None if many tokens depend on these."""
        lifted, copies = self._clipping.lifted(head)
        if copies == inf:
            return None
        stencil = self._stencil(node, lifted)
        greedy = None if stencil.ambiguous else stencil.greedy(copies)
        if greedy is None:
            return None
        part = self._read_stencil(stencil, lifted)
        if not len(greedy):
            return part
        few = self._few(stencil, node, greedy, self._clipping.lowered(head, copies))
        if few.reads_as(stencil, greedy):
            return part
        few = self._few(stencil, node, greedy, head)
        if few.ambiguous:
            return None
        own = self._read_stencil(few, head)
        cuts = [(part, greedy), *own.cuts]
        return Part(self._vocabulary.n_words, own.masks, own.tokens, cuts)

    def _few(self, lifted: Stencil, node: int, tokens: Ints, head: Head) -> Stencil:
        """The stencil of a head for some tokens below `node` alone."""
        place = lifted, len(tokens), head.terms
        if place not in self._own:
            depth = self._vocabulary.trie.depth_of(node)
            spelled = (self._vocabulary.tokens[token] or b"" for token in tokens.tolist())
            trie = Trie([token[depth:] for token in spelled], tokens)
            self._own[place] = self._cut(head, trie)
        return self._own[place]

    def _read_head(self, node: int, head: Head) -> Part | None:
        """What a head reads; None if its copies cannot be counted."""
        stencil = self._stencil(node, head)
        if stencil.ambiguous and (head.item is not None or (head.copies and head.copies[0])):
            return None
        return self._read_stencil(stencil, head)

    def _read_stencil(self, stencil: Stencil, head: Head) -> Part:
        least, most = stencil.clip(head.copies)
        place = stencil, head.sealed, least, most
        if place not in self._wide:
            rows = self._exits_of(stencil, head.sealed)
            tokens = stencil.leaving(rows, least, most).tolist()
            masks = [] if stencil.is_small else [stencil.words(least, most)]
            if stencil.is_small:
                tokens += stencil.inside(most).tolist() + stencil.closing(least, most).tolist()
            self._wide[place] = Part(self._vocabulary.n_words, masks, tokens)
        return self._wide[place]

    def _is_endless(self, outside: Outside) -> bool:
        """Whether every text that begins a word has other ends, and no word begins another text."""
        stacks = self._automaton.stacks
        item = stacks.terms.shapes[outside.item]
        loop = stacks.terms.shapes[item.first] if isinstance(item, Pair) else None
        if (
            not isinstance(loop, Loop)
            or loop.most is not None
            or not stacks.terms.minimum[loop.item]
        ):
            return False
        return all(self._ends_with(outside.item, word) for word in outside.words)

    def _ends_with(self, item: int, word: bytes) -> bool:
        """Whether nothing can follow `word` in the term `item`."""
        if (item, word) not in self._ended:
            stacks = self._automaton.stacks
            after = self._reader.after(frozenset((stacks.push((item,), END),)), word)
            self._ended[item, word] = after <= {END}
        return self._ended[item, word]

    def _read_outside(self, node: int, stack: int, outside: Outside) -> Part:
        """What is left of the mask without the words: only tokens that hold a whole one are not."""
        stacks, trie = self._automaton.stacks, self._vocabulary.trie
        part = self._read_wide(node, stacks.push((outside.item,), stacks.rest[stack]))
        nodes = [trie.descend(node, word) for word in outside.words]
        holding = [trie.tokens_below(each) for each in nodes if each >= 0 and trie.n_below(each)]
        if not holding:
            return part
        return Part(self._vocabulary.n_words, (), (), [(part, np.concatenate(holding))])

    def _stencil(self, node: int, head: Head) -> Stencil:
        stacks = self._automaton.stacks
        items = head.lifted if head.item is None else (head.item, *head.lifted)
        terms = self.keys.of_terms(head.terms)
        keys = None if terms is None else self.keys.of_terms(items)
        delimiter = None if head.sealed == END else forced_byte(stacks, head.sealed)
        counts = head.copies is None, head.item is None
        place = (
            node,
            delimiter,
            *counts,
            *((terms, keys) if keys is not None else (head.terms, items)),
        )
        stencil = self._own.get(place) if keys is None else self._vocabulary.stencils.get(place)
        if stencil is None:
            stencil = self._cut(head, self._vocabulary.trie, node)
            if keys is None:
                self._own[place] = stencil
            else:
                self._vocabulary.keep(place, stencil)
        return stencil

    def _cut(self, head: Head, trie: Trie, node: int = 0) -> Stencil:
        state = self._automaton.state_of_stacks(frozenset((self._alone(head),)))
        return cut(self._automaton, self._vocabulary, head, state, trie, node)

    def _alone(self, head: Head) -> int:
        """The stack of a head and its delimiter, with nothing after that."""
        stacks = self._automaton.stacks
        bottom = END
        if head.sealed != END:
            byte, _ = stacks.arcs(head.sealed)[0]
            bottom = stacks.push((stacks.terms.intern(Letter(byte)),), END)
        return stacks.push(head.terms, bottom)

    def _exits_of(self, stencil: Stencil, sealed: int) -> Ints:
        """The exits of `stencil` that can be read behind the delimiter of `sealed`."""
        place = stencil, sealed
        if place not in self._exits:
            _, tail = self._automaton.stacks.arcs(sealed)[0] if sealed != END else (0, END)
            self._exits[place] = self._read_all(stencil.exits, tail)
        return self._exits[place]

    def _read_all(self, trie: Trie, stack: int) -> Ints:
        """All tokens of `trie` that `stack` can read."""
        reading = self._reader.read_in(trie, stack)
        nodes = dict.fromkeys(node for node, _, _ in reading.ends)
        found = [np.asarray([t for node in nodes for t in trie.tokens_at(node)], np.int32)]
        for node, wide in reading.wide:
            state = self._automaton.state_of_stacks(frozenset((wide,)))
            found.append(tokens_of(trie, Walk(self._automaton, trie)(state, node).nodes))
        return np.concatenate(found)
