"""The InceptionV3 of the literature."""

import io
from pathlib import Path

import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from lit_gans.errors import UserError
from lit_gans.metrics.features import FeatureNetwork
from lit_gans.metrics.resize import Resize, Resized
from lit_gans.metrics.staging import sha256_of, staged

# The first digits of the published file's SHA-256, which are in its name.
DIGEST = Path(URL_INCEPTION_V3).stem.rpartition("-")[2]


class Inception(FeatureNetwork):
    """The InceptionV3 of the literature (weights of 2015-12-05), as torch-fidelity ports it.

    Features are the 2048 of the last pooling, logits the 1008 without bias, as in the first published scores. Images
    are resized to 299 pixels; grey is repeated to three channels. Sources: Heusel et al. 2017 (FID), Salimans et al.
    2016 (IS).

    Args:
        weights: a local file in torch-fidelity's format; otherwise the published one, from this project's cache,
            torch hub's cache, or the network (into this project's cache).
        resize: "tf1" as in nearly all published numbers (TensorFlow 1), or "clean" as in clean-fid.

    Raises:
        UserError: the file cannot be had, or is not what it should be.
    """

    name = "inception"
    num_features = 2048
    num_classes = 1008

    def __init__(self, weights: str | None = None, resize: Resize = "tf1") -> None:
        super().__init__()
        self.input = Resized(299, [128.0] * 3, [128.0] * 3, resize)
        self.resize = self.input.says
        path = Path(weights) if weights else staged(URL_INCEPTION_V3, DIGEST, fetch=True)
        if not path.is_file():
            raise UserError(f"no file of Inception weights at {path}")
        self.sha256 = sha256_of(path)
        *layers, self.classifier = _read(path).children()
        self.layers = nn.Sequential(*layers)
        self.eval().requires_grad_(False)

    def embed(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images (N, 1 or 3, H, W), uint8, to features (N, 2048) and logits (N, 1008)."""
        features = self.layers(self.input(levels)).flatten(1)
        return features, features @ self.classifier.weight.T


def _read(path: Path) -> FeatureExtractorInceptionV3:
    """torch-fidelity unpickles whatever it is given, or downloads: it gets an own copy of what was safely read."""
    safe = io.BytesIO()
    try:
        torch.save(torch.load(path, map_location="cpu", weights_only=True), safe)
        safe.seek(0)
        with torch.random.fork_rng(devices=[]):  # its initialisation must not move the random state of the training
            return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=safe)
    except Exception as error:  # a damaged pickle fails in many ways
        reason = [*str(error).splitlines(), type(error).__name__][0]
        raise UserError(f"{path} does not hold Inception weights: {reason}") from error
