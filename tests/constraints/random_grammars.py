"""Random Lark grammars: rules of groups, repetitions, templates, terminals of every kind."""

from __future__ import annotations

import random

# Patterns whose alternatives begin with one another are left out: see docs/grammars.md.
TERMINALS = [
    '"a"', '"b"', '"ab"', '"c"i', '"a".."c"', "/[ab]+/", "/a+?/", r"/\d{1,2}/", "/(?i:q)z?/",
    "INT", "CNAME", "ESCAPED_STRING", "A", "B", "C",
]  # fmt: skip
RULES = ["start", "one", "two", "_three"]
_HEAD = "%import common (INT, CNAME, ESCAPED_STRING)\n_list{x, s}: x (s x)*\n"


class RandomGrammars:
    """Draws grammars from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def grammar(self) -> str:
        """The text of a grammar; it may have no word."""
        choose = self.random.choice
        priority, a = choose(["", ".2", ".-1"]), choose(['"aa"', "/a*b/", '"x" "y"?', 'B+ | "z"'])
        b, c = choose(['"b"', "/[b-d]/", '"b"i']), choose(["A B", "(A|B)~1..2", "/c./"])
        text = f"{_HEAD}A{priority}: {a}\nB: {b}\nC: {c}\n"
        for name in RULES:
            inlined = name in ("one", "two") and self.random.random() < 0.3
            ways = [self.sequence(2) for _ in range(choose([1, 2, 2, 3]))]
            text += f"{'?' * inlined}{name}: {' | '.join(ways)}\n"
        text += choose(["", '%ignore " "\n', "%ignore /#[^\\n]*/\n"])
        return text

    def sequence(self, depth: int) -> str:
        """Some expressions; the empty word too."""
        count = self.random.choice([0, 1, 1, 2, 2, 3])
        return " ".join(self.expression(depth) for _ in range(count))

    def alternatives(self, depth: int) -> str:
        """What stands between brackets."""
        ways = [self.sequence(depth) for _ in range(self.random.choice([1, 1, 2, 3]))]
        return " | ".join(way or self.random.choice(TERMINALS) for way in ways)

    def expression(self, depth: int) -> str:
        choose = self.random.choice
        symbol = choose(TERMINALS if self.random.random() < 0.6 else RULES)
        kind = choose(["plain"] * 5 + ["group", "maybe", "repeat", "template"] if depth else [""])
        if kind == "group":
            return f"({self.alternatives(depth - 1)}){choose(['', '?', '*', '+', '~2', '~1..2'])}"
        if kind == "maybe":
            return f"[{self.alternatives(depth - 1)}]"
        if kind == "repeat":
            return choose(TERMINALS) + choose(["?", "*", "+", "~2", "~0..2"])
        if kind == "template":
            separator = choose(['","', '";"'])
            return f"_list{{{choose(RULES)}, {separator}}}"
        return symbol
