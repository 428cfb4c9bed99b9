"""Adaptive discriminator augmentation, Karras et al., 2020, arXiv:2006.06676."""

import math

import torch
from torch import Tensor

from lit_gans.augment.base import Augment
from lit_gans.augment.transforms import cut_out, flipped, low_pass, recolour, rotation, turned, warp
from lit_gans.errors import UserError, at_least
from lit_gans.schedules import Schedule, value_at


class Dice:
    """Random strengths, (N,) each, out of numbers (N, K) from U(0, 1), of which each column serves once."""

    def __init__(self, numbers: Tensor) -> None:
        self.columns = iter(numbers.unbind(1))

    def uniform(self, low: float, high: float) -> Tensor:
        """Numbers from U(low, high)."""
        return low + next(self.columns) * (high - low)

    def below(self, count: int) -> Tensor:
        """Whole numbers from 0 to `count - 1`."""
        return (next(self.columns) * count).floor()

    def normal(self, std: float) -> Tensor:
        """Numbers from N(0, std^2), at most 5.2 std from zero."""
        return torch.special.ndtri(next(self.columns).clamp(1e-7, 1 - 1e-7)) * std

    def sometimes(self, share: Tensor | float, strength: Tensor, neutral: float) -> Tensor:
        """The strength in a share of the images, in the others the one that changes nothing."""
        return torch.where(next(self.columns) < share, strength, neutral)


def check_probabilities(**probabilities: float) -> None:
    """Checks numbers given by the user.

    Raises:
        UserError: one is not between 0 and 1.
    """
    for name, value in probabilities.items():
        if not 0 <= value <= 1:
            raise UserError(f"{name} must be between 0 and 1, not {value}")


