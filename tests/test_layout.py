"""Imports go one way, public names are exported, and the command line starts light."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import ctrlgen

PACKAGE = Path(ctrlgen.__file__).parent
# A module imports from earlier layers and from its own package only.
LAYERS = (
    ("ctrlgen.lazy", "ctrlgen.json_pointer", "ctrlgen.errors", "ctrlgen.interrupts"),
    (
        "ctrlgen.blame",
        "ctrlgen.misspelling",
        "ctrlgen.ranges",
        "ctrlgen.prompts",
        "ctrlgen.pydantic_schema",
    ),
    ("ctrlgen.spec", "ctrlgen.constraints.nodes"),
    ("ctrlgen.constraints",),
    ("ctrlgen.tool_call",),
    ("ctrlgen.canvas",),
    ("ctrlgen.denoisers", "ctrlgen.schedulers"),
    ("ctrlgen.controllers",),
    ("ctrlgen.pictures",),
    ("ctrlgen.result",),
    ("ctrlgen.run",),
    ("ctrlgen.look_ahead",),
    ("ctrlgen.step",),
    ("ctrlgen.loop",),
    ("ctrlgen.search", "ctrlgen.options"),
    ("ctrlgen.generator",),
    ("ctrlgen.agent", "ctrlgen.baselines", "ctrlgen.training"),
    ("ctrlgen",),
    ("ctrlgen.server", "ctrlgen.batch"),
    ("ctrlgen.cli", "ctrlgen.integrations"),
    ("ctrlgen.__main__",),
)
PLACES = {name: i for i, layer in enumerate(LAYERS) for name in layer}
HEAVY = (
    "torch", "transformers", "lark", "jsonschema", "pydantic", "numpy", "outlines", "fastapi",
    "uvicorn",
)  # fmt: skip
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)


def part_of(module: str) -> str:
    """The longest name in LAYERS that `module` lies in."""
    while module not in PLACES:
        module, _, _ = module.rpartition(".")
        assert module, "a module outside every layer"
    return module


def source(module: str) -> Path:
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(module: str) -> Iterator[str]:
    """Full names of all modules that `module` imports anywhere."""
    path = source(module)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*anchor, base] if base else anchor)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in MODULES else base


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    own = part_of(module)
    for name in imports(module):
        if name.partition(".")[0] == "ctrlgen":
            other = part_of(name)
            assert other == own or PLACES[other] < PLACES[own], f"{module} imports {name}"


def test_constraints_do_not_know_torch() -> None:
    for module in MODULES:
        if module.startswith(("ctrlgen.constraints", "ctrlgen.canvas", "ctrlgen.spec")):
            assert not {"torch", "transformers"} & {n.partition(".")[0] for n in imports(module)}


def test_public_names() -> None:
    for module in MODULES:
        importlib.import_module(module)
    assert list(ctrlgen.__all__) == sorted(ctrlgen.__all__)
    for name in ctrlgen.__all__:
        value = getattr(ctrlgen, name)
        assert not isinstance(value, ModuleType), f"the module ctrlgen.{name} hides the function"


def loaded_by(code: str) -> set[str]:
    """Which heavy libraries a fresh interpreter has loaded after `code`."""
    show = f"import sys; print(*[m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, check=True
    )
    return set(run.stdout.splitlines()[-1].split())


def test_help_is_light() -> None:
    code = "from ctrlgen.cli import app\ntry: app(['--help'])\nexcept SystemExit: pass"
    assert loaded_by(code) == set()


def test_import_is_light() -> None:
    assert not loaded_by("import ctrlgen") & {"torch", "transformers"}


def test_controllers_import_no_more_than_they_need() -> None:
    assert not loaded_by("import ctrlgen.controllers.constraint") & {"torch", "transformers"}
    controllers = importlib.import_module("ctrlgen.controllers")
    assert all(getattr(controllers, name) for name in controllers.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = controllers.Nothing
