"""How images reach the size and the scale that a published network reads."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from lit_gans.errors import UserError

Resize = Literal["tf1", "clean"]
RESIZES: dict[Resize, str] = {
    "tf1": "bilinear as in TensorFlow 1, not antialiased",
    "clean": "bicubic, antialiased, clipped, not rounded",
}


class Resized(nn.Module):
    """Maps images (N, 1 or 3, H, W), uint8, to float32 (N, 3, size, size), (levels - mean) / std.

    "tf1" is that of the first published scores (torch-fidelity's port); it skips pixels of images that shrink. "clean"
    is clean-fid's (Parmar et al. 2022, arXiv:2104.11222): Pillow's bicubic filter on floats, clipped. Grey is repeated.

    Args:
        size: height and width that the network reads.
        mean: of each colour, in levels.
        std: of each colour, in levels.
        resize: one of `RESIZES`.

    Attributes:
        says: what it does, for the metrics' protocol.

    Raises:
        UserError: there is no such resize; when called: the images are neither grey nor coloured.
    """

    def __init__(self, size: int, mean: list[float], std: list[float], resize: Resize) -> None:
        super().__init__()
        if resize not in RESIZES:
            raise UserError(f"resize must be one of {', '.join(RESIZES)}, not {resize!r}")
        self.size, self.antialiased, self.says = size, resize == "clean", RESIZES[resize]
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, levels: Tensor) -> Tensor:
        """What the network reads."""
        if levels.shape[1] not in (1, 3):
            raise UserError(f"this feature network reads images of 1 or 3 channels, not of {levels.shape[1]}")
        images, size = levels.float(), (self.size, self.size)
        if self.antialiased:
            images = F.interpolate(images, size, mode="bicubic", antialias=True).clamp(0, 255)
        else:
            images = interpolate_bilinear_2d_like_tensorflow1x(images, size=size, align_corners=False)
        return (images - self.mean) / self.std
