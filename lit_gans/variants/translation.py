"""What the translators of images have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from datamodules.batches import Paired
from lit_gans.base import AdversarialModule, Terms
from lit_gans.errors import UserError
from lit_gans.losses import AdversarialLoss
from lit_gans.networks import ImageShape, Translator
from lit_gans.perceptual import prepare_perceptual
from lit_gans.pool import ImagePool
from lit_gans.precision import full_precision, without_autocast
from lit_gans.randomness import keyed_generator, seed_engines, untouched_randomness
from lit_gans.tiles import in_tiles


class Translation(AdversarialModule):
    """A game whose generator makes images from images.

    Whoever plays on a batch, the images made of it are the same ones, and made once, as in the published codes. Only of
    micro-batches no graph is kept from one turn to the next, since that is what they avoid: it is made again.

    Args:
        source_shape: (C, H, W) of the images that come in; the command line takes it from the data.
        image_shape: (C, H, W) of the images made; the command line takes it from the data.
        loss: What the players play for.
        kwargs: Arguments of AdversarialModule.
    """

    batches = Paired

    def __init__(
        self, *, source_shape: ImageShape, image_shape: ImageShape, loss: AdversarialLoss, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.source_shape, self.image_shape, self.loss = tuple(source_shape), tuple(image_shape), loss
        self._shared: dict[int, Any] | None = None

    @property
    def paired(self) -> bool:
        """Whether outputs have targets."""
        return self.batches is Paired

    @property
    def example_input_array(self) -> tuple[Tensor, Tensor]:
        """A batch, for the summary of the model."""
        return tuple(torch.zeros(2, *shape, dtype=self.dtype) for shape in (self.source_shape, self.image_shape))

    def setup(self, stage: str) -> None:
        """Makes the networks that only a training needs, or raises a UserError; see `AdversarialModule`."""
        super().setup(stage)
        if stage == "fit":
            prepare_perceptual(self)

    def forward(self, *images: Tensor) -> Terms:
        """The generator's loss, which asks all networks: for the summary of the model."""
        return self.generator_loss(self.batches(*images))

    def make(self, batch: Any) -> Any:
        """What the generator makes of a batch, in full precision."""
        return full_precision(self.generator(batch.source))

    def made(self, batch: Any) -> Any:
        """The same, with its graph, once for all turns on the batch."""
        moving = any(parameter.requires_grad for parameter in self.generator.parameters())
        whole, place = self.micro_batches == 1, self._piece and self._piece[0]
        if self._shared and place in self._shared and (whole or not moving):
            return self._shared[place]
        with trainable(self.generator):  # although another player may be moving
            made = self.make(batch)
        if self._shared is not None:
            self._shared[place] = made if whole else detached(made)
        return made

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """One batch; see `AdversarialModule`."""
        self._shared = {}
        super().training_step(batch, batch_idx)
        self._shared = None

    def adversarial(self, discriminator: nn.Module, fake: Tensor, real: Tensor) -> Tensor:
        """The generator's loss on what a discriminator says of images made; relativistic ones look at the real too."""
        return self.loss.generator(discriminator(fake), discriminator(real) if self.loss.needs_reals else None)

    def earlier(self, pool: ImagePool, images: Tensor, purpose: str) -> Tensor:
        """What a pool hands out for the images at hand; all devices keep the same pool, of the images of all."""
        world, rank = (self.trainer.world_size, self.trainer.global_rank) if self._trainer else (1, 0)
        start, stop, size = self._piece or (0, len(images), len(images))
        chance = torch.rand(2, world, size, generator=keyed_generator(self.seed, self.images_seen, purpose))
        everyone = self.all_gather(images).view(-1, *images.shape[1:]) if world > 1 else images
        return pool(everyone, chance[:, :, start:stop].flatten(1)).chunk(world)[rank]

    def translate(self, images: Tensor, **tiles: Any) -> Tensor:
        """Images of any size by the averaged generator, always in full precision.

        Args:
            images: (N, C, H, W), float in [-1, 1] or uint8, as files hold them.
            tiles: `tile`, `overlap` and `canvas` of `in_tiles`, for images that are too large for the memory.

        Returns:
            (N, C, scale * H, scale * W), of the type and on the device of the images.

        Raises:
            UserError: the images have another number of channels than those of the training.
        """
        return self.translated(self.ema, images, **tiles)

    @torch.no_grad()
    def translated(self, network: Translator, images: Tensor, *shown: Tensor, **tiles: Any) -> Tensor:
        """The same by one of several networks, which may be shown something beside each image."""
        if not isinstance(images, Tensor) or images.ndim != 4:
            raise UserError("translate takes a tensor (N, C, H, W): floats in [-1, 1], or uint8")
        if images.shape[1] != (channels := network.source_shape[0]):
            raise UserError(f"the model takes images of {channels} channels, not of {images.shape[1]}")
        shown = [other.to(self.device, self.dtype) for other in shown]
        with without_autocast(self.device):
            return in_tiles(
                lambda piece: self.at_test(network, piece.to(self.device, self.dtype), *shown).to(piece),
                images,
                channels=network.image_shape[0],
                scale=network.scale,
                multiple=network.multiple,
                least=network.least,
                **tiles,
            )

    def at_test(self, network: Translator, images: Tensor, *shown: Tensor) -> Tensor:
        """Images (N, C, h, w), of sides that the network takes, to images in [-1, 1]."""
        return network(images, *shown).clamp(-1, 1)

    def validation_step(self, batch: Paired, batch_idx: int) -> dict[str, Tensor]:
        """The targets and what is made of the sources; the same randomness, where there is any, at each validation."""
        index = batch_idx * self.trainer.world_size + self.trainer.global_rank
        with untouched_randomness(self.device):
            seed_engines(self.device, "validation", index)
            fake = self.translate(batch.source)
        return {"source": batch.source, "real": batch.target, "fake": fake}


def known(source_shape: ImageShape | None) -> ImageShape:
    """The shape of the sources.

    Raises:
        UserError: the data have none.
    """
    if source_shape is None:
        raise UserError("these data have no sources to make images from: choose data with pairs, or two sets of images")
    return source_shape


def detached(images: Any) -> Any:
    """Images, or a tuple of them, without their graph."""
    return images.detach() if isinstance(images, Tensor) else type(images)(*map(Tensor.detach, images))


@contextmanager
def trainable(network: nn.Module) -> Iterator[None]:
    """Lets a graph be kept of what a network makes in the turn of another player."""
    frozen = [parameter for parameter in network.parameters() if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
