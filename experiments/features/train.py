"""Trains the feature network of one small grey dataset from scratch and writes its weights file.

    python -m experiments.features.train --data MNIST --root data

The file goes to `lit_gans/metrics/weights/`; the printed SHA-256 belongs into `lit_gans.metrics.features.SHIPPED`.
"""

import argparse
import math
from hashlib import sha256

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules import MNIST, Digits, FashionMNIST
from lit_gans.files import replacing
from lit_gans.metrics.features import WEIGHTS, small_cnn

DATA = {data.__name__: data for data in (MNIST, FashionMNIST, Digits)}


def jitter(images: Tensor, pixels: float) -> Tensor:
    """Shifts, turns and scales each image a little, and fills with black."""
    size, n = images.shape[-1], len(images)
    angle, zoom = torch.empty(n).uniform_(-0.15, 0.15), torch.empty(n).uniform_(0.9, 1.1)
    shift = torch.empty(n, 2, 1).uniform_(-2 * pixels / size, 2 * pixels / size)
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(n, 2, 2)
    grid = F.affine_grid(torch.cat([rotation * zoom.view(n, 1, 1), shift], 2), images.shape, align_corners=False)
    return F.grid_sample(images + 1, grid, align_corners=False) - 1


def train(images: Tensor, labels: Tensor, epochs: int, batch_size: int = 128) -> nn.Sequential:
    """Fits a network to images (N, 1, H, W) in [-1, 1] with classes (N,)."""
    network = small_cnn()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    steps = epochs * math.ceil(len(images) / batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
    for epoch in range(epochs):
        for batch in torch.randperm(len(images)).split(batch_size):
            # A fourteenth of the width: two pixels of 28, half of one of 8.
            logits = network(jitter(images[batch], pixels=images.shape[-1] / 14))
            loss = F.cross_entropy(logits, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {epochs}: last loss {loss:.4f}", flush=True)
    return network.eval()


@torch.inference_mode()
def accuracy(network: nn.Sequential, images: Tensor, labels: Tensor) -> float:
    """Share of the images (N, 1, H, W) in [-1, 1] whose class the network finds."""
    found = [network(part).argmax(1) for part in images.split(1000)]
    return (torch.cat(found) == labels).float().mean().item()


def main() -> None:
    """Reads the command line, trains, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=DATA, required=True)
    parser.add_argument("--root", default="data", help="folder of the data sets")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    data = DATA[arguments.data](root=arguments.root)
    # Grey levels become floats exactly as `FeatureNetwork` hands them on.
    (images, labels), (test_images, test_labels) = (
        (images / 127.5 - 1, labels) for images, labels in (data.split("train"), data.split("test"))
    )
    network = train(images, labels, arguments.epochs)
    score = accuracy(network, test_images, test_labels)
    path = WEIGHTS / f"{data.name}.safetensors"
    metadata = {
        "data": f"{arguments.data}, {len(images)} training images",
        "test_accuracy": f"{score:.4f}",
        "test_images": str(len(test_images)),
        "size": str(images.shape[-1]),
        "script": f"python -m experiments.features.train --data {arguments.data} "
        f"--epochs {arguments.epochs} --seed {arguments.seed}",
    }
    with replacing(path) as temporary:
        temporary.write_bytes(save(network.state_dict(), metadata))
    print(f"test accuracy {score:.4f}\n{path}\nSHA-256 {sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
