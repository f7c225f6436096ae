"""From a folder or a hub id to a denoiser: one path for all families, no remote code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from ctrlgen.denoisers.caches import Policy
from ctrlgen.denoisers.declared import Lengths
from ctrlgen.denoisers.diffusion_gemma import DiffusionGemmaDenoiser
from ctrlgen.denoisers.families import Family, Published, find
from ctrlgen.denoisers.long_context import stretch
from ctrlgen.denoisers.transformers import TransformersDenoiser
from ctrlgen.errors import ModelError

EMBEDDED = Path(__file__).parent / "weights"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt")
_GEMMA = "DiffusionGemmaForBlockDiffusion"
_NOT_FOR_GEMMA = {
    "cache": "has its own cache, of the prompt, and renoises the canvas",
    "lengths": "renoises one canvas and cannot look at rows side by side",
    "block_length": "sees the whole canvas from every position of it",
    "shift": "predicts every position at its own place",
}
"""Options of other denoisers, and why they make no sense there."""
_HUB = ("revision", "token", "cache_dir", "local_files_only", "subfolder")


def load(
    path_or_id: str | Path | None = None,
    *,
    dtype: Any = "auto",
    device_map: Any = None,
    attn_implementation: str | None = None,
    block_length: int | None = None,
    mask_token_id: int | None = None,
    fill_token_id: int | None = None,
    tokenizer: Any = None,
    cache: str | Policy | None = None,
    max_length: int | None = None,
    lengths: Lengths | None = None,
    **options: Any,
) -> TransformersDenoiser | DiffusionGemmaDenoiser:
    """Load a checkpoint; the embedded one, offline, when nothing is named.

    Args:
        path_or_id: A folder, or an id on the hub, which is downloaded.
        dtype: "auto" is the checkpoint's own.
        device_map: Where the layers go; "auto" spreads them over all devices.
        attn_implementation: "sdpa", "eager", "flash_attention_2", ...
        block_length: Overrides the checkpoint's, for block-causal families.
        mask_token_id: Likewise.
        fill_token_id: Likewise.
        tokenizer: A tokenizer, or a folder or id of one, for checkpoints that have none.
        cache: Which positions are computed again in a step (docs/caches.md); None: all.
        max_length: Tokens of prompt and canvas. More than the checkpoint was trained for stretch
            its rotary embeddings.
        lengths: How slots find their length, "slack", "open" or "several" (docs/lengths.md);
            overrides what the checkpoint declares.
        **options: More for transformers' `from_pretrained`: `distributed_config`,
            `quantization_config`, `revision`, `local_files_only`, ...

    Raises:
        ModelError: If the checkpoint is unknown, incomplete, or cannot be read.
    """
    source = _source(path_or_id)
    options |= {"dtype": dtype, "device_map": device_map}
    options |= {"attn_implementation": attn_implementation} if attn_implementation else {}
    with _quiet(path_or_id is None), _told(source):
        published = read_config(source, options)
        family = find(published)
        model = _family_model(source, family, published, max_length, options) if family else None
        model = model or _native_model(source, published, max_length, options)
        if tokenizer is None:
            tokenizer = _tokenizer(source, family, options)
        elif isinstance(tokenizer, str | Path):
            tokenizer = _tokenizer(str(tokenizer), None, {})
    return wrapped(
        model, tokenizer, mask_token_id=mask_token_id, fill_token_id=fill_token_id, cache=cache,
        block_length=block_length or (family.blocks(published) if family else None),
        shift=family.shift if family else False, lengths=lengths,
    )  # fmt: skip


def wrapped(
    model: Any, tokenizer: Any, **options: Any
) -> TransformersDenoiser | DiffusionGemmaDenoiser:
    """A loaded model and its tokenizer as the denoiser of its kind.

    Args:
        model: A model of transformers.
        tokenizer: Its fast tokenizer.
        **options: Of `TransformersDenoiser`, or of `DiffusionGemmaDenoiser`.

    Raises:
        ModelError: If this is no model of transformers, or an option is not for it.
    """
    if not isinstance(model, torch.nn.Module) or not hasattr(model, "config"):
        raise ModelError(
            f"a {type(model).__name__} is no model of transformers",
            hint="pass the model itself, as from_pretrained returns it; by name or folder, "
            "ctrlgen.load loads it",
        )
    if type(model).__name__ != _GEMMA:
        return TransformersDenoiser(model, tokenizer, **options)
    if options.get("lengths") == "slack":  # as it does
        del options["lengths"]
    for name, why in _NOT_FOR_GEMMA.items():
        if options.pop(name, None):
            raise ModelError(f"DiffusionGemma {why}", hint=f"leave {name}= out")
    return DiffusionGemmaDenoiser(model, tokenizer, **options)


def _source(path_or_id: str | Path | None) -> str:
    """The folder or id to load; a path that leads nowhere is no id to ask the hub for.

    Raises:
        ModelError: It is neither, or the folder is missing.
    """
    if path_or_id is None:
        return str(EMBEDDED)
    if not isinstance(path_or_id, str | Path) or not str(path_or_id):
        raise ModelError(
            f"a model is named by a folder or a hub id, not {path_or_id!r}",
            hint="nothing at all loads the embedded one",
        )
    source = str(path_or_id)
    is_path = isinstance(path_or_id, Path) or source.startswith((os.sep, ".", "~"))
    if (is_path or source.count("/") > 1) and not os.path.exists(source):
        hint = "write ~ as the whole path" if source.startswith("~") else "an id is owner/name"
        raise ModelError(f"cannot load {source!r}: no such folder", hint=hint)
    return source


def read_config(source: str, options: dict[str, Any]) -> Published:
    """The config.json of a checkpoint, as it is.

    Raises:
        ModelError: If there is none.
    """
    from transformers import PreTrainedConfig

    published: Published = PreTrainedConfig.get_config_dict(source, **_hub(options))[0]
    if not published.get("model_type") and not published.get("architectures"):
        raise ModelError(f"cannot load {source!r}: no config.json that names a model")
    return published


def _family_model(
    source: str, family: Family, published: Published, max_length: int | None, options: Any
) -> Any:
    _refuse_fused(family, options)
    cls = class_named(family.model_class)
    try:
        config = cls.config_class(**family.configure(published))
    except KeyError as error:
        raise ModelError(
            f"config.json of {source!r} has no {error}, which {family.name} needs",
            hint="the file is incomplete, or of another model",
        ) from error
    for name in ("mask_token_id", "pad_token_id"):
        known = getattr(config, name, None)
        default = getattr(family, name)
        if known is None and default is not None and default < config.vocab_size:
            setattr(config, name, default)
    if max_length is not None:
        stretch(config, max_length)
    return _read(cls, source, options, config=config, key_mapping=dict(family.renames) or None)


def _refuse_fused(family: Family, options: Any) -> None:
    """Refuse what transformers does to tensors as it reads them, where they are split first."""
    for name, instead in (
        ("tp_plan", 'use device_map="auto" instead'),
        ("distributed_config", 'use device_map="auto" instead'),
        (
            "quantization_config",
            "load it as it is, then call torchao.quantization.quantize_",
        ),
    ):
        if family.fused and options.get(name):
            raise ModelError(
                f"{family.name} publishes {family.fused} as one matrix, which {name} cannot take "
                "apart as it is read",
                hint=instead,
            )


def _native_model(source: str, published: Published, max_length: int | None, options: Any) -> Any:
    """A model that transformers knows: the embedded one, DiffusionGemma, masked language models."""
    import transformers
    from transformers import AutoConfig, AutoModelForMaskedLM

    named = str((published.get("architectures") or ["no architecture"])[0])
    cls = getattr(transformers, named, None)
    if cls is None or "auto_map" in published:
        raise ModelError(
            f"{source!r} is a {named}, which ctrlgen does not know",
            hint="its own code is not run; docs/models.md lists the families, and "
            "ctrlgen.from_transformers takes any model that you load yourself",
        )
    if not named.endswith("ForCausalLM") and named != _GEMMA:
        cls = AutoModelForMaskedLM
    config = AutoConfig.from_pretrained(source, **_hub(options))
    if max_length is not None:
        stretch(config.get_text_config(decoder=True), max_length)
    return _read(cls, source, options, config=config)


def _read(cls: Any, source: str, options: dict[str, Any], **how: Any) -> Any:
    """The model with its weights, all of them.

    Raises:
        ModelError: If tensors are missing, left over or of another shape.
    """
    model, report = cls.from_pretrained(
        source, **options, **how, output_loading_info=True, ignore_mismatched_sizes=True
    )
    shapes = [
        f"{name} {tuple(a)} instead of {tuple(b)}" for name, a, b in report["mismatched_keys"]
    ]
    names = {
        "missing": sorted(report["missing_keys"]),
        "unexpected": sorted(report["unexpected_keys"]),
        "of another shape": sorted(shapes),
    }
    problems = [f"{kind}: {_some(found)}" for kind, found in names.items() if found]
    if problems:
        raise ModelError(
            f"the weights in {source!r} are not those of a {type(model).__name__}; "
            + "; ".join(problems),
            hint="the checkpoint is incomplete, or its config.json is another model's",
        )
    return model


def _some(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _tokenizer(source: str, family: Family | None, options: dict[str, Any]) -> Any:
    """The checkpoint's tokenizer, None if it has none."""
    from transformers.utils.hub import cached_file

    there = (
        cached_file(
            source, name, _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_gated_repo=False, **_hub(options),
        )
        for name in _TOKENIZER_FILES
    )  # fmt: skip
    if not any(there):
        return None
    cls = class_named(family.tokenizer_class if family else "AutoTokenizer")
    return cls.from_pretrained(source, **_hub(options))


def class_named(name: str) -> Any:
    """A class of transformers, or `module:class`."""
    module, _, cls = name.rpartition(":")
    return getattr(import_module(module or "transformers"), cls)


def _hub(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in _HUB if name in options}


@contextmanager
def _told(source: str) -> Iterator[None]:
    """Whatever transformers says about a checkpoint becomes a ModelError."""
    try:
        yield
    except ModelError:
        raise
    # torch asserts that it was built for the device.
    except (
        OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, AssertionError,
    ) as error:  # fmt: skip
        raise ModelError(
            f"cannot load {source!r}: {error}", hint="give a folder or a hub id of a checkpoint"
        ) from error


@contextmanager
def _quiet(quiet: bool) -> Iterator[None]:
    """No progress bar for a tenth of a second."""
    from transformers.utils import logging

    hide = quiet and logging.is_progress_bar_enabled()
    if hide:
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if hide:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