class ADA(Augment):
    """Each change happens with probability p, which adapts until D is no surer of its reals than wanted.

    D overfits as far as r_t = E sign(D(real)) is above the target: every few batches p takes a step up or down (section
    3). Changes, their order and their strengths are those of the published code's pipeline `bgc` (appendix B), with
    two differences. Flips and right angles copy pixels, as their name in the paper says (pixel blitting); the code's
    filter is not symmetric and leaves ripples on them. And the image is mirrored endlessly at its borders; the code
    pads by what the batch needs, at most by the image itself, and has zeros farther out.

    Args:
        p: Overall probability, between 0 and 1: where it starts if it adapts, else a number or a schedule.
        target: Wanted r_t; None for a p that does not adapt.
        speed_kimg: Thousands of images in which p can go from 0 to 1.
        every: Batches between two steps.
        xflip: This and the next ones multiply p, between 0 and 1. Left and right are swapped, in half of the cases.
        rotate90: A turn by 0, 1, 2 or 3 right angles; the images must be square.
        xint: A shift by whole pixels.
        scale: A change of size.
        rotate: A rotation, before the change of proportions or after it.
        aniso: A change of proportions.
        xfrac: A shift by any distance.
        brightness: A number is added to all values.
        contrast: All values are multiplied.
        lumaflip: Dark and light are swapped, hues kept, in half of the cases.
        hue: A rotation of colours about the grey axis.
        saturation: A change of their distance from it.
        cutout: A rectangle becomes zero.
        xint_max: Largest shift, as a share of the image's side.
        scale_std: Standard deviation of the size's binary logarithm.
        rotate_max: Largest rotation; 1 is a half-turn each way.
        aniso_std: Standard deviation of the proportions' binary logarithm.
        xfrac_std: Standard deviation of the shift, as a share of the image's side.
        brightness_std: Standard deviation of what is added.
        contrast_std: Standard deviation of the factor's binary logarithm.
        hue_max: Largest rotation; 1 is a half-turn each way.
        saturation_std: Standard deviation of the factor's binary logarithm.
        cutout_size: Sides of the rectangle, as a share of the image's.

    Raises:
        UserError: a probability is not between 0 and 1, `every` or `speed_kimg` is too small, or a p that adapts is
            given as a schedule.
    """

    numbers = 31  # those of each change, and for each change one that decides whether it happens

    def __init__(
        self,
        *,
        p: float | Schedule = 0.0,
        target: float | None = 0.6,
        speed_kimg: float = 500.0,
        every: int = 4,
        xflip: float = 1.0,
        rotate90: float = 1.0,
        xint: float = 1.0,
        scale: float = 1.0,
        rotate: float = 1.0,
        aniso: float = 1.0,
        xfrac: float = 1.0,
        brightness: float = 1.0,
        contrast: float = 1.0,
        lumaflip: float = 1.0,
        hue: float = 1.0,
        saturation: float = 1.0,
        cutout: float = 0.0,
        xint_max: float = 0.125,
        scale_std: float = 0.2,
        rotate_max: float = 1.0,
        aniso_std: float = 0.2,
        xfrac_std: float = 0.125,
        brightness_std: float = 0.2,
        contrast_std: float = 0.5,
        hue_max: float = 1.0,
        saturation_std: float = 1.0,
        cutout_size: float = 0.5,
    ) -> None:
        super().__init__()
        if target is not None and isinstance(p, Schedule):
            raise UserError(
                "a p that adapts starts from a number: give one, or set target to null to follow a schedule"
            )
        check_probabilities(p=value_at(p, 0.0), xflip=xflip, rotate90=rotate90, xint=xint, scale=scale, rotate=rotate)
        check_probabilities(aniso=aniso, xfrac=xfrac, brightness=brightness, contrast=contrast, lumaflip=lumaflip)
        check_probabilities(hue=hue, saturation=saturation, cutout=cutout)
        at_least(1, every=every)
        if not speed_kimg > 0:
            raise UserError(f"speed_kimg must be above 0, not {speed_kimg}")
        self.p, self.target, self.speed_kimg, self.every = p, target, speed_kimg, every
        self.xflip, self.rotate90, self.xint, self.xint_max = xflip, rotate90, xint, xint_max
        self.scale, self.rotate, self.scale_std, self.rotate_max = scale, rotate, scale_std, rotate_max
        self.aniso, self.xfrac, self.aniso_std, self.xfrac_std = aniso, xfrac, aniso_std, xfrac_std
        self.brightness, self.contrast, self.lumaflip = brightness, contrast, lumaflip
        self.brightness_std, self.contrast_std = brightness_std, contrast_std
        self.hue, self.saturation, self.hue_max, self.saturation_std = hue, saturation, hue_max, saturation_std
        self.cutout, self.cutout_size = cutout, cutout_size
        self.register_buffer("taps", low_pass(), persistent=False)
        self.register_buffer("strength", torch.tensor(float(value_at(p, 0.0))))
        for since_last_step in ("signs", "logits", "images", "batches"):
            self.register_buffer(since_last_step, torch.zeros(()))

    def probability(self, kimg: float) -> Tensor | float:
        """The p of this moment.

        Raises:
            UserError: a schedule has left the range from 0 to 1.
        """
        if self.target is not None:
            return self.strength
        p = value_at(self.p, kimg)
        check_probabilities(p=p)
        return p

    def change(self, images: Tensor, numbers: Tensor, kimg: float) -> Tensor:
        """The changed images (N, C, H, W), given numbers (N, 31).

        Raises:
            UserError: the images are neither grey nor RGB, or are to be turned by right angles and not square.
        """
        channels, height, width = images.shape[1:]
        if channels not in (1, 3):
            raise UserError(f"ADA changes grey or RGB images, not images of {channels} channels")
        if self.rotate90 and height != width:
            raise UserError(f"images of {height}x{width} can't be turned by right angles: set rotate90 to 0")
        p, dice = self.probability(kimg), Dice(numbers)
        flip = dice.sometimes(self.xflip * p, dice.below(2), 0.0)
        turns = dice.sometimes(self.rotate90 * p, dice.below(4), 0.0)
        matrix, shift = self.inverse_map(dice, p, height, width)
        colours = self.colours(dice, p)
        x, y = dice.uniform(0.0, 1.0), dice.uniform(0.0, 1.0)
        size = dice.sometimes(self.cutout * p, torch.full_like(x, self.cutout_size), 0.0)

        images = flipped(images, flip)
        if self.rotate90:
            images = turned(images, turns)
        if self.xint or self.scale or self.rotate or self.aniso or self.xfrac:
            images = warp(images, matrix, shift, self.taps.to(images))
        if self.brightness or self.contrast or self.lumaflip or self.hue or self.saturation:
            images = recolour(images, **colours)
        return cut_out(images, size, x, y)

    def inverse_map(self, dice: Dice, p: Tensor | float, height: int, width: int) -> tuple[Tensor, Tensor]:
        """From places in the result to places in the image, as `warp` takes them: (N, 2, 2) and (N, 2)."""
        most, half_turns = self.xint_max, math.pi * self.rotate_max
        each = 1 - (1 - self.rotate * p) ** 0.5  # so that one rotation or both happen with probability p

        x, y = dice.sometimes(self.xint * p, torch.stack([dice.uniform(-most, most) for _ in "xy"]), 0.0)
        whole = torch.stack([(x * width).round(), (y * height).round()], 1)
        scale = dice.sometimes(self.scale * p, dice.normal(self.scale_std).exp2(), 1.0)
        before = dice.sometimes(each, dice.uniform(-half_turns, half_turns), 0.0)
        aniso = dice.sometimes(self.aniso * p, dice.normal(self.aniso_std).exp2(), 1.0)
        after = dice.sometimes(each, dice.uniform(-half_turns, half_turns), 0.0)
        x, y = dice.sometimes(self.xfrac * p, torch.stack([dice.normal(self.xfrac_std) for _ in "xy"]), 0.0)
        rest = torch.stack([x * width, y * height], 1)

        stretch = torch.diag_embed(torch.stack([1 / (scale * aniso), aniso / scale], 1))
        matrix = rotation(before) @ stretch @ rotation(after)  # the last change is undone first
        return matrix, -(matrix @ rest.unsqueeze(2)).squeeze(2) - whole

    def colours(self, dice: Dice, p: Tensor | float) -> dict[str, Tensor]:
        """The strengths that `recolour` takes."""
        return {
            "brightness": dice.sometimes(self.brightness * p, dice.normal(self.brightness_std), 0.0),
            "contrast": dice.sometimes(self.contrast * p, dice.normal(self.contrast_std).exp2(), 1.0),
            "flip": dice.sometimes(self.lumaflip * p, dice.below(2), 0.0),
            "hue": dice.sometimes(self.hue * p, dice.uniform(-math.pi * self.hue_max, math.pi * self.hue_max), 0.0),
            "saturation": dice.sometimes(self.saturation * p, dice.normal(self.saturation_std).exp2(), 1.0),
        }

    @torch.no_grad()
    def observe(self, real_logits: Tensor) -> None:
        """Adds the signs of D's logits on augmented reals, of any shape, to those since the last step of p."""
        self.signs += real_logits.sign().sum(dtype=self.signs.dtype)
        self.logits += real_logits.numel()

    @torch.no_grad()
    def adapt(self, images: int) -> None:
        """Ends a batch of that many images on all devices; on every `every`-th one, p takes its step.

        All counts are floating-point buffers: their means over devices give the same r_t as their sums.
        """
        if self.target is None:
            return
        self.images += images
        self.batches += 1
        step = (self.signs - self.target * self.logits).sign() * self.images / (1000 * self.speed_kimg)
        due = self.batches >= self.every
        self.strength.copy_(torch.where(due, (self.strength + step).clamp(0, 1), self.strength))
        for since_last_step in (self.signs, self.logits, self.images, self.batches):
            since_last_step.mul_(~due)
