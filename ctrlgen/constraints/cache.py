"""Files that save work between processes: vocabularies, and the grammars of large specs.

They lie in `$CTRLGEN_CACHE`, or else in the user's cache folder (`~/.cache/ctrlgen` on Linux,
`~/Library/Caches/ctrlgen` on macOS, `%LOCALAPPDATA%/ctrlgen/Cache` on Windows); `CTRLGEN_CACHE=off`
uses none. A file is named by what it was made from, the code included, so nothing is ever stale. It
holds plain numpy arrays (`.npz`, never pickled objects): reading a file that somebody else has put
there can give a wrong answer, but runs no code. Files appear by renaming, whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints import notation
from ctrlgen.constraints.nodes import Grammar

_VARIABLE = "CTRLGEN_CACHE"
_WORTH_A_FILE = 50_000  # characters of a grammar; what is smaller is lowered in milliseconds
# What reads grammars and schemas for us; Python itself reads regular expressions.
_READERS = ("lark", "jsonschema", "jsonschema-specifications", "referencing")
_KEPT = 128  # files of a kind; the oldest go first

Arrays = Mapping[str, npt.NDArray[Any]]


class CacheWarning(UserWarning):
    """A cache file cannot be used, and is made anew."""


def folder() -> Path | None:
    """Where the files lie; None if there shall be none."""
    chosen = os.environ.get(_VARIABLE)
    if chosen:
        return None if chosen.lower() in ("off", "0", "none") else Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local").expanduser() / (
            "ctrlgen/Cache"
        )
    if sys.platform == "darwin":
        return Path("~/Library/Caches/ctrlgen").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ctrlgen"


def name_of(kind: str, source: str) -> str:
    """The name of the file of what is made from `source` by this version of the code.

    Args:
        kind: What the file holds, one word.
        source: All that the contents depend on.
    """
    digest = hashlib.sha256(f"{kind}\0{_code()}\0".encode())
    digest.update(source.encode("utf-8", "surrogatepass"))
    return f"{kind}-{digest.hexdigest()[:40]}"


@lru_cache(maxsize=1)
def _code() -> str:
    """Changes whenever the constraint compiler does, or what it asks: also between releases."""
    from importlib.metadata import version  # not needed before the first file

    files = sorted(Path(__file__).parent.glob("*.py"))
    stats = ((file.name, file.stat()) for file in files)
    code = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return repr([code, sys.version, *map(version, _READERS)])


def load(name: str) -> Arrays | None:
    """The arrays of a file; None if there is none that can be used."""
    place = folder()
    if place is None:
        return None
    path = place / f"{name}.npz"
    try:
        # Opened here: numpy leaves a damaged file open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        if str(arrays.pop("name")) == name:
            return arrays
    except OSError as error:
        if isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError):
            return None
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, NotImplementedError):
        pass
    _warn(name)
    return None


def store(name: str, arrays: Arrays) -> None:
    """Writes a file; where that is not possible, nothing is cached."""
    place = folder()
    if place is None:
        return
    with suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(".tmp", f"{name}-", place)
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, allow_pickle=False, **{**arrays, "name": np.asarray(name)})
            os.replace(path, place / f"{name}.npz")
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)
        _prune(place, name.partition("-")[0])


def load_grammar(name: str) -> Grammar | None:
    """The grammar of a file; None if there is none that can be used."""
    arrays = load(name)
    if arrays is not None:
        with suppress(KeyError, ValueError):
            return notation.read(arrays["text"].tobytes().decode())
        _warn(name)
    return None


def store_grammar(name: str, grammar: Grammar) -> None:
    """Writes a grammar that is worth a file."""
    text = notation.write(grammar)
    if text and len(text) >= _WORTH_A_FILE:
        store(name, {"text": np.frombuffer(text.encode(), np.uint8)})


def _warn(name: str) -> None:
    text = f"the cache file {name}.npz in {folder()} is damaged or not ours, and is made anew"
    warnings.warn(text, CacheWarning, stacklevel=3)


def _prune(place: Path, kind: str) -> None:
    files = sorted(place.glob(f"{kind}-*.npz"), key=lambda file: file.stat().st_mtime)
    for file in files[:-_KEPT]:
        file.unlink(missing_ok=True)
