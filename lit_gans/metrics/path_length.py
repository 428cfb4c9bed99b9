"""How far images move when the latent moves a little."""

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import perceptual_path_length

from lit_gans.errors import UserError, at_least
from lit_gans.metrics.features import FeatureNetwork
from lit_gans.metrics.reference import Reference
from lit_gans.metrics.score import Score, scalar
from lit_gans.precision import without_tf32
from lit_gans.randomness import keyed_generator, seed_engines


class PathLength(Score):
    """Perceptual path length: mean squared distance of features over a step of latents, by the step's square.

    Karras et al., 2018 (arXiv:1812.04948), section 4.1, between random latents on the sphere, at the path's beginning;
    the lowest and the highest hundredth are left out. Distances are those of the feature network at hand, where the
    paper has VGG16's, so values compare only with others of the same network.

    Args:
        reference: The real images, which are not looked at.
        samples: Number of paths.
        epsilon: Length of the step, as a share of the path.
    """

    name = "ppl"
    higher_is_better = False

    def __init__(self, reference: Reference, *, samples: int = 2000, epsilon: float = 1e-4) -> None:
        at_least(100, samples=samples)
        super().__init__(reference, samples=samples, epsilon=epsilon)

    def look_at(self, model: nn.Module, network: FeatureNetwork) -> None:
        """Walks the paths of the model's averaged generator.

        Raises:
            UserError: it has no latents.
        """
        if not hasattr(getattr(model, "ema", None), "latent_dim"):
            raise UserError("the path length wants a generator that makes images from latents")
        device = next(model.ema.parameters()).device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), without_tf32():
            seed_engines(device, "path length")  # of the labels
            self.mean, _, _ = perceptual_path_length(
                Paths(model),
                self.settings["samples"],
                conditional=model.num_classes > 0,
                interpolation_method="slerp_any",
                epsilon=self.settings["epsilon"],
                resize=None,
                sim_net=Apart(network),
                device=device,
            )

    def compute(self) -> Tensor:
        """The mean; all processes have walked the same paths."""
        return scalar(self.mean.item())


class Paths(nn.Module):
    """A model as torchmetrics wants it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.generator, self.num_classes, self.draws = model.ema, model.num_classes, 0

    def sample(self, count: int) -> Tensor:
        """Latents, other ones at each call."""
        self.draws += 1
        return torch.randn(count, self.generator.latent_dim, generator=keyed_generator("path length", self.draws))

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Images in [0, 255], not rounded."""
        return (self.generator(latent, label) + 1) * 127.5


class Apart(nn.Module):
    """Squared distances of the features of two images."""

    def __init__(self, network: FeatureNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to (N,)."""
        features = (self.network.embed((images.float() + 1) * 127.5)[0] for images in (one, two))
        return torch.sub(*features).double().square().sum(1)
