from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from datamodules.batches import Labelled
from lit_gans.base import AdversarialModule, Terms
from lit_gans.errors import UserError
from lit_gans.losses import AdversarialLoss, NonSaturating
from lit_gans.networks import DiscriminatorFactory, GeneratorFactory, ImageShape, MLPDiscriminator, MLPGenerator
from lit_gans.penalties import Penalty
from lit_gans.randomness import keyed_generator


class GAN(AdversarialModule):
    """Generative adversarial nets (Goodfellow et al., 2014, arXiv:1406.2661, Algorithm 1).

    Pins nothing: any networks, any loss, any penalties. Fakes of the discriminator's turn and of the generator's turn
    come from different latents, as in the algorithm.

    Args:
        image_shape: (C, H, W) of the images; the command line takes it from the data.
        num_classes: Classes that the data have; the command line takes it from the data.
        conditional: Whether both networks are given the labels.
        generator: Makes the generator from (image shape, number of classes).
        discriminator: Makes the discriminator from the same.
        loss: What the players play for.
        penalties: Further terms of the discriminator's loss.
        kwargs: Arguments of AdversarialModule.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_classes: int = 0,
        conditional: bool = False,
        generator: GeneratorFactory = MLPGenerator,
        discriminator: DiscriminatorFactory = MLPDiscriminator,
        loss: AdversarialLoss = NonSaturating(),  # noqa: B008 (losses have no state)
        penalties: Sequence[Penalty] = (),
        **kwargs: Any,
    ) -> None:
        if conditional and not num_classes:
            raise UserError("conditional=true needs labels, and these data have none")
        classes = num_classes if conditional else 0
        super().__init__(
            generator=generator(image_shape, classes), discriminator=discriminator(image_shape, classes), **kwargs
        )
        self.num_classes, self.loss, self.penalties = classes, loss, list(penalties)
        if len({penalty.name for penalty in self.penalties}) < len(self.penalties):
            raise UserError("penalties: each kind can be given once")

    @property
    def example_input_array(self) -> tuple[Tensor, Tensor]:
        """Two latents and labels, for the summary of the model."""
        return torch.zeros(2, self.generator.latent_dim, dtype=self.dtype), torch.zeros(2, dtype=torch.long)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """The discriminator's verdict on the generator's images: both networks once, for the summary of the model."""
        return self.discriminator(self.generator(latent, label), label)

    def setup(self, stage: str) -> None:
        """Refuses data with more classes than the networks know.

        Raises:
            UserError: says how many.
        """
        super().setup(stage)
        classes = getattr(self.trainer.datamodule, "num_classes", 0)
        if self.num_classes and classes > self.num_classes:
            raise UserError(f"the data have {classes} classes, the networks were built for {self.num_classes}")

    def discriminator_loss(self, batch: Labelled) -> Terms:
        """The adversarial loss on reals and fresh fakes, and the penalties that are due."""
        real, fake = batch.image, self.fakes(batch).detach()
        critic = partial(self.discriminator, label=batch.label)
        real_logits, fake_logits = critic(real), critic(fake)
        self.note_decisions(self.loss, real_logits, fake_logits)
        return {"adversarial": self.loss.discriminator(real_logits, fake_logits)} | {
            penalty.name: penalty(critic, real, fake, partial(self.draw, torch.rand, penalty.name))
            for penalty in self.penalties
            if self.turn % penalty.every == 0
        }

    def generator_loss(self, batch: Labelled) -> Terms:
        """The adversarial loss on fresh fakes; relativistic losses compare them with the reals."""
        fake_logits = self.discriminator(self.fakes(batch), batch.label)
        real_logits = self.discriminator(batch.image, batch.label) if self.loss.needs_reals else None
        return {"adversarial": self.loss.generator(fake_logits, real_logits)}

    def fakes(self, batch: Labelled) -> Tensor:
        """One fake for each real, with its label."""
        latent = self.draw(torch.randn, "latent", len(batch.image), self.generator.latent_dim)
        return self.generator(latent, batch.label)

    @torch.no_grad()
    def sample(
        self, n: int, labels: Tensor | None = None, generator: torch.Generator | None = None, batch_size: int = 256
    ) -> Tensor:
        """Images of the averaged generator.

        Latents and labels are drawn image by image, so that the first k of n are the same for any n, batch size and
        device; always in full precision, also in the midst of a training in a lower one.

        Args:
            n: Number of images.
            labels: (n,) or one number for all; None draws uniform ones where the network takes labels.
            generator: CPU generator; None for torch's global one.
            batch_size: Images made at once.

        Returns:
            (n, C, H, W) in [-1, 1], on the model's device.

        Raises:
            UserError: a label that the network does not know, or any for one without labels.
        """
        latents, drawn = [], []
        for _ in range(n):
            latents.append(torch.randn(self.ema.latent_dim, generator=generator))
            drawn.append(torch.randint(max(self.num_classes, 1), (), generator=generator))
        if labels is not None:
            if not self.num_classes:
                raise UserError("this model takes no labels")
            drawn = torch.as_tensor(labels)
            if drawn.numel() not in (1, n):
                raise UserError(f"{drawn.numel()} labels for {n} images: give one for each, or one for all")
            drawn = drawn.expand(n)
            if not ((drawn >= 0) & (drawn < self.num_classes)).all():
                raise UserError(f"labels of this model go from 0 to {self.num_classes - 1}")
        elif n:
            drawn = torch.stack(drawn)
        pieces = zip(torch.stack(latents).split(batch_size), drawn.split(batch_size), strict=True) if n else []
        with torch.autocast(self.device.type, enabled=False):
            images = [self.ema(latent.to(self.device, self.dtype), label.to(self.device)) for latent, label in pieces]
        return torch.cat(images) if images else torch.empty(0, *self.ema.image_shape, device=self.device)

    def validation_step(self, batch: Labelled, batch_idx: int) -> dict[str, Tensor]:
        """As many fakes of the averaged generator as there are reals; the same latents at every validation."""
        index = batch_idx * self.trainer.world_size + self.trainer.global_rank
        labels = batch.label if self.num_classes else None
        fake = self.sample(len(batch.image), labels, keyed_generator("validation", index))
        return {"real": batch.image, "fake": fake, "label": batch.label}
