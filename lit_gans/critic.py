"""The discriminator as losses and penalties see it."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from datamodules.batches import Labelled
from lit_gans.precision import autocasts


class Critic:
    """From images to the discriminator's answer; the same images pass it once, however many terms ask.

    A second pass is made only where one is wrong: without autocast for a penalty, with it for the loss.

    Args:
        network: The discriminator, from images and labels to its answer.
        real: Real images and their labels.
        fake: Fake images and theirs.
        augment: What the discriminator sees instead of images, `augment(images, purpose)`.
    """

    def __init__(
        self, network: nn.Module, real: Labelled, fake: Labelled, augment: Callable[[Tensor, str], Tensor] | None = None
    ) -> None:
        self.network, self.real, self.fake, self.augment = network, real, fake, augment
        self.answers: dict[tuple[int, bool], tuple[Tensor, Any]] = {}

    def __call__(self, images: Tensor, like: Tensor | None = None) -> Tensor:
        """The logits of the reals, the fakes, or other images; the arguments are those of `answer`."""
        answer = self.answer(images, like)
        return answer[0] if isinstance(answer, tuple) else answer

    def answer(self, images: Tensor, like: Tensor | None = None) -> Any:
        """All that the network says: logits, or a tuple that begins with them.

        Args:
            images: (N, C, H, W).
            like: The reals or the fakes, whose labels and augmentation the images have; by default the reals.
        """
        key = id(images), autocasts(images.device)
        if key not in self.answers:
            faked = images is self.fake.image or like is self.fake.image
            seen = self.augment(images, "augment fakes" if faked else "augment reals") if self.augment else images
            answer = self.network(seen, self.fake.label if faked else self.real.label)
            self.answers[key] = images, answer  # the images are kept, so that no others get their id
        return self.answers[key][1]
