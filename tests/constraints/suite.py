"""The official JSON-Schema-Test-Suite as a judge of the schema compiler.

    python -m tests.constraints.suite DATA      rewrites the support table of docs/json_schema.md

DATA is a folder with `json-schema-test-suite-<draft>.json.gz` and `-remotes.json.gz`.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.schema import lower_schema
from ctrlgen.constraints.schema_options import SchemaOptions
from ctrlgen.errors import ConstraintError, UnsatisfiableError

DRAFTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
PAGE = Path(__file__).parents[2] / "docs" / "json_schema.md"
SAMPLE = Path(__file__).parents[1] / "data" / "json-schema-test-suite-sample.json"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def load(folder: Path, name: str) -> Any:
    with gzip.open(folder / f"json-schema-test-suite-{name}.json.gz", "rt") as file:
        return json.load(file)


def verdict(group: Mapping[str, Any], draft: str, remotes: Mapping[str, Any]) -> str:
    """How a group is enforced: "construction", "verify" or "refused"; "wrong" if it is not."""
    schema = group["schema"]
    if isinstance(schema, dict):
        schema = {"$schema": DRAFTS[draft], **schema}
    options = replace(SchemaOptions.standard(), formats="ignore", registry=remotes)
    try:
        return _judged(group, schema, options) or "construction"
    except UnsatisfiableError:
        return "wrong" if any(test["valid"] for test in group["tests"]) else "construction"
    except ConstraintError:
        pass
    try:
        return _judged(group, schema, replace(options, on_unsupported="verify")) or "verify"
    except ConstraintError:
        return "refused"


def _judged(group: Mapping[str, Any], schema: Any, options: SchemaOptions) -> str:
    grammar = lower_schema(schema, options)
    automaton = ByteAutomaton(grammar)
    for test in group["tests"]:
        text = json.dumps(test["data"], ensure_ascii=False).encode()
        found = automaton.is_accepting(automaton.run(automaton.start, text))
        if grammar.verify is not None:
            found = found and grammar.verify(text)
        if found != test["valid"]:
            return "wrong"
    return ""


def verdicts(folder: Path, draft: str) -> Iterator[tuple[str, str, str]]:
    """File, description and verdict of every required group."""
    remotes = load(folder, "remotes")
    for group in load(folder, draft):
        if not group["optional"]:
            yield group["file"], group["description"], verdict(group, draft, remotes)


def table(folder: Path) -> str:
    """The support table in Markdown: groups of each file by construction, + verify, - not right."""
    counts: dict[str, dict[str, Counter[str]]] = {}
    for draft in DRAFTS:
        for file, _, found in verdicts(folder, draft):
            counts.setdefault(file, {}).setdefault(draft, Counter())[found] += 1
    lines = [f"| tests | {' | '.join(DRAFTS)} |", f"|---|{'--:|' * len(DRAFTS)}"]
    for file in sorted(counts):
        lines.append(f"| {file} | {' | '.join(_cell(counts[file].get(d)) for d in DRAFTS)} |")
    total = {d: sum((c[d] for c in counts.values() if d in c), Counter()) for d in DRAFTS}
    lines.append(f"| **all** | {' | '.join(_cell(total[d]) for d in DRAFTS)} |")
    return "\n".join(lines)


def _cell(counted: Counter[str] | None) -> str:
    if not counted:
        return ""
    cell = str(counted["construction"])
    cell += f" + {counted['verify']} verify" if counted["verify"] else ""
    cell += f" + {counted['refused']} refused" if counted["refused"] else ""
    return cell + (f" + {counted['wrong']} wrong" if counted["wrong"] else "")


def written() -> str:
    """The table that docs/json_schema.md has."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def main(folder: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table(folder)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
