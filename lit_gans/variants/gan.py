from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.special import ndtr, ndtri

from datamodules.batches import Labelled
from lit_gans.augment import ADA, Augment
from lit_gans.base import AdversarialModule, Player, Terms
from lit_gans.cells import check_cell, check_networks
from lit_gans.critic import Critic
from lit_gans.errors import UserError, at_least
from lit_gans.losses import AdversarialLoss, NonSaturating
from lit_gans.networks import DiscriminatorFactory, GeneratorFactory, ImageShape, MLPDiscriminator, MLPGenerator
from lit_gans.penalties import R1, R2, Penalty
from lit_gans.precision import full_precision, without_autocast
from lit_gans.randomness import keyed_generator


class GAN(AdversarialModule):
    """Generative adversarial nets (Goodfellow et al., 2014, arXiv:1406.2661, Algorithm 1).

    Pins nothing: any networks, any loss, any penalties, any augmentation, with or without labels. Fakes of the
    discriminator's turn and of the generator's turn come from different latents, as in the algorithm. The defaults are
    today's: the non-saturating loss and Adam, where the paper has gradient descent with momentum.

    Args:
        image_shape: (C, H, W) of the images; the command line takes it from the data.
        num_classes: Classes that the data have; the command line takes it from the data.
        conditional: Whether both networks are given the labels.
        generator: Makes the generator from (image shape, number of classes).
        discriminator: Makes the discriminator from the same.
        loss: What the players play for.
        penalties: Further terms of the discriminator's loss.
        augment: What the discriminator sees instead of images, real or fake; None for the images themselves.
        generator_fakes: Fakes of the generator's turn for each real; in the discriminator's turn it is one.
        uniform_labels: Whether labels of fakes are drawn uniformly; else they are those of the reals.
        kwargs: Arguments of AdversarialModule.

    Raises:
        UserError: the parts do not go together; see `lit_gans.cells`.
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
        augment: Augment | None = None,
        generator_fakes: int = 1,
        uniform_labels: bool = False,
        **kwargs: Any,
    ) -> None:
        if conditional and not num_classes:
            raise UserError(f"{type(self).__name__} with labels needs data that have them, and these have none")
        at_least(1, generator_fakes=generator_fakes)
        classes = num_classes if conditional else 0
        super().__init__(
            generator=generator(image_shape, classes), discriminator=discriminator(image_shape, classes), **kwargs
        )
        self.num_classes, self.loss, self.penalties = classes, loss, nn.ModuleList(penalties)
        self.augment, self.generator_fakes, self.uniform_labels = augment, generator_fakes, uniform_labels
        check_networks(self.generator, self.discriminator)
        check_cell(self.discriminator, loss, penalties, augment, generator_fakes)

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
        real, fake = self.leaves(batch, R1), self.leaves(self.fakes(batch), R2)
        return self.discriminator_terms(self.critic(real, fake), real.image, fake.image)

    def generator_loss(self, batch: Labelled) -> Terms:
        """The adversarial loss on fresh fakes; relativistic losses compare them with the reals."""
        fake = self.fakes(batch, self.generator_fakes)
        return self.generator_terms(self.critic(batch, fake), batch.image, fake.image)

    def fakes(self, batch: Labelled, each: int = 1) -> Labelled:
        """`each` fakes for each real, in full precision, with its label or a uniformly drawn one."""
        n = each * len(batch.image)
        latent, label = self.draw(torch.randn, "latent", n, self.generator.latent_dim), batch.label
        if self.uniform_labels:
            label = (self.draw(torch.rand, "label", n) * self.num_classes).long()
        elif each > 1:
            label = label.repeat_interleave(each)
        return Labelled(full_precision(self.generator(latent, label)), label)

    def leaves(self, batch: Labelled, penalty: type[Penalty]) -> Labelled:
        """The images cut off from what made them; if a penalty on their gradient is due, the loss shares its pass."""
        due = any(isinstance(other, penalty) and other.due(self.turn) for other in self.penalties)
        return batch._replace(image=batch.image.detach().requires_grad_(due))

    def critic(self, real: Labelled, fake: Labelled) -> Critic:
        """The discriminator, told the labels and shown what the augmentation makes of its images."""
        return Critic(self.discriminator, real, fake, self.augmented if self.augment is not None else None)

    def augmented(self, images: Tensor, purpose: str) -> Tensor:
        """What the discriminator sees instead of the images."""
        return self.augment(images, partial(self.draw, torch.rand, purpose), self.kimg)

    def discriminator_terms(self, critic: Critic, real: Tensor, fake: Tensor) -> Terms:
        """The adversarial loss on reals and fakes, and the penalties that are due."""
        penalties = {
            penalty.name: penalty(critic, real, fake, partial(self.draw, torch.rand, penalty.name), self.kimg)
            for penalty in self.penalties
            if penalty.due(self.turn)
        }
        real_logits, fake_logits = critic(real), critic(fake)
        self.note_decisions(self.loss, real_logits, fake_logits)
        if self.augment is not None and self.loss.threshold is not None:
            self.augment.observe(real_logits.detach() - self.loss.threshold)
        return {"adversarial": self.loss.discriminator(real_logits, fake_logits)} | penalties

    def generator_terms(self, critic: Critic, real: Tensor, fake: Tensor) -> Terms:
        """The adversarial loss on fakes."""
        return {"adversarial": self.loss.generator(critic(fake), critic(real) if self.loss.needs_reals else None)}

    def after_step(self, player: Player) -> None:
        """Lets penalties bound the weights of a discriminator that has moved."""
        if player == "discriminator":
            for penalty in self.penalties:
                penalty.after_step(self.discriminator)

    def after_batch(self, images: int) -> None:
        """Lets an adaptive augmentation adapt, and shows its strength in the logs."""
        if self.augment is not None:
            self.augment.adapt(images)
        if isinstance(self.augment, ADA) and self.turn == self.next_row():
            self.note("augment/p", torch.as_tensor(self.augment.probability(self.kimg), device=self.device))

    @torch.no_grad()
    def sample(
        self,
        n: int,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
        batch_size: int = 256,
        truncation: float | None = None,
    ) -> Tensor:
        """Images of the averaged generator.

        Latents and labels are drawn image by image, so that the first k of n are the same for any n, batch size and
        device; always in full precision, also in the midst of a training in a lower one.

        Args:
            n: Number of images.
            labels: (n,) or one number for all; None draws uniform ones where the network takes labels.
            generator: CPU generator; None for torch's global one.
            batch_size: Images made at once.
            truncation: Latents are as if drawn again where they exceed it in size (BigGAN, arXiv:1809.11096, section
                3.1): less variety, better images. None for none.

        Returns:
            (n, C, H, W) in [-1, 1], on the model's device.

        Raises:
            UserError: a label that the network does not know, or any for one without labels; a truncation of 0 or less.
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
        if truncation is not None:
            latents = [truncated(latent, truncation) for latent in latents]
        pieces = zip(torch.stack(latents).split(batch_size), drawn.split(batch_size), strict=True) if n else []
        with without_autocast(self.device):
            images = [self.ema(latent.to(self.device, self.dtype), label.to(self.device)) for latent, label in pieces]
        return torch.cat(images) if images else torch.empty(0, *self.ema.image_shape, device=self.device)

    def validation_step(self, batch: Labelled, batch_idx: int) -> dict[str, Tensor]:
        """As many fakes of the averaged generator as there are reals; the same latents at every validation.

        Labels are drawn from those of the batch, with replacement: see `ImageQuality`.
        """
        index = batch_idx * self.trainer.world_size + self.trainer.global_rank
        n, random = len(batch.image), keyed_generator("labels of validation", index)
        label = batch.label[torch.randint(max(n, 1), (n,), generator=random).to(batch.label.device)]
        fake = self.sample(n, label if self.num_classes else None, keyed_generator("validation", index))
        return {"real": batch.image, "fake": fake, "label": label}


def truncated(latent: Tensor, most: float) -> Tensor:
    """Standard normal numbers, moved to the standard normal distribution between `-most` and `most`."""
    if most <= 0:
        raise UserError(f"truncation must be above 0, not {most}")
    bound = torch.tensor(most, dtype=torch.float64)
    low, high = ndtr(-bound), ndtr(bound)
    return ndtri(low + ndtr(latent.double()) * (high - low)).to(latent)
