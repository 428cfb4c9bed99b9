"""The discriminator of pix2pix and CycleGAN, which judges patches (Isola et al., 2017, arXiv:1611.07004, 3.2.2)."""

from itertools import pairwise

from torch import Tensor, nn

from lit_gans.errors import UserError, at_least
from lit_gans.networks.dcgan import initialise
from lit_gans.networks.layers import Discriminator, ImageShape, LabelPlane, Norm, normalisation

# Side of the patch that each logit sees, and how often the map is halved.
RECEPTIVE_FIELDS = {1: 0} | {9 * 2**times - 2: times for times in range(1, 7)}


class PatchDiscriminator(Discriminator):
    """A map of logits, each for a patch of the image: 4x4 convolutions, the last two of stride 1; LeakyReLU 0.2.

    No norm on the first map. A receptive field of 1 has 1x1 convolutions, and a logit for each pixel. Fully
    convolutional, if without labels: images may have other sizes than `image_shape`, whose C counts all channels that
    are seen (for a conditional discriminator those of the source and of the image). A label is one more plane.

    The defaults are pix2pix's; CycleGAN's are those of `InstancePatchDiscriminator`. The Torch7 codes have biases as
    well, and set them to zero at each step. Weights are from N(0, 0.02), gains from N(1, 0.02). There is no `head` on
    features here, which some variants want.

    Args:
        image_shape: (C, H, W) of the images judged.
        num_classes: 0 for a discriminator without labels.
        receptive_field: Side of the patches in pixels: 1, 16, 34, 70, 142, 286 or 574; the paper compares 1, 16, 70 and
            286. At the borders patches go beyond the image, which is padded with zeros.
        width: Channels of the first map; each one after it has twice as many, up to 8 times `width`.
        norm: Of hidden maps.
        affine: Whether norms have a gain and a bias for each channel.
        bias: Whether convolutions before a norm have biases, and the last one of a receptive field of 1.

    Raises:
        UserError: there is no such receptive field, or the image is too small for it.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        receptive_field: int = 70,
        width: int = 64,
        norm: Norm = "batch",
        affine: bool = True,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        at_least(1, width=width)
        if receptive_field not in RECEPTIVE_FIELDS:
            known = ", ".join(map(str, RECEPTIVE_FIELDS))
            raise UserError(f"receptive_field must be one of {known} pixels, not {receptive_field}")
        times = RECEPTIVE_FIELDS[receptive_field]
        if times and min(image_shape[1:]) >> times < 3:  # the two last convolutions take a pixel each
            raise UserError(
                f"an image of {image_shape[1]}x{image_shape[2]} is too small for receptive_field={receptive_field}: "
                f"it needs {3 << times} pixels"
            )
        self.label = LabelPlane(num_classes, image_shape)
        kernel, padding = (4, 1) if times else (1, 0)
        widths = [width * min(2**level, 8) for level in range(max(times, 1) + 1)]
        layers: list[nn.Module] = []
        for level, (before, after) in enumerate(pairwise([self.label.channels, *widths])):
            stride = 2 if level < times else 1
            layers += [nn.Conv2d(before, after, kernel, stride, padding, bias=bias or not level)]
            layers += [normalisation(norm, after, affine)] if level else []
            layers += [nn.LeakyReLU(0.2)]
        last = nn.Conv2d(widths[-1], 1, kernel, 1, padding, bias=bias or times > 0)
        self.layers = nn.Sequential(*layers, last)
        self.apply(initialise)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to logits (N, 1, h, w)."""
        return self.layers(self.label(image, label))


class InstancePatchDiscriminator(PatchDiscriminator):
    """CycleGAN's (Zhu et al., 2017, arXiv:1703.10593, appendix 7.2), as its PyTorch code has it: instance norm, biases.

    Batch norm would normalise real and made images of a batch apart, and so hide what all of either have in common.

    Args:
        image_shape: (C, H, W) of the images judged.
        num_classes: 0 for a discriminator without labels.
        receptive_field: Side of the patches in pixels; see `PatchDiscriminator`.
        width: Channels of the first map.
        affine: Whether norms have a gain and a bias for each channel, as in the Torch7 code.
        bias: Whether convolutions before a norm have biases.

    Raises:
        UserError: there is no such receptive field, or the image is too small for it.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        receptive_field: int = 70,
        width: int = 64,
        affine: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__(
            image_shape,
            num_classes,
            receptive_field=receptive_field,
            width=width,
            norm="instance",
            affine=affine,
            bias=bias,
        )
