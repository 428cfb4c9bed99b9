"""Networks that turn images into the features and class logits that FID, IS and their kin compare."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_gans.errors import UserError
from lit_gans.metrics.staging import shipped
from lit_gans.pictures import levels
from lit_gans.precision import without_autocast, without_tf32

WEIGHTS = Path(__file__).with_name("weights")
# SHA-256 of each shipped file: a number is only comparable when the network behind it is known to the last bit.
SHIPPED = {
    "digits": "691d1f78e5b2c2b4a0af32787df5742d36b8bcecacc47b25c9f59f500cf2a7c4",
    "fashion_mnist": "38c4d25ff7393e6795c963338802738593344ee0d7ad1cf1e82f2c38766d0d3c",
    "mnist": "ae795e1a8676d780214880282f6038ed3ab6562dd46ec97c61ef202f927b4cc9",
}


class FeatureNetwork(nn.Module):
    """A frozen network that reads images as an 8-bit file would hold them; always in eval mode, in float32.

    Rounding fakes to 256 levels treats them as the reals, which come from such files. A subclass gives `embed`.

    Attributes:
        name: suffix of the metrics' names (`val/fid_<name>`); that of the data, if the logits are for its classes.
        num_features: width of the features.
        num_classes: number of logits; 0 of a network that does not classify, whose logits are (N, 0).
        sha256: hash of the weights file, part of the metrics' protocol.
        resize: how images of another size reach the network's own, part of the metrics' protocol.
    """

    name: str
    num_features: int
    num_classes: int
    sha256: str
    resize: str

    @torch.inference_mode()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images (N, C, H, W), float in [-1, 1], to features (N, num_features) and logits (N, num_classes)."""
        with without_autocast(images.device), without_tf32():
            return self.embed(levels(images))

    def embed(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images (N, C, H, W), uint8, to features and logits, float32."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> "FeatureNetwork":
        """Stays in eval mode, whatever is asked: batch statistics must never depend on what is measured."""
        return super().train(False)


def small_cnn() -> nn.Sequential:
    """Four convolutions and a linear layer, 98 000 weights: grey images (N, 1, H, W), at least 8 x 8, to 10 logits."""

    def block(fan_in: int, fan_out: int, pool: nn.Module) -> nn.Sequential:
        convolution = nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(fan_out), nn.ReLU(), pool)

    return nn.Sequential(
        block(1, 16, nn.MaxPool2d(2)),
        block(16, 32, nn.MaxPool2d(2)),
        block(32, 64, nn.MaxPool2d(2)),
        block(64, 128, nn.AdaptiveAvgPool2d(1)),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


class SmallClassifier(FeatureNetwork):
    """A classifier of one small grey dataset, shipped with its weights (`experiments/features/train.py` made them).

    Inception has never seen a digit; features of a network that knows the classes tell such sets apart better, in a
    fraction of the time. The numbers compare with each other only, not with published ones. Images are resized to the
    size that the network was trained on (bilinear, antialiased when they shrink), colours are averaged to grey.

    Args:
        name: dataset, one of `SHIPPED`.

    Raises:
        UserError: there is no such network, or its file is not the one that was published.
    """

    resize = "bilinear, antialiased"

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in SHIPPED:
            raise UserError(f"no feature network is shipped for {name!r}; choose one of {', '.join(SHIPPED)}")
        self.name, self.sha256 = name, SHIPPED[name]
        weights, self.metadata = shipped(WEIGHTS / f"{name}.safetensors", self.sha256)
        with torch.device("meta"):  # no memory, and above all no draw from the random state of the training
            self.network = small_cnn()
        self.network.load_state_dict(weights, assign=True)
        self.num_features, self.num_classes = self.network[-1].in_features, self.network[-1].out_features
        self.eval().requires_grad_(False)

    def embed(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images (N, C, H, W), uint8, to features (N, 128) and logits (N, 10)."""
        grey = levels.float().mean(1, keepdim=True) / 127.5 - 1
        size = int(self.metadata["size"])
        if grey.shape[-2:] != (size, size):
            grey = F.interpolate(grey, (size, size), mode="bilinear", antialias=True)
        features = self.network[:-1](grey)
        return features, self.network[-1](features)


def default_features(dataset: str) -> list[FeatureNetwork]:
    """The networks that measure `dataset` when none are asked for: its own if one is shipped, else Inception.

    Raises:
        UserError: it is Inception, and its weights cannot be had.
    """
    from lit_gans.metrics.inception import Inception  # both stand on this module
    from lit_gans.metrics.stacked import StackedClassifier

    if dataset == StackedClassifier.name:
        return [StackedClassifier()]
    return [SmallClassifier(dataset) if dataset in SHIPPED else Inception()]
