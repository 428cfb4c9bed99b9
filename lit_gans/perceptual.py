"""Losses on what a frozen network sees in images, instead of their pixels."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, mse_loss
from torchvision.models import VGG16_Weights, VGG19_Weights, vgg16, vgg19

from lit_gans.errors import UserError, at_least
from lit_gans.metrics.features import WEIGHTS
from lit_gans.metrics.staging import shipped, staged
from lit_gans.networks.adain import statistics
from lit_gans.precision import full_precision

MODELS = {"vgg16": (vgg16, VGG16_Weights.IMAGENET1K_V1.url), "vgg19": (vgg19, VGG19_Weights.IMAGENET1K_V1.url)}
SMALL = WEIGHTS / "perceptual.safetensors"
SMALL_SHA256 = "01d0dacb8feba614ea3639faf058e71395f69738cace3c169a193732f3fbe88b"


class PerceptualNetwork(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to a list of feature maps by a frozen network; gradients reach the images.

    The network is no submodule: it moves to other devices with whoever holds this, but is in no checkpoint, optimizer
    or average, and stays in eval mode. It is made when it is first needed, by `prepare` before a training: what has
    been trained is loaded and used without it.

    Args:
        name: What the network is called.
        make: Gives a module that maps such images to a list of maps (N, channels, h, w).
    """

    def __init__(self, name: str, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.name, self.make = name, make
        self._made: list[nn.Module] = []  # nn.Module does not look into lists

    def prepare(self) -> None:
        """Makes the network, unless it is made.

        Raises:
            UserError: its weights cannot be had.
        """
        if not self._made:
            self._made.append(self.make().eval().requires_grad_(False))

    def forward(self, images: Tensor) -> list[Tensor]:
        """The feature maps, (N, channels, h, w) each."""
        if not self._made:
            self.prepare()
            self._made[0].to(images.device, torch.promote_types(images.dtype, torch.float32))
        return self._made[0](images)

    def _apply(self, *args: Any, **kwargs: Any) -> "PerceptualNetwork":
        for network in self._made:
            network._apply(*args, **kwargs)
        return super()._apply(*args, **kwargs)


def prepare_perceptual(model: nn.Module) -> None:
    """Makes the perceptual networks in a model, so that weights that cannot be had are missed before the training.

    Raises:
        UserError: they cannot be had; says what to do.
    """
    for part in model.modules():
        if isinstance(part, PerceptualNetwork):
            part.prepare()


def check_images(images: Tensor, network: str, smallest: int) -> None:
    """Checks the shape of images (N, C, H, W).

    Args:
        images: The images.
        network: Name of the network that shall see them.
        smallest: Height and width in pixels below which nothing is left after its poolings.

    Raises:
        UserError: they have two or more than three channels, or are too small.
    """
    channels, height, width = images.shape[1:]
    if channels not in (1, 3):
        raise UserError(f"{network} sees images of 1 or 3 channels, not of {channels}")
    if min(height, width) < smallest:
        raise UserError(f"images of {height}x{width} are too small for {network}: use {smallest} pixels or more")


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
        UserError: there is no such model or layer; before the training, or when called: the file is missing, or not
            what it should be; when called: the images have two or more than three channels, or are too small.
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
        at_least(1, number_of_layers=len(layers))
        names = [name for name, _ in _without_weights(model).named_children()]
        for name in layers:
            if name not in names:
                raise UserError(f"{model} has no layer {name}: choose among {', '.join(names)}")
        super().__init__(model, partial(_VGGLayers, model, layers, scale, weights))
        self.layers, self.model, self.scale, self.weights = tuple(layers), model, scale, weights


class SmallFeatures(PerceptualNetwork):
    """Maps of a small network that comes with this project, for want of VGG's weights.

    `experiments/features/perceptual.py` made it: it has learned from two photographs what was done to a patch of them
    and how it was turned, as networks learn their first layers even from a single image (Asano et al., 2020,
    arXiv:1904.13132). It knows textures and faults, and no things. The three maps, of all, a half and a quarter of the
    places, are those of `SmallNetwork`. Its numbers compare with each other only.

    Raises:
        UserError: before the training, or when called: its file is not the one that was published; when called: the
            images have two or more than three channels, or are smaller than 4 pixels.
    """

    def __init__(self) -> None:
        super().__init__("small", _trained_small_network)


class SmallNetwork(nn.Module):
    """Three convolutions, 24 000 weights: images (N, 1 or 3, H, W) to maps of 16, 32 and 64 channels, in float32.

    At each place a map is divided by its root mean square over the channels, so that contrast counts less where there
    is much of it, and that no map counts more for its size: their mean squares are below 1.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 64)
        self.convolutions = nn.ModuleList(nn.Conv2d(*pair, 3, padding=1) for pair in pairwise(widths))
        for convolution in self.convolutions:
            nn.init.kaiming_normal_(convolution.weight)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps (N, 16, H, W), (N, 32, H // 2, W // 2) and (N, 64, H // 4, W // 4)."""
        check_images(images, "SmallFeatures", 4)
        features, maps = images.expand(-1, 3, -1, -1), []
        for convolution in self.convolutions:
            seen = full_precision(convolution(avg_pool2d(features, 2) if maps else features)).relu()
            features = seen / (seen.square().mean(1, keepdim=True) + 0.1).sqrt()
            maps.append(features)
        return maps


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


class _VGGLayers(nn.Module):
    """The normalisation that ImageNet's networks are used to, then all layers up to the last one that is wanted."""

    def __init__(self, model: str, wanted: Sequence[str], scale: float, weights: str | None) -> None:
        super().__init__()
        network = _without_weights(model)
        names = [name for name, _ in network.named_children()]
        _load(network, model, weights)
        self.layers = network[: 1 + max(names.index(name) for name in wanted)]
        self.wanted, self.scale = tuple(wanted), scale
        self.smallest = 2 ** sum(isinstance(layer, nn.MaxPool2d) for layer in self.layers)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def forward(self, images: Tensor) -> list[Tensor]:
        check_images(images, "VGG", self.smallest)
        features, maps = ((images + 1) / 2 - self.mean) / self.std, {}  # grey becomes three colours
        for name, layer in self.layers.named_children():
            features = layer(features)
            if name in self.wanted:
                maps[name] = features * self.scale  # a copy: activations work in place
        return [maps[name] for name in self.wanted]


def _trained_small_network() -> SmallNetwork:
    weights, _ = shipped(SMALL, SMALL_SHA256)
    with torch.device("meta"):  # as below
        network = SmallNetwork()
    network.load_state_dict(weights, assign=True)
    return network


def _without_weights(model: str) -> nn.Sequential:
    """All layers under the names of the literature."""
    with torch.device("meta"):  # no memory, and above all no draw from the random state of the training
        features = MODELS[model][0]().features
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
    try:
        path = Path(weights) if weights else staged(url, digest)
    except UserError as error:
        raise UserError(f"{error}, or choose another perceptual network, such as SmallFeatures") from error
    if not path.is_file():
        raise UserError(f"no file of {model} weights at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for index, layer in enumerate(network):
            layer.load_state_dict({key: state[f"features.{index}.{key}"] for key in layer.state_dict()}, assign=True)
    except Exception as error:  # a damaged pickle fails in many ways
        reason = [*str(error).splitlines(), type(error).__name__][0]
        raise UserError(f"{path} does not hold weights of {model}: {reason}") from error
