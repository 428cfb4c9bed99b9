"""The U-Net of pix2pix (Isola et al., 2017, arXiv:1611.07004, section 3.2.1 and appendix 6.1.1)."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from lit_gans.errors import at_least
from lit_gans.networks.dcgan import initialise
from lit_gans.networks.layers import ImageShape, Norm, doubling, halving, normalisation
from lit_gans.networks.translator import Translator


class UNetGenerator(Translator):
    """Convolutions that halve the map down to one pixel, as many that double it, and skips between maps of one size.

    LeakyReLU 0.2 on the way down, ReLU on the way up, kernels of 4x4. The first and the innermost map have no norm:
    that of a single pixel would be zero. The last layer has a bias and a tanh.

    Dropout is the paper's only noise. It acts in training mode only, so whoever wants it in tests, as the paper does,
    leaves the network in that mode; the batch norm then uses the statistics of the batch, as in the paper.

    The published codes differ. The paper and its Torch7 code drop units of the first three maps on the way up
    (`dropout_at="innermost"`), the PyTorch port those of all maps of the full width but the first ("middle"): three at
    256 pixels, one at 64, none at 32. The Torch7 code has biases and sets them to zero at each step, which is
    `bias=False`; the port has them beside an instance norm without gain and bias (`norm="instance", affine=False,
    bias=True`). Weights are from N(0, 0.02), gains from N(1, 0.02).

    Args:
        source_shape: (C, H, W) of the images that come in.
        image_shape: (C, H, W) of the images made, of the same size.
        downs: How often the map is halved; None for as often as both sides can be. 8 for 256 pixels.
        width: Channels of the first map; each one after it has twice as many, up to 8 times `width`.
        dropout: Probability that a unit is dropped.
        dropout_at: Which maps have dropout.
        norm: Of hidden maps.
        affine: Whether norms have a gain and a bias for each channel.
        bias: Whether convolutions have biases; the last one has.
        skips: Whether maps of the way down are appended to those of the way up; without, the paper's encoder-decoder.

    Raises:
        UserError: the shapes do not fit.
    """

    def __init__(
        self,
        source_shape: ImageShape,
        image_shape: ImageShape,
        *,
        downs: int | None = None,
        width: int = 64,
        dropout: float = 0.5,
        dropout_at: Literal["innermost", "middle"] = "innermost",
        norm: Norm = "batch",
        affine: bool = True,
        bias: bool = False,
        skips: bool = True,
    ) -> None:
        if downs is None:
            downs = max(1, min((side & -side).bit_length() - 1 for side in source_shape[1:]))
        at_least(1, downs=downs, width=width)
        super().__init__(source_shape, image_shape, multiple=2**downs)
        self.skips = skips
        widths = [width * min(2**level, 8) for level in range(downs)]
        dropped = range(3) if dropout_at == "innermost" else range(1, downs - 4)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (before, after) in enumerate(pairwise([source_shape[0], *widths])):
            layers = [nn.LeakyReLU(0.2)] if level else []
            layers += [halving(before, after, bias=bias)]
            layers += [normalisation(norm, after, affine)] if 0 < level < downs - 1 else []
            self.down.append(nn.Sequential(*layers))
        for level, (before, after) in enumerate(pairwise([*widths[::-1], image_shape[0]])):
            last = level == downs - 1
            layers = [nn.ReLU(), doubling(before * (2 if skips and level else 1), after, bias=bias or last)]
            layers += [nn.Tanh()] if last else [normalisation(norm, after, affine)]
            layers += [nn.Dropout(dropout)] if level in dropped and not last else []
            self.up.append(nn.Sequential(*layers))
        self.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, h, w) in [-1, 1] to images of the same size; 2**downs divides h and w."""
        maps = [self.fitting(images)]
        for block in self.down:
            maps.append(block(maps[-1]))
        features = maps.pop()
        for level, block in enumerate(self.up):
            features = block(torch.cat([maps.pop(), features], 1) if self.skips and level else features)
        return features
