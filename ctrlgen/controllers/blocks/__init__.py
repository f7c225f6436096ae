"""Block controllers: where tokens may commit in this step. One algorithm per file."""

from ctrlgen.controllers.blocks.adablock import AdaBlock
from ctrlgen.controllers.blocks.base import Block
from ctrlgen.controllers.blocks.deferred import DeferredWindow
from ctrlgen.controllers.blocks.fixed import FixedBlocks
from ctrlgen.controllers.blocks.learned import LearnedBlocks
from ctrlgen.controllers.blocks.walls import SchemaWalls
from ctrlgen.controllers.blocks.whole import WholeCanvas

__all__ = [
    "AdaBlock",
    "Block",
    "DeferredWindow",
    "FixedBlocks",
    "LearnedBlocks",
    "SchemaWalls",
    "WholeCanvas",
]
