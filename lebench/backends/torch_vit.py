"""A vision transformer in torch, for images of any size that patches fill."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lebench.errors import LebenchError


class _Attention(nn.Module):
    """Multi-head self-attention, written out so that it has derivatives of every kind."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (n, t, width) to the same."""
        n, tokens, width = x.shape
        parts = self.query_key_value(x).view(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        weights = (query @ key.transpose(-1, -2) * (width // self.heads) ** -0.5).softmax(dim=-1)
        attended: Tensor = self.out((weights @ value).transpose(1, 2).reshape(n, tokens, width))
        return attended


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class VisionTransformer(nn.Module):
    """Pre-normalized transformer on patches with a class token (Dosovitskiy et al. 2021).

    Parameters
    ----------
    input_shape : (int, int, int)
        (height, width, channels).
    outputs : int
        Number of scores.
    patch, width, depth, heads, hidden : int
        Side of a patch; size of a token; number of blocks; heads of attention; units between two layers of a block.

    Raises
    ------
    LebenchError
        If patches do not fill the images.
    """

    def __init__(
        self, input_shape: tuple[int, ...], outputs: int, patch: int, width: int, depth: int, heads: int, hidden: int
    ) -> None:
        super().__init__()
        if len(input_shape) != 3 or input_shape[0] % patch or input_shape[1] % patch:
            raise LebenchError(
                f"a transformer on {patch}x{patch} patches needs images that they fill, not {input_shape}"
            )
        self.patches = nn.Conv2d(input_shape[2], width, patch, stride=patch)
        tokens = (input_shape[0] // patch) * (input_shape[1] // patch) + 1
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, tokens, width), std=0.2))
        self.blocks = nn.Sequential(*(_Block(width, heads, hidden) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, outputs)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, channels, height, width) to scores (n, outputs)."""
        patches = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), patches], dim=1) + self.positions
        scores: Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return scores
