"""Losses on what a frozen network sees in images, instead of their pixels."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torchvision.models import VGG16_Weights, VGG19_Weights, vgg16, vgg19

from lit_gans.errors import UserError
from lit_gans.metrics.staging import staged
from lit_gans.networks.adain import statistics
from lit_gans.precision import full_precision

MODELS = {"vgg16": (vgg16, VGG16_Weights.IMAGENET1K_V1.url), "vgg19": (vgg19, VGG19_Weights.IMAGENET1K_V1.url)}


class PerceptualNetwork(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to a list of feature maps by a frozen network; gradients reach the images.

    The network is no submodule: it moves to other devices with whoever holds this, but is in no checkpoint, optimizer
    or average, and stays in eval mode.

    Args:
        name: What the network is called.
        network: Any module that maps such images to a list of maps (N, channels, h, w).
    """

    def __init__(self, name: str, network: nn.Module) -> None:
        super().__init__()
        self.name = name
        self._hidden = [network.eval().requires_grad_(False)]  # nn.Module does not look into lists

    def forward(self, images: Tensor) -> list[Tensor]:
        """The feature maps, (N, channels, h, w) each."""
        return self._hidden[0](images)

    def _apply(self, *args: Any, **kwargs: Any) -> "PerceptualNetwork":
        self._hidden[0]._apply(*args, **kwargs)
        return super()._apply(*args, **kwargs)


class VGGFeatures(PerceptualNetwork):
    """Maps of a VGG that has learned ImageNet (Simonyan and Zisserman, 2015, arXiv:1409.1556; torchvision's weights).

    Layers are named by block and place, as in papers: `relu5_4` is the map after the activation (SRGAN,
    arXiv:1609.04802, with `scale=1 / 12.75`), `conv5_4` the one before it (ESRGAN, arXiv:1809.00219, section 3.3).
    Huang and Belongie (arXiv:1703.06868) look at `relu1_1`, `relu2_1`, `relu3_1` and `relu4_1`, Johnson et al.
    (arXiv:1603.08155) at `relu1_2`, `relu2_2`, `relu3_3` and `relu4_3` of VGG-16. Images are grey or have three
    colours, and keep their size. Most papers used Caffe's weights, whose maps have another scale. None are downloaded.

    Args:
        layers: Names of the layers; maps come in their order.
        model: vgg19 or vgg16.
        scale: Factor of all maps.
        weights: A local file in torchvision's format; otherwise the published one, from this project's cache or torch
            hub's.

    Raises:
        UserError: there is no such model or layer; the file is missing, or not what it should be; when called: the
            images have two or more than three channels, or are too small.
    """

    def __init__(
        self,
        layers: Sequence[str] = ("relu5_4",),
        *,
        model: Literal["vgg16", "vgg19"] = "vgg19",
        scale: float = 1.0,
        weights: str | None = None,
    ) -> None:
        if model not in MODELS:
            raise UserError(f"model must be one of {', '.join(MODELS)}, not {model}")
        super().__init__(model, _Layers(model, layers, scale, weights))
        self.layers, self.model, self.scale, self.weights = tuple(layers), model, scale, weights


def content_loss(
    found: list[Tensor], wanted: list[Tensor], distance: Callable[[Tensor, Tensor], Tensor] = mse_loss
) -> Tensor:
    """The distance of the maps of two batches of images, summed over the layers.

    Args:
        found: Maps of the images made.
        wanted: Maps of the images that they should look like.
        distance: The mean of squares (SRGAN, arXiv:1609.04802, eq. 5), or for instance `l1_loss` (ESRGAN's code).
    """
    return sum(
        distance(full_precision(ours), full_precision(theirs)) for ours, theirs in zip(found, wanted, strict=True)
    )


def style_loss(found: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """How far mean and standard deviation of each map are from the style's: mean squares, summed over the layers.

    As in a common PyTorch port; the paper has norms over the channels in their place, without the square, and the
    authors' code sums over channels (Huang and Belongie, 2017, arXiv:1703.06868, eq. 13).

    Args:
        found: Maps of the images made.
        wanted: Maps of as many images of the style, or of one.
    """
    pairs = [zip(statistics(ours), statistics(theirs), strict=True) for ours, theirs in zip(found, wanted, strict=True)]
    return sum((ours - theirs).square().mean() for pair in pairs for ours, theirs in pair)


class _Layers(nn.Module):
    """The normalisation that ImageNet's networks are used to, then all layers up to the last one that is wanted."""

    def __init__(self, model: str, wanted: Sequence[str], scale: float, weights: str | None) -> None:
        super().__init__()
        with torch.device("meta"):  # no memory, and above all no draw from the random state of the training
            network = _named(MODELS[model][0]().features)
        names = [name for name, _ in network.named_children()]
        for name in wanted:
            if name not in names:
                raise UserError(f"{model} has no layer {name}: choose among {', '.join(names)}")
        _load(network, model, weights)
        self.layers = network[: 1 + max(names.index(name) for name in wanted)]
        self.wanted, self.scale = tuple(wanted), scale
        self.smallest = 2 ** sum(isinstance(layer, nn.MaxPool2d) for layer in self.layers)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def forward(self, images: Tensor) -> list[Tensor]:
        if images.shape[1] not in (1, 3):
            raise UserError(f"VGG sees images of 1 or 3 channels, not of {images.shape[1]}")
        if min(images.shape[2:]) < self.smallest:
            raise UserError(
                f"images of {images.shape[2]}x{images.shape[3]} are too small for {self.wanted[-1]} of VGG: "
                f"use {self.smallest} pixels or more, or an earlier layer"
            )
        features, maps = ((images + 1) / 2 - self.mean) / self.std, {}  # grey becomes three colours
        for name, layer in self.layers.named_children():
            features = layer(features)
            if name in self.wanted:
                maps[name] = features * self.scale  # a copy: activations work in place
        return [maps[name] for name in self.wanted]


def _named(features: nn.Sequential) -> nn.Sequential:
    """The same layers under the names of the literature."""
    named, block, place = nn.Sequential(), 1, 0
    for layer in features:
        if isinstance(layer, nn.MaxPool2d):
            named.add_module(f"pool{block}", layer)
            block, place = block + 1, 0
        elif isinstance(layer, nn.Conv2d):
            place += 1
            named.add_module(f"conv{block}_{place}", layer)
        else:
            named.add_module(f"relu{block}_{place}", layer)
    return named


def _load(network: nn.Sequential, model: str, weights: str | None) -> None:
    """Gives the layers the weights from a file of torchvision's, which calls them by their index."""
    url = MODELS[model][1]
    digest = Path(url).stem.rpartition("-")[2]  # the first digits of its SHA-256
    path = Path(weights) if weights else staged(url, digest)
    if not path.is_file():
        raise UserError(f"no file of {model} weights at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for index, layer in enumerate(network):
            layer.load_state_dict({key: state[f"features.{index}.{key}"] for key in layer.state_dict()}, assign=True)
    except Exception as error:  # a damaged pickle fails in many ways
        reason = [*str(error).splitlines(), type(error).__name__][0]
        raise UserError(f"{path} does not hold weights of {model}: {reason}") from error
