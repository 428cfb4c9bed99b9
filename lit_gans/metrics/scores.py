"""All that one feature network tells of the fakes."""

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric
from torchmetrics.image.fid import FrechetInceptionDistance

from lit_gans.metrics.class_fid import ClassFID
from lit_gans.metrics.features import FeatureNetwork
from lit_gans.metrics.inception_score import InceptionScore


class FeatureScores:
    """FID, IS and what labels tell, on one feature network: an image passes it once and serves all.

    Args:
        network: The network; it is moved to `device`.
        device: Where images are embedded.
        knows_labels: Whether its classes are those of the labels, so that it can tell which fakes are as asked for.
        fid_classes: Number of classes that get an FID of their own; 0 for none.
    """

    def __init__(
        self, network: FeatureNetwork, device: torch.device, *, knows_labels: bool = False, fid_classes: int = 0
    ) -> None:
        self.network, self.device = network.to(device), device
        given = nn.Identity()
        given.num_features = network.num_features
        self.fid = FrechetInceptionDistance(given, reset_real_features=False)
        self.metrics: dict[str, Metric] = {"fid": self.fid, "is": InceptionScore()}
        if knows_labels:
            self.metrics["label_accuracy"] = MeanMetric(nan_strategy="disable")
        if fid_classes:
            self.metrics["class_fid"] = ClassFID(fid_classes)
        for metric in self.metrics.values():
            metric.to("cpu" if device.type == "mps" else device)  # Apple's has no float64

    def update(self, images: Tensor, labels: Tensor | None = None, *, start: int, real: bool) -> None:
        """Takes the images `start` to `start + N` of one of the two sets.

        Args:
            images: (N, C, H, W), float in [-1, 1].
            labels: (N,), of the reals, or those that the fakes were made for; None where nothing is asked of them.
            start: Place of the first image in the sequence of all processes.
            real: Which set.
        """
        self._take(*self.network(images.to(self.device)), labels, start, real)

    def compute(self) -> dict[str, float]:
        """The scores over all processes, which must all call this; forgets the fakes.

        Returns:
            `fid` (Heusel et al. 2017, eq. 6), `is` and, where the network knows the labels, `label_accuracy`, each
            also with the network's name behind it; and `fid_<network>_class<k>` where asked for. A class with fewer
            than two images of either kind has none, which a warning says.
        """
        nothing = torch.empty(0, self.network.num_features), torch.empty(0, self.network.num_classes), torch.empty(0)
        for real in (True, False):  # a process that had no batch of its own joins the exchange with none
            self._take(*nothing, start=0, real=real)
        found = {score: metric.compute().tolist() for score, metric in self.metrics.items()}
        for metric in self.metrics.values():
            metric.reset()
        of_classes = dict(enumerate(found.pop("class_fid", [])))
        if few := [str(label) for label, fid in of_classes.items() if fid != fid]:
            rank_zero_warn(f"no FID of class {', '.join(few)}: it takes at least 2 real and 2 fake images of a class")
        name = self.network.name
        found["fid"] = max(found["fid"], 0.0)  # equal sets give -1e-14
        named = {f"{score}_{name}": value for score, value in found.items()}
        return found | named | {f"fid_{name}_class{label}": fid for label, fid in of_classes.items() if fid == fid}

    def _take(self, features: Tensor, logits: Tensor, labels: Tensor | None, start: int, real: bool) -> None:
        device = self.fid.device
        self.fid.update(features.to(device).double(), real=real)  # returns the dtype that it is given
        if "class_fid" in self.metrics:
            self.metrics["class_fid"].update(features.to(device), labels.to(device), real)
        if not real:
            self.metrics["is"].update(logits.to(device), start)
            if "label_accuracy" in self.metrics:
                self.metrics["label_accuracy"].update(logits.argmax(1).to(device) == labels.to(device))
