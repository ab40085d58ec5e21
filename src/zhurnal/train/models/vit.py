"""A small vision transformer, for images whose height and width are multiples of the patch.

Shapes: N images, C channels, H height, W width, K classes, T tokens, D features of a token.
"""

import torch
from torch import Tensor, nn

from ...core.errors import RunError


class Attention(nn.Module):
    """Multi-head self-attention: tokens_NTD -> tokens_NTD. Written out, so that it is the same on every device and its FLOPs are counted."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.factor = num_heads, (width // num_heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens_NTD: Tensor) -> Tensor:
        """Return the tokens, each a mixture of all."""
        # N T 3D -> 3 N heads T D/heads
        q, k, v = self.qkv(tokens_NTD).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * self.factor).softmax(-1)
        mixed_NTD: Tensor = self.proj((weights @ v).transpose(1, 2).flatten(2))
        return mixed_NTD


class Block(nn.Module):
    """Attention and two fully connected layers, each normalized first and added to its input: tokens_NTD -> tokens_NTD."""

    def __init__(self, width: int, num_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, num_heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = nn.Linear(width, hidden)
        self.gelu = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)
        self.dropout1, self.dropout2 = nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, tokens_NTD: Tensor) -> Tensor:
        """Return the block's output."""
        tokens_NTD = tokens_NTD + self.dropout1(self.attention(self.norm1(tokens_NTD)))
        tokens_NTD = tokens_NTD + self.dropout2(self.fc2(self.gelu(self.fc1(self.norm2(tokens_NTD)))))
        return tokens_NTD


class ViT(nn.Module):
    """Patches become tokens, a class token is put before them, and the head reads it: images_NCHW -> logits_NK."""

    def __init__(
        self, image: tuple[int, int, int], num_classes: int, patch_size: int, width: int, depth: int, num_heads: int, mlp_ratio: float, dropout: float
    ) -> None:
        super().__init__()
        channels, height, width_px = image
        tokens = (height // patch_size) * (width_px // patch_size)
        self.patches = nn.Conv2d(channels, width, patch_size, patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, tokens + 1, width))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, num_heads, max(1, round(mlp_ratio * width)), dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, num_classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return logits."""
        tokens_NTD = self.patches(images_NCHW).flatten(2).transpose(1, 2)
        tokens_NTD = torch.cat([self.cls_token.expand(images_NCHW.shape[0], -1, -1), tokens_NTD], 1)
        tokens_NTD = self.norm(self.blocks(self.dropout(tokens_NTD + self.positions)))
        logits_NK: Tensor = self.head(tokens_NTD[:, 0])
        return logits_NK


def vit(
    image: tuple[int, int, int],
    num_classes: int,
    *,
    patch_size: int = 4,
    width: int = 192,
    depth: int = 6,
    num_heads: int = 3,
    mlp_ratio: float = 4.0,
    dropout: float = 0.0,
) -> nn.Module:
    """Return a vision transformer for images of shape `image` = (C, H, W): images_NCHW -> logits_NK.

    Patches of `patch_size` pixels become tokens by one linear map, with a class token before them and learned positions added (both start as a
    truncated normal of 0.02); then blocks with normalization first. Source: Dosovitskiy et al. 2021, "An image is worth 16x16 words"; width and heads
    are those of DeiT-Ti (Touvron et al. 2021), with half its depth.

    Args:
        image: channels, height and width; both sizes must be multiples of `patch_size`.
        num_classes: number of logits.
        patch_size: height and width of a patch, in pixels.
        width: features of a token, a multiple of `num_heads`.
        depth: number of blocks.
        num_heads: attention heads of a block.
        mlp_ratio: width of a block's hidden layer, over `width`.
        dropout: probability, after the positions and at the end of each branch of a block.

    Raises:
        RunError: an image that cannot be cut into such patches, or a width that the heads cannot share.
    """
    _, height, width_px = image
    if height % patch_size or width_px % patch_size:
        fits = max(patch_size, round(min(height, width_px) / patch_size) * patch_size)
        raise RunError(
            f"images of {height}x{width_px} pixels cannot be cut into patches of {patch_size}x{patch_size} for model vit: "
            f"set data.image_size={fits}, or a model.patch_size that divides both"
        )
    if width % num_heads:
        raise RunError(
            f"model.width is {width}, must be a multiple of model.num_heads={num_heads}: set model.width={width - width % num_heads or num_heads}"
        )
    return ViT(image, num_classes, patch_size, width, depth, num_heads, mlp_ratio, dropout)
