"""The tokens that a stack can read, byte by byte, without states in between.

A stack is a thread of a nondeterministic automaton (as in Pike's virtual machine). Where little
can be read, as everywhere between the values of JSON, following threads through the trie costs
microseconds; making the deterministic states would cost much more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf

from ctrlgen.constraints.heads import forced_byte
from ctrlgen.constraints.stacks import END, Stacks
from ctrlgen.constraints.terms import Word
from ctrlgen.constraints.trie import Trie

# A thread is followed byte by byte unless more bytes than these can come next, where a stencil is
# likely to serve others too, and otherwise; and more tokens than these lie below.
_WIDE_CLOSED, _WIDE = 12, 32
_MANY, _MANY_OTHERS = 8, 48
_FEW = 64  # children that are looked through, rather than looked up
_MOST = 2_000  # threads, before fewer bytes count as many


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the tokens end that a stack reads.

    Args:
        ends: Nodes of the trie, each with a stack and how many bytes of its top are read by then.
        wide: Nodes with a stack that can read much of what is below; that is not in `ends`.
    """

    ends: tuple[tuple[int, int, int], ...]
    wide: tuple[tuple[int, int], ...]


class Reader:
    """Follows the stacks of one automaton.

    Args:
        stacks: The stacks.
        trie: The vocabulary.
    """

    def __init__(self, stacks: Stacks, trie: Trie) -> None:
        self._stacks = stacks
        self._trie = trie
        self._readings: dict[int, Reading] = {}

    def read(self, stack: int) -> Reading:
        """What `stack` can read of the vocabulary."""
        reading = self._readings.get(stack)
        if reading is None:
            reading = self._readings[stack] = self.read_in(self._trie, stack)
        return reading

    def read_in(self, trie: Trie, stack: int) -> Reading:
        """What `stack` can read of another trie."""
        reading = self._follow(trie, stack, _WIDE, _MOST)
        reading = reading or self._follow(trie, stack, _WIDE_CLOSED, inf)
        assert reading is not None, "there is no limit the second time"
        return reading

    def _follow(self, trie: Trie, stack: int, wide_at: int, most: float) -> Reading | None:
        """Follows all threads; None if they are more than `most`."""
        ends: list[tuple[int, int, int]] = []
        wide: list[tuple[int, int]] = []
        queue, seen = [(0, stack)], {(0, stack)}
        while queue:
            node, stack = queue.pop()
            if stack == END:
                continue
            word = self._stacks.terms.shapes[self._stacks.top[stack]]
            if isinstance(word, Word):
                found = self._read_word(trie, node, stack, word.data, ends)
            elif self._is_wide(trie, node, stack, wide_at):
                wide.append((node, stack))
                continue
            else:
                found = self._read_byte(trie, node, stack)
                ends += [(child, after, 0) for child, after in found if trie.has_tokens(child)]
            # The arcs of what only ends here would be made for nothing.
            fresh = [t for t in found if t not in seen and trie.n_children(t[0])]
            seen.update(fresh)
            queue += fresh
            if len(seen) > most:
                return None
        return Reading(tuple(dict.fromkeys(ends)), tuple(wide))

    def _read_word(
        self, trie: Trie, node: int, stack: int, data: bytes, ends: list[tuple[int, int, int]]
    ) -> list[tuple[int, int]]:
        """Follows a literal; the thread behind it, if any token reaches that far."""
        for offset, byte in enumerate(data, 1):
            node = trie.child(node, byte)
            if node < 0:
                return []
            if trie.has_tokens(node):
                ends.append((node, stack, offset))
        return [(node, self._behind(stack))]

    def _behind(self, stack: int) -> int:
        return self._stacks.push((), self._stacks.rest[stack])

    def _is_wide(self, trie: Trie, node: int, stack: int, wide_at: int) -> bool:
        if trie.n_below(node) <= (_MANY if trie is self._trie else _MANY_OTHERS):
            return False
        union = self._stacks.first_bytes(stack)
        closed = forced_byte(self._stacks, self._stacks.rest[stack]) is not None
        return union.bit_count() > (_WIDE_CLOSED if closed else wide_at)

    def _read_byte(self, trie: Trie, node: int, stack: int) -> list[tuple[int, int]]:
        found = []
        n_children = trie.n_children(node)
        children = trie.children(node) if n_children <= _FEW else []
        for members, after in self._stacks.arcs(stack):
            if n_children <= _FEW and n_children <= members.bit_count():
                found += [(child, after) for byte, child in children if members >> byte & 1]
                continue
            for byte in bytes_of(members):
                child = trie.child(node, byte)
                if child >= 0:
                    found.append((child, after))
        return found

    def after(self, stacks: frozenset[int], data: bytes) -> frozenset[int]:
        """The stacks that are left when `data` is read from one of `stacks`."""
        found: set[int] = set()
        threads = [(0, stack) for stack in stacks]
        seen = set(threads)
        while threads:
            begin, stack = threads.pop()
            if begin == len(data):
                found.add(stack)
                continue
            if stack == END:
                continue
            for thread in self._step(stack, data, begin):
                if thread not in seen:
                    seen.add(thread)
                    threads.append(thread)
        return frozenset(found)

    def _step(self, stack: int, data: bytes, begin: int) -> list[tuple[int, int]]:
        """Reads one literal, or one byte, of `data` from `begin` on."""
        word = self._stacks.terms.shapes[self._stacks.top[stack]]
        if not isinstance(word, Word):
            return [(begin + 1, after) for after in self._stacks.after(stack, data[begin])]
        if word.data[0] != data[begin]:  # as with most keys of an object
            return []
        length = min(len(word.data), len(data) - begin)
        if not data.startswith(word.data[:length], begin):
            return []
        return [(begin + length, self.resolve(stack, length))]

    def resolve(self, stack: int, offset: int) -> int:
        """The stack after `offset` bytes of the literal on top of `stack`."""
        if not offset:
            return stack
        terms = self._stacks.terms
        word = terms.shapes[self._stacks.top[stack]]
        assert isinstance(word, Word)
        if offset == len(word.data):
            return self._behind(stack)
        return self._stacks.push((terms.word(word.data[offset:]),), self._stacks.rest[stack])


@lru_cache(maxsize=4096)
def bytes_of(members: int) -> bytes:
    """The bytes in a 256-bit set."""
    return bytes(byte for byte in range(256) if members >> byte & 1)
