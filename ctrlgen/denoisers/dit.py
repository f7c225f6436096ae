"""MDLM (arXiv:2406.07524) and BD3-LM (2503.09573): a transformer with adaptive layer norms.

The published models are not conditioned on time: the noise level that the norms adapt to is always
0, so that scales, shifts and gates are constants of the checkpoint.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import MaskedLMOutput

_FREQUENCIES = 256
_ROPE_BASE = 10_000.0


class DiTConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Sizes of a `DiTForMaskedLM`, under the names of the published config.json."""

    model_type = "ctrlgen_dit"
    attribute_map = {  # noqa: RUF012 - transformers wants a plain dict
        "hidden_size": "hidden_dim",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_blocks",
        "max_position_embeddings": "model_length",
    }
    vocab_size: int = 50_258
    model_length: int = 1024
    hidden_dim: int = 768
    cond_dim: int = 128
    n_blocks: int = 12
    n_heads: int = 12
    adaln: bool = True
    tie_word_embeddings: bool = False


class _Norm(nn.Module):
    """Layer norm in float32 without a bias."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return (F.layer_norm(x.float(), x.shape[-1:]) * self.weight).to(x.dtype)


class _NoiseLevel(nn.Module):
    """The embedding of noise level 0: all cosines 1, all sines 0."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(_FREQUENCIES, size), nn.SiLU(), nn.Linear(size, size))

    def forward(self) -> Tensor:
        like = next(self.parameters())
        waves = torch.arange(_FREQUENCIES, device=like.device) < _FREQUENCIES // 2
        out: Tensor = F.silu(self.mlp(waves.to(like.dtype)))
        return out


class _Modulation(nn.Linear):
    """Shifts, scales and gates for the norms and branches of a block."""

    def parts(self, condition: Tensor, count: int) -> tuple[Tensor, ...]:
        out: Tensor = self(condition)
        return out.chunk(count)


class _Block(nn.Module):
    def __init__(self, config: DiTConfig, number: int) -> None:
        super().__init__()
        size, self.heads, self.number = config.hidden_dim, config.n_heads, number
        self.norm1, self.norm2 = _Norm(size), _Norm(size)
        self.attn_qkv = nn.Linear(size, 3 * size, bias=False)
        self.attn_out = nn.Linear(size, size, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(size, 4 * size), nn.GELU(approximate="tanh"), nn.Linear(4 * size, size)
        )
        self.adaLN_modulation = _Modulation(config.cond_dim, 6 * size) if config.adaln else None

    def forward(
        self, x: Tensor, rope: Tensor, mask: Tensor | None, cache: Any, condition: Tensor | None
    ) -> Tensor:
        if self.adaLN_modulation is None or condition is None:
            x = x + self.attend(self.norm1(x), rope, mask, cache)
            x = x + self.mlp(self.norm2(x))
            return x
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = self.adaLN_modulation.parts(
            condition, 6
        )
        x = x + gate * self.attend(self.norm1(x) * (1 + scale) + shift, rope, mask, cache)
        x = x + gate_mlp * self.mlp(self.norm2(x) * (1 + scale_mlp) + shift_mlp)
        return x

    def attend(self, x: Tensor, rope: Tensor, mask: Tensor | None, cache: Any) -> Tensor:
        batch, length, size = x.shape
        qkv = self.attn_qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = qkv  # each (batch, heads, length, head)
        key = _rotate(key, rope)
        if cache is not None:
            key, value = cache.update(key, value, self.number)
        out = F.scaled_dot_product_attention(_rotate(query, rope), key, value, attn_mask=mask)
        projected: Tensor = self.attn_out(out.transpose(1, 2).reshape(batch, length, size))
        return projected


def _rotate(x: Tensor, angles: Tensor) -> Tensor:
    """RoPE on pairs half a head apart; angles are (batch, length, head / 2)."""
    cos, sin = angles.cos()[:, None].to(x.dtype), angles.sin()[:, None].to(x.dtype)
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)


class _Output(nn.Module):
    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        size = config.hidden_dim
        self.norm_final = _Norm(size)
        self.linear = nn.Linear(size, config.vocab_size)
        self.adaLN_modulation = _Modulation(config.cond_dim, 2 * size) if config.adaln else None

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        x = self.norm_final(x)
        if self.adaLN_modulation is not None and condition is not None:
            shift, scale = self.adaLN_modulation.parts(condition, 2)
            x = x * (1 + scale) + shift
        out: Tensor = self.linear(x)
        return out


class _Backbone(nn.Module):
    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.vocab_embed = nn.Embedding(config.vocab_size, config.hidden_dim)
        self.sigma_map = _NoiseLevel(config.cond_dim) if config.adaln else None
        self.blocks = nn.ModuleList(_Block(config, i) for i in range(config.n_blocks))
        self.output_layer = _Output(config)
        self.head = config.hidden_dim // config.n_heads

    def forward(self, ids: Tensor, mask: Tensor | None, places: Tensor, cache: Any) -> Tensor:
        x = self.vocab_embed(ids)
        steps = torch.arange(0, self.head, 2, device=x.device) / self.head
        angles = places[..., None] / _ROPE_BASE**steps
        condition = None if self.sigma_map is None else self.sigma_map()
        for block in self.blocks:
            x = block(x, angles, mask, cache, condition)
        out: Tensor = self.output_layer(x, condition)
        return out


class DiTForMaskedLM(PreTrainedModel):  # type: ignore[no-untyped-call]
    """MDLM, and BD3-LM when given its block-causal mask."""

    config_class = DiTConfig
    base_model_prefix = "backbone"
    _no_split_modules = ["_Block"]  # noqa: RUF012
    _supports_sdpa = True
    _keys_to_ignore_on_load_unexpected = [  # noqa: RUF012
        r"rotary_emb\.inv_freq",
        "sampling_eps_min",
        "sampling_eps_max",
    ]

    def __init__(self, config: DiTConfig) -> None:
        super().__init__(config)
        self.backbone = _Backbone(config)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Embedding:
        """The token embeddings."""
        return self.backbone.vocab_embed

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
    ) -> MaskedLMOutput:
        """Logits, (batch, length, vocab); the mask is true where a position is seen.

        Args:
            input_ids: (batch, length).
            attention_mask: (batch, length) or (batch, 1, query, key).
            position_ids: (batch, length).
            past_key_values: A `Cache`, which stores keys after rotation.
        """
        batch, length = input_ids.shape
        if attention_mask is not None:
            attention_mask = attention_mask.bool()
            if attention_mask.ndim == 2:
                attention_mask = attention_mask[:, None, None]
        if position_ids is None:
            position_ids = torch.arange(length, device=input_ids.device).expand(batch, -1)
        return MaskedLMOutput(
            logits=self.backbone(input_ids, attention_mask, position_ids, past_key_values)
        )
