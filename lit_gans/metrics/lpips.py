"""Learned perceptual distance between two images."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import lpips as published

from lit_gans.metrics.staging import sha256_of, staged

Backbone = Literal["alex", "vgg"]
BACKBONES: dict[Backbone, str] = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}
"""Files of torchvision's ImageNet weights; the digits in their names begin their SHA-256."""

SMALLEST = 32
"""Height and width in pixels below which nothing is left after the poolings."""


class LPIPS(nn.Module):
    """Learned perceptual image patch similarity, version 0.1 (Zhang et al., 2018, arXiv:1801.03924, eq. 1); 0 is equal.

    torchmetrics' network and the linear weights that come with it, on a backbone that has to be there: nothing is
    downloaded.

    Args:
        backbone: "alex", which its authors advise for measuring, or "vgg", the nearer to what was trained with VGG.

    Attributes:
        settings: Hashes of the weights, for the protocol.

    Raises:
        UserError: the backbone's weights are not there, or not what was published; says what to download to where.
    """

    def __init__(self, backbone: Backbone = "alex") -> None:
        super().__init__()
        name = BACKBONES[backbone]
        digest = Path(name).stem.rpartition("-")[2]
        trained = staged(f"https://download.pytorch.org/models/{name}", digest)
        linear = Path(published.__file__).parent / "lpips_models" / f"{backbone}.pth"
        self.settings = {"backbone": sha256_of(trained), "linear": sha256_of(linear)}
        with torch.device("meta"):  # no memory, and no draw from the random state of the training
            self.network = published._LPIPS(net=backbone, pretrained=False, pnet_rand=True)
        backbone_weights = torch.load(trained, map_location="cpu", weights_only=True)
        weights = torch.load(linear, map_location="cpu", weights_only=True)
        for part, layers in self.network.net.named_children():
            weights |= {f"net.{part}.{key}": backbone_weights[f"features.{key}"] for key in layers.state_dict()}
        self.network.load_state_dict(weights, strict=False, assign=True)  # each linear layer has a second name
        self.eval().requires_grad_(False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Images (N, 3, H, W), uint8, at least 32 x 32, to distances (N,)."""
        return self.network(*(images.float() / 127.5 - 1 for images in (fake, real))).flatten()

    def train(self, mode: bool = True) -> "LPIPS":
        """Stays in eval mode, whatever is asked."""
        return super().train(False)
