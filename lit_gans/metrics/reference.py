"""The real side of every comparison: features of real images, computed once and kept on disk."""

import json
import warnings
from collections.abc import Callable
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import torch
from lightning.pytorch.utilities import rank_zero_only
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lit_gans.errors import UserError
from lit_gans.files import cache_dir, replacing
from lit_gans.metrics.custom import is_published
from lit_gans.metrics.features import FeatureNetwork

FORMAT = 1  # in every key: raise it when the same images would give other features
BLOCK = 1024  # rows of a matrix of distances at a time, so that memory is bounded


class Reference:
    """Features of real images, and what scores derive from them, each derived once.

    Args:
        features: (N, F), float32, of the images that fakes are compared with; they stay where they are.
        labels: Classes of all images of the split, of which these are the first, where they have any.
        device: Where scores compute.
        held_out: Gives features (M, F) of real images that no model was trained on, where there are any.
        num_classes: Labels go from 0 to `num_classes - 1`; 0 where there are none.
        name: Of the data.
        image_size: Of the images, such as "28x28".
        split: What the images are of the data.
        content: A hash of the images.

    Raises:
        UserError: fewer than two images, or features that are not finite.
    """

    def __init__(
        self,
        features: Tensor,
        labels: Tensor | None = None,
        *,
        device: torch.device | str = "cpu",
        held_out: Callable[[], Tensor] | None = None,
        num_classes: int = 0,
        name: str = "",
        image_size: str = "",
        split: str = "",
        content: str = "",
    ) -> None:
        if len(features) < 2:
            raise UserError(f"a comparison needs at least 2 real images, not {len(features)}")
        check_finite(features, "real")
        self.features, self.labels, self.device = features, labels, torch.device(device)
        self.held_out, self.num_classes = held_out, num_classes
        self.name, self.image_size, self.split, self.content = name, image_size, split, content
        self._neighbours: dict[int, Tensor] = {}

    @cached_property
    def mean(self) -> Tensor:
        """(F,), float64."""
        return self.features.double().mean(0).to(self.device)

    @cached_property
    def factor(self) -> Tensor:
        """A lower triangular matrix (F, R), float64, whose product with its transpose is the covariance.

        The Cholesky factor; where the covariance is singular that of an eigenvalue root, or with no more images than
        features that of the centred features, by QR.
        """
        count, width = self.features.shape
        if count <= width:
            return triangular((self.features.to(self.mean) - self.mean) / (count - 1) ** 0.5)
        covariance = moments(self.features, self.device)[1]
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if not failed:
            return factor
        values, vectors = torch.linalg.eigh(covariance)
        return triangular((vectors * values.clamp(min=0).sqrt()).T)

    def neighbours(self, k: int) -> Tensor:
        """(N, k): distances of each image to the k nearest other ones, ascending."""
        if k not in self._neighbours:
            self._neighbours[k] = neighbours(self.centred(self.features), k)
        return self._neighbours[k]

    def centred(self, features: Tensor) -> Tensor:
        """Features (N, F) around the mean of the reals, on the device: distances keep their digits there."""
        return features.to(self.device) - self.mean.float()


def check_finite(features: Tensor, kind: str) -> None:
    """Whether all features (N, F) of a set are numbers.

    Raises:
        UserError: some are not.
    """
    if not (finite := features.isfinite().flatten(1).all(1)).all():
        count, first = int((~finite).sum()), int((~finite).nonzero()[0])
        raise UserError(
            f"the features of {count} of {len(features)} {kind} images are not finite, the first is image {first}: "
            "the images are not either, or the feature network overflows"
        )


def moments(features: Tensor, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Mean (F,) and covariance (F, F) of features (N, F), in float64, computed where they are or on a device."""
    mean = features.double().mean(0).to(device or features.device)
    covariance = torch.zeros(len(mean), len(mean), dtype=mean.dtype, device=mean.device)
    for part in features.split(BLOCK):
        centred = part.to(mean) - mean
        covariance.addmm_(centred.T, centred)
    return mean, covariance / (len(features) - 1)


def triangular(root: Tensor) -> Tensor:
    """A lower triangular L (F, min(N, F)) with L L^T = M^T M, for a matrix M (N, F)."""
    return torch.linalg.qr(root, mode="r").R.T


def neighbours(features: Tensor, k: int) -> Tensor:
    """(N, k): distances of each of the features (N, F) to the k nearest other ones, ascending.

    Raises:
        UserError: there are not that many.
    """
    if len(features) <= k:
        raise UserError(f"the {k}-th nearest neighbour of an image needs more than {k} images, not {len(features)}")
    parts = features.split(BLOCK)
    found = [features.new_full((len(part), k + 1), torch.inf) for part in parts]  # the nearest is the image itself

    def look(place: int, distances: Tensor) -> None:
        found[place] = torch.cat([found[place], distances], dim=1).topk(k + 1, largest=False).values

    for one, part in enumerate(parts):
        for other in range(one, len(parts)):
            distances = torch.cdist(part, parts[other])
            look(one, distances)
            if other > one:  # each pair of blocks once
                look(other, distances.T)
    return torch.cat(found)[:, 1:]


def nearest(features: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Distance (N,) of each of the features (N, F) to the nearest of others (M, F), and which (N,) that is."""
    centre = others.mean(0)  # around which distances keep their digits
    found = [torch.cdist(part - centre, others - centre).min(1) for part in features.split(BLOCK)]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def content_of(images: Tensor) -> str:
    """A hash of images, uint8 (N, C, H, W)."""
    digest = sha256(repr(images.shape).encode())
    for part in images.split(BLOCK):
        digest.update(part.numpy())
    return digest.hexdigest()


def kept_features(
    network: FeatureNetwork, content: str, embed: Callable[[], Tensor], everyone: Callable[[bool], bool] = bool
) -> Tensor:
    """Features (N, F) that were computed earlier, by whichever run, or else are computed now and kept.

    Those of networks that are not of this project are not kept, since their code may change.

    Args:
        network: What computes them.
        content: Changes when the images do.
        embed: Computes them.
        everyone: Whether all processes say yes, so that all compute or none.
    """
    if not is_published(network):
        return embed().cpu()
    made_of = [FORMAT, network.name, network.sha256, network.resize, content]
    key = sha256(json.dumps(made_of).encode()).hexdigest()[:32]
    path = cache_dir() / "features" / "real" / f"{key}.safetensors"
    features = read_features(path)
    if not everyone(features is not None):
        features = embed().cpu()
        write_features(path, features)
    return features


def read_features(path: Path) -> Tensor | None:
    """What the file holds; None if there is none, or a damaged one."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            features, checksum = file.get_tensor("features"), (file.metadata() or {}).get("crc32")
    except (SafetensorError, OSError):
        return None
    return features if checksum == str(crc32(features.numpy())) else None


@rank_zero_only
def write_features(path: Path, features: Tensor) -> None:
    """Keeps features for other runs; without them those only take longer, so a full disk is no error."""
    try:
        with replacing(path) as temporary:
            save_file({"features": features.contiguous()}, temporary, {"crc32": str(crc32(features.numpy()))})
    except (OSError, SafetensorError) as error:
        warnings.warn(f"features of the real images are not kept in {path.parent} ({error})", stacklevel=2)
