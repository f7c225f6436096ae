"""Constraints as railroad diagrams: what is drawn, what is left out, and that it says so."""

from __future__ import annotations

import random
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import ctrlgen
from ctrlgen import spec
from ctrlgen.cli import app
from ctrlgen.constraints import lower
from ctrlgen.constraints.charset import complement, escape_class, normalise
from ctrlgen.constraints.nodes import EMPTY, Bytes, ByteSet, Choice, Grammar, Repeat, Seq
from ctrlgen.constraints.utf8 import utf8_class
from ctrlgen.errors import SpecError
from ctrlgen.pictures import draw
from ctrlgen.pictures.characters import characters, letter_of_any_case, spelled

ROOT = Path(__file__).parents[1]
CATALOGUE = sorted(p for p in (ROOT / "schemas").glob("*.*") if p.suffix != ".md")


def drawn(of: Any, boxes: int = 300) -> tuple[list[str], bool]:
    """The texts of a drawing in order, and whether it is cut."""
    pytest.importorskip("railroad")
    picture = draw(lower(spec.to_spec(of)), "title", boxes)
    return [node.text or "" for node in ET.fromstring(picture.svg).iter() if _is_text(node)], (
        picture.cut
    )


def _is_text(node: ET.Element) -> bool:
    return node.tag == "{http://www.w3.org/2000/svg}text"


@pytest.mark.parametrize("seed", range(40))
def test_classes_are_read_back(seed: int) -> None:
    rng = random.Random(seed)
    tops = rng.choice([0x7F, 0x7FF, 0xFFFF, 0x10FFFF])
    ends = sorted(rng.sample(range(tops), 2 * rng.randint(1, 5)))
    ranges = normalise(zip(ends[::2], ends[1::2], strict=True))
    if ranges:
        assert characters(utf8_class(ranges)) in (ranges, None if len(ranges) == 1 else ranges)
    # The large classes of regular expressions, and their complements.
    letter = rng.choice("dswDSW")
    whole = escape_class(letter, ascii_only=False)
    assert characters(utf8_class(whole)) == whole
    assert spelled(whole) == f"\\{letter}"


@pytest.mark.parametrize(
    "node",
    [EMPTY, Bytes(b"ab"), Repeat(ByteSet(2)), Choice(()), Seq((Bytes(b"a"), ByteSet(6))),
     ByteSet(1 << 0x80), Bytes(b"\xc3"), Choice((Bytes(b"a"), Bytes(b"bc")))],
)  # fmt: skip
def test_what_is_no_single_character_is_no_class(node: Any) -> None:
    assert characters(node) is None


def test_shared_parts_are_not_read_without_end() -> None:
    node: Any = ByteSet(6)
    for _ in range(200):  # 2 to the power of 200 ways to go down
        node = Choice((node, node))
    assert characters(node) is None
    for _ in range(200):
        node = Seq((node, node))
    assert characters(node) is None
    pytest.importorskip("railroad")
    letter = ByteSet(1 << ord("a") | 1 << ord("A"))
    ways = ((ByteSet(6), Choice), (Bytes(b"ab"), Seq), (Repeat(ByteSet(6)), Seq), (letter, Seq))
    for leaf, join in ways:
        node = leaf
        for _ in range(200):
            node = join((node, node))
        assert len(draw(Grammar(node), "title").svg) < 1_000_000


def test_classes_as_people_write_them() -> None:
    assert spelled(((48, 57),)) == r"\d"  # ASCII's
    assert spelled(((65, 90), (95, 95))) == "[A-Z_]"
    assert spelled(complement(((10, 10), (39, 39)))) == "any but \\n'"
    assert spelled(complement(())) == "any character"
    assert spelled(((32, 33),)) == "[␣!]"
    assert spelled(tuple((i, i) for i in range(65, 91, 2))).endswith("…]")
    assert letter_of_any_case(((75, 75), (107, 107), (0x212A, 0x212A))) == "k"
    assert letter_of_any_case(((65, 66),)) is None


def test_an_object_shows_keys_values_and_what_may_be_absent() -> None:
    pytest.importorskip("railroad")
    schema = {
        "type": "object",
        "properties": {
            "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"},
            "kind": {"enum": ["<a>", "b"]},
            "note": {"type": ["string", "null"]},
            "more": {"type": "array", "items": {"$ref": "#"}},
        },
        "required": ["code", "kind"],
    }
    texts, cut = drawn(schema)
    assert not cut
    for text in ('"code":', "[A-Z]", "2 times", "-", r"\d", '"<a>"', "any character", "#"):
        assert text in texts, text
    assert texts[0] == "title: # ="  # the rule that the reference names
    assert texts.count('"code":') == 1


def test_a_grammar_has_a_track_a_rule() -> None:
    texts, cut = drawn(ROOT / "schemas" / "sql_select.lark", 1000)
    assert not cut
    assert {"select =", "where =", "select in any case", "distinct in any case"} <= set(texts)
    assert not [text for text in texts if text.startswith("__")], "names that lark made up"


def test_what_is_too_large_is_cut_and_says_so() -> None:
    schema = {"type": "object", "properties": {f"k{i}": {"type": "string"} for i in range(2000)}}
    texts, cut = drawn(schema)
    assert cut
    assert len(texts) < 700
    assert any(re.fullmatch(r"… 1,\d\d\d more", text) for text in texts)
    assert "parts are left out" in texts[-1]
    assert "300 boxes" in texts[-1]
    texts, cut = drawn({"enum": [f"v{i}" for i in range(40)]})
    assert not cut
    assert "one of" in texts, "a slot that is too large to draw is a box, and nothing is missing"


def test_forks_are_cut_at_their_own_limit_and_what_follows_stays() -> None:
    texts, cut = drawn(spec.regex("(?:" + "|".join(f"{i:02}x" for i in range(30)) + ")-end"))
    assert cut
    assert "-end" in texts


@pytest.mark.parametrize("path", CATALOGUE, ids=lambda path: path.name)
def test_the_catalogue_can_be_drawn(path: Path) -> None:
    if path.name == "snips_tools.json":
        import json

        texts, _ = drawn(ctrlgen.tools(json.loads(path.read_text())))
        assert any("PlayMusic" in text for text in texts)
        return
    texts, _ = drawn(path)
    assert len(texts) > 3


def test_the_command_draws_what_the_docs_show(tmp_path: Path) -> None:
    pytest.importorskip("railroad")
    out = tmp_path / "out.svg"
    run = CliRunner().invoke(
        app, ["compile", str(ROOT / "schemas" / "person.json"), "--graph", str(out)]
    )
    assert run.exit_code == 0, run.output
    assert "scaffold" in run.stdout
    assert out.read_text(encoding="utf-8") == (ROOT / "docs" / "constraint.svg").read_text(
        encoding="utf-8"
    ), "make it anew: ctrlgen compile schemas/person.json --graph docs/constraint.svg"
    run = CliRunner().invoke(
        app, ["compile", "--schema", "a, b, c", "--graph", str(out), "--graph-boxes", "3"]
    )
    assert run.exit_code == 0
    assert "leaves parts out" in run.stderr


def test_only_svg_is_drawn(tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["compile", "--choice", "a,b", "--graph", "out.png"])
    assert (run.exit_code, run.stdout) == (2, "")
    assert "an .svg file" in run.stderr


def test_without_the_library_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "railroad", None)
    with pytest.raises(SpecError, match=r"ctrlgen\[pictures\]"):
        draw(lower(spec.choice(["a", "b"])), "title")
