"""Put a trained checkpoint into the package: `python scripts/pack_embedded.py runs/v1`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer
from embedded.tokenizer import CHAT_TEMPLATE
from transformers import AutoTokenizer

WEIGHTS = Path(__file__).parents[1] / "ctrlgen" / "denoisers" / "weights"
LIMIT = 40_000_000


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Folder that train_embedded.py wrote.")],
) -> None:
    """Copy weights, config and tokenizer, and give the tokenizer its chat template."""
    WEIGHTS.mkdir(exist_ok=True)
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(checkpoint / name, WEIGHTS / name)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(WEIGHTS)
    size = sum(f.stat().st_size for f in WEIGHTS.iterdir())
    if size > LIMIT:
        raise SystemExit(f"{size:,} bytes are more than the {LIMIT:,} that the package may carry")
    print(f"{size:,} bytes in {WEIGHTS}")


if __name__ == "__main__":
    typer.run(main)
