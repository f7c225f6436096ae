"""GBNF (llama.cpp's grammars) and the W3C's EBNF as grammar nodes.

The reader writes context-free rules, as lark does for its own grammars, and left recursion is
removed in the same place. What holds no reference becomes one regular node.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import chain, groupby

from ..errors import GrammarError, LimitError, UnsatisfiableError
from .build import concat, copies, union
from .ebnf_scanner import Scanner, Syntax, Token
from .grammar_text import require_text
from .left_recursion import Rules, Symbol, Word
from .nodes import NOTHING, Bytes, Grammar, Node
from .utf8 import utf8_class

MAX_COPIES = 1_000

_QUANTIFIERS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def lower_ebnf(text: str, *, start: str = "", syntax: Syntax = "gbnf") -> Grammar:
    """The grammar that `text` describes.

    Args:
        text: Rules `name ::= ...`.
        start: The rule to begin with; when not given `root`, or else the first one.
        syntax: The notation, see `ebnf_scanner`.

    Raises:
        GrammarError: The grammar is invalid; with line and column.
        UnsatisfiableError: The first rule has no finite word.
        LimitError: The grammar is too large.
    """
    require_text(text)
    reader = _Reader(Scanner(text, syntax))
    try:
        reader.read()
        start = reader.start(start)
        rules = Rules(reader.productions)
    except RecursionError as error:
        raise LimitError("the grammar nests its groups too deeply") from error
    root = rules.all_words(start)
    if root is NOTHING:
        raise UnsatisfiableError(f"the rule {start!r} has no finite word")
    return Grammar(root, rules.nodes)


class _Reader:
    """Reads rules by recursive descent.

    Attributes:
        productions: The alternatives of each rule; names with a colon are those of groups.
    """

    def __init__(self, scanner: Scanner) -> None:
        self.productions: dict[str, list[Word]] = {}
        self._scanner = scanner
        self._tokens = list(scanner.tokens())
        self._at = 0
        self._rule = ""
        self._asked: dict[str, Token] = {}
        # Equal literals are one node, so that common beginnings are recognised as such.
        self._literal = cache(Bytes)

    def read(self) -> None:
        """All rules.

        Raises:
            GrammarError: Something else stands there, or a rule is missing or defined twice.
        """
        while self._token.kind != "end":
            name = self._take("name", "the name of a rule")
            self._take("define", "::= after the name of the rule")
            if name.text in self.productions:
                problem = f"the rule {name.text!r} is defined twice"
                raise self._scanner.error(problem, name.position)
            self._rule = name.text
            self.productions[name.text] = []  # rules keep their order
            self.productions[name.text] = self._alternatives()
        for asked in self._asked.values():
            if asked.text not in self.productions:
                problem = f"the rule {asked.text!r} is not defined"
                raise self._scanner.error(problem, asked.position)

    def start(self, wanted: str) -> str:
        """The rule to begin with.

        Raises:
            GrammarError: There is no such rule.
        """
        if not self.productions:
            raise GrammarError("the grammar has no rules", hint='root ::= "yes" | "no"')
        name = wanted or ("root" if "root" in self.productions else next(iter(self.productions)))
        if name not in self.productions:
            raise GrammarError(f"the rule {name!r} to start with is not defined")
        return name

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _take(self, kind: str, wanted: str) -> Token:
        token = self._token
        if token.kind != kind:
            found = repr(token.text) if token.text else "the end"
            raise self._scanner.error(f"expected {wanted}, not {found}", token.position)
        self._at += 1
        return token

    def _takes(self, mark: str) -> bool:
        if self._token.kind != "mark" or self._token.text != mark:
            return False
        self._at += 1
        return True

    def _alternatives(self) -> list[Word]:
        words = [self._word()]
        while self._takes("|"):
            words.append(self._word())
        return list(dict.fromkeys(words))

    def _word(self) -> Word:
        parts: list[Word] = []
        while True:
            token = self._token
            begins_rule = token.kind == "name" and self._tokens[self._at + 1].kind == "define"
            if begins_rule or token.kind == "end" or (token.kind, token.text[0]) in _ENDS:
                return tuple(self._joined(chain.from_iterable(parts)))
            parts.append(self._quantified(self._item()))

    def _joined(self, symbols: Iterable[Symbol]) -> Iterable[Symbol]:
        """Neighbouring literals as one."""
        for literal, group in groupby(symbols, lambda each: isinstance(each, Bytes)):
            if literal:
                yield self._literal(
                    b"".join(each.data for each in group if isinstance(each, Bytes))
                )
            else:
                yield from group

    def _item(self) -> Word:
        token = self._token
        self._at += 1
        match token.kind:
            case "text":
                literal = self._scanner.literal(token)
                return (self._literal(literal.encode()),) if literal else ()
            case "class" | "point":
                return self._one_of(token)
            case "name":
                self._asked.setdefault(token.text, token)
                return (token.text,)
            case "mark" if token.text == ".":
                return self._one_of(token)
            case "mark" if token.text == "(":
                words = self._alternatives()
                if not self._takes(")"):
                    problem = "the group that begins here is not closed"
                    raise self._scanner.error(problem, token.position)
                return self._any_of(words)
        raise self._scanner.error(f"unexpected {token.text!r}", token.position)

    def _one_of(self, token: Token) -> Word:
        return (utf8_class(self._scanner.characters(token)),)

    def _quantified(self, word: Word) -> Word:
        while self._token.text in _QUANTIFIERS or self._token.kind == "count":
            token = self._token
            self._at += 1
            least, most = _QUANTIFIERS.get(token.text) or self._count(token)
            word = self._repeated(word, least, most, token)
        return word

    def _count(self, token: Token) -> tuple[int, int | None]:
        least, comma, most = token.text.strip("{}").replace(" ", "").partition(",")
        if not least and not most:
            raise self._scanner.error("a repetition without a number", token.position)
        low = int(least or 0)
        high = (int(most) if most else None) if comma else low
        if high is not None and high < low:
            problem = f"at least {low}, but at most {high} copies"
            raise self._scanner.error(problem, token.position)
        return low, high

    def _repeated(self, word: Word, least: int, most: int | None, token: Token) -> Word:
        if not word or most == 0:
            return ()
        if all(isinstance(symbol, Node) for symbol in word):
            node = concat(symbol for symbol in word if isinstance(symbol, Node))
            some = (copies(node, max(least, 1), most),)
            return some if least else self._any_of([(), some])
        if max(least, most or 0) > MAX_COPIES:
            raise LimitError(
                f"{token.text} of what refers to rules; {MAX_COPIES} copies are allowed there",
                hint="leave out the bound, or repeat text and classes only",
            )
        item = self._any_of([word])
        return item * least + (self._any_number(item) if most is None else
                               self._at_most(item, most - least))  # fmt: skip

    def _any_number(self, item: Word) -> Word:
        name = self._new_rule()
        self.productions[name] = [(), (name, *item)]
        return (name,)

    def _at_most(self, item: Word, most: int) -> Word:
        rest: Word = ()
        for _ in range(most):
            name = self._new_rule()
            self.productions[name] = [(), (*item, *rest)]
            rest = (name,)
        return rest

    def _any_of(self, words: list[Word]) -> Word:
        """One symbol, or none, for these alternatives."""
        words = list(dict.fromkeys(words))
        if len(words) == 1 and len(words[0]) < 2:
            return words[0]
        plain = [concat(each for each in word if isinstance(each, Node)) for word in words]
        if all(word and all(isinstance(each, Node) for each in word) for word in words):
            return (union(plain),)
        name = self._new_rule()
        self.productions[name] = words
        return (name,)

    def _new_rule(self) -> str:
        name = f"{self._rule}:{len(self.productions)}"
        self.productions[name] = []
        return name


_ENDS = frozenset((("mark", "|"), ("mark", ")")))
