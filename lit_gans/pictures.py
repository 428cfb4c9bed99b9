"""Images as files hold them and as eyes want them: sources, outputs and targets of unlike size and channels."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2.functional import center_crop


def levels(images: Tensor) -> Tensor:
    """Images in [-1, 1] as an 8-bit file would hold them: uint8, of the same shape."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def image_channels(images: Tensor, channels: int) -> Tensor:
    """The picture in (N, C, H, W), the first one or three channels without masks; grey is repeated to `channels`."""
    picture = images[:, : 3 if images.shape[1] >= 3 else 1]
    return picture.expand(-1, channels, -1, -1) if picture.shape[1] == 1 else picture


def side_by_side(source: Tensor, fake: Tensor, real: Tensor | None = None) -> list[Tensor]:
    """Source, output and, if there is one, target, (N, C, H, W) each, as colour pictures of the size of the output.

    Returns:
        Two or three tensors (N, 3, H, W), float32 in [-1, 1], on the CPU. Smaller sources are enlarged without blur.
    """
    parts = [source, fake, *([] if real is None else [real])]
    colours = (image_channels(part.float().cpu().clamp(-1, 1), 3) for part in parts)
    size = fake.shape[-2:]
    return [part if part.shape[-2:] == size else F.interpolate(part, size, mode="nearest-exact") for part in colours]


def centred(images: Tensor, height: int, width: int) -> Tensor:
    """The middle of images (N, C, H, W) in [-1, 1], with white around it where they are smaller."""
    return center_crop(images - 1, [height, width]) + 1
