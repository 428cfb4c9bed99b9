"""Trains the small perceptual network on the two photographs of scikit-learn and writes its weights file.

    OMP_NUM_THREADS=1 python -m experiments.features.perceptual --seed 1

Takes about two minutes of one core. From a patch of a photograph the network tells what was done to it (one of six
kinds), how strongly, and how it was turned (one of four). On columns that it has not seen it finds 46 % of the kinds
and 43 % of the turns: much of the flower's background is as blurred as the patches that were blurred.

The file goes to `lit_gans/metrics/weights/`; the printed SHA-256 belongs into `lit_gans.perceptual.SMALL_SHA256`.
Another machine, version of torch or number of threads gives other digits.
"""

import argparse
from typing import NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import adjust_contrast, gaussian_blur, jpeg, resize

from datamodules.photographs import parts, photographs
from lit_gans.files import replacing
from lit_gans.metrics.staging import sha256_of
from lit_gans.perceptual import SMALL, SmallNetwork

KINDS = ("nothing", "blur", "noise", "jpeg", "few pixels", "little contrast")
TURNS = 4


class Patches(NamedTuple):
    """Patches of photographs, and what was done to them.

    Attributes:
        images: (N, 3, H, W) in [-1, 1].
        kind: (N,), place in `KINDS`.
        strength: (N,) in [0, 1].
        turn: (N,), number of right angles.
    """

    images: Tensor
    kind: Tensor
    strength: Tensor
    turn: Tensor


def spoilt(patch: Tensor, kind: str, strength: float) -> Tensor:
    """A patch (3, H, W), uint8, with one of `KINDS` done to it, from hardly visible (strength 0) to coarse (1)."""

    def between(weakest: float, strongest: float) -> float:
        return weakest * (strongest / weakest) ** strength

    match kind:
        case "blur":
            return gaussian_blur(patch, [19, 19], [between(0.5, 3)] * 2)
        case "noise":
            noise = between(4, 50) * torch.randn(patch.shape)
            return (patch + noise).round().clamp(0, 255).to(torch.uint8)
        case "jpeg":
            return jpeg(patch, round(between(80, 5)))
        case "few pixels":
            few = [round(side / between(1.3, 5)) for side in patch.shape[1:]]
            return resize(resize(patch, few), patch.shape[1:], v2.InterpolationMode.BICUBIC)
        case "little contrast":
            return adjust_contrast(patch, between(0.8, 0.2))
        case _:
            return patch


def patches(split: str, count: int, size: int = 48) -> Patches:
    """Squares at random places of the photographs, in random sizes and colours, turned and spoilt."""
    pictures = [part for photograph in photographs().values() for part in parts(photograph, split)]
    look = v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.02, 0.35), ratio=(1, 1)),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.3, contrast=0.2, saturation=0.4, hue=0.1),
        ]
    )
    areas = torch.tensor([float(picture[0].numel()) for picture in pictures])
    sources = torch.multinomial(areas, count, replacement=True)
    kind, turn = torch.randint(len(KINDS), (count,)), torch.randint(TURNS, (count,))
    strength = torch.rand(count)
    images = [
        spoilt(look(pictures[source]).rot90(right_angles, (1, 2)), KINDS[what], much)
        for source, right_angles, what, much in zip(*(x.tolist() for x in (sources, turn, kind, strength)), strict=True)
    ]
    return Patches(torch.stack(images) / 127.5 - 1, kind, strength, turn)


class Student(nn.Module):
    """The network, and above it layers that know the answers and are not kept."""

    def __init__(self) -> None:
        super().__init__()
        self.network = SmallNetwork()
        self.top = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.answers = nn.Linear(64, 2 * len(KINDS) + TURNS)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images to logits of the kind (N, kinds), strengths of each kind (N, kinds) and logits of the turn (N, 4)."""
        answers = self.answers(self.top(self.network(images)[-1]).flatten(1))
        return answers.split((len(KINDS), len(KINDS), TURNS), 1)


def loss(student: Student, batch: Patches) -> Tensor:
    """How wrong the three answers are; of the strength that of the kind that it was."""
    kind, strength, turn = student(batch.images)
    error = (strength.gather(1, batch.kind[:, None])[:, 0] - batch.strength)[batch.kind > 0]
    return F.cross_entropy(kind, batch.kind) + 5 * error.square().mean() + F.cross_entropy(turn, batch.turn)


def train(steps: int, batch_size: int = 64) -> Student:
    """Fits a network to patches of the training columns."""
    student = Student()
    optimizer = torch.optim.AdamW(student.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.003, total_steps=steps)
    for step in range(steps):
        error = loss(student, patches("train", batch_size))
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} of {steps}: loss {error:.3f}", flush=True)
    return student


@torch.inference_mode()
def accuracy(student: Student, batch: Patches) -> tuple[float, float]:
    """Shares of patches whose kind, and whose turn, is found."""
    kind, _, turn = student(batch.images)
    pairs = ((kind, batch.kind), (turn, batch.turn))
    return tuple((logits.argmax(1) == answer).float().mean().item() for logits, answer in pairs)


def main() -> None:
    """Reads the command line, trains, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    torch.manual_seed(given.seed)
    student = train(given.steps)
    kinds, turns = accuracy(student, patches("test", 2000))
    command = f"python -m experiments.features.perceptual --steps {given.steps} --seed {given.seed}"
    origin = f"{command}: test accuracy {kinds:.4f} of kinds, {turns:.4f} of turns"
    with replacing(SMALL) as temporary:  # several entries would come in another order, with another hash, each time
        temporary.write_bytes(save(student.network.state_dict(), {"origin": origin}))
    print(f"{origin}\n{SMALL}\nSHA-256 {sha256_of(SMALL)}")


if __name__ == "__main__":
    main()
