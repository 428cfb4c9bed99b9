"""What networks from images to images share."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from lit_gans.errors import UserError
from lit_gans.networks.layers import ImageShape


class Translator(nn.Module):
    """Images (N, C, h, w) in [-1, 1] to images in [-1, 1], `scale` times as high and wide.

    Translators are fully convolutional: h and w need not be those of `source_shape`, if only `multiple` divides them,
    and `least` is not above them.

    Args:
        source_shape: (C, H, W) of the images that come in.
        image_shape: (C, H, W) of the images made.
        multiple: What divides the sides of all images that can come in.
        least: Their smallest side.
        scales: What `scale` can be.

    Attributes:
        scale: Side of the images made, in sides of those that come in.

    Raises:
        UserError: the shapes do not fit each other or the network.
    """

    def __init__(
        self,
        source_shape: ImageShape,
        image_shape: ImageShape,
        *,
        multiple: int = 1,
        least: int = 1,
        scales: Sequence[int] = (1,),
    ) -> None:
        super().__init__()
        self.source_shape, self.image_shape = tuple(source_shape), tuple(image_shape)
        self.multiple, self.least, self.scale = multiple, least, image_shape[1] // source_shape[1]
        (_, height, width), network = source_shape, type(self).__name__
        if self.scale not in scales or self.image_shape[1:] != (self.scale * height, self.scale * width):
            raise UserError(
                f"{network} makes images {' or '.join(map(str, scales))} times as high and wide as their sources, not "
                f"{image_shape[1]}x{image_shape[2]} from {height}x{width}"
            )
        self._check(height, width)

    def fitting(self, images: Tensor) -> Tensor:
        """The images themselves.

        Raises:
            UserError: `multiple` does not divide their sides.
        """
        self._check(*images.shape[2:])
        return images

    def _check(self, height: int, width: int) -> None:
        if height % self.multiple or width % self.multiple:
            raise UserError(
                f"{type(self).__name__} takes images whose sides are multiples of {self.multiple}, not "
                f"{height}x{width}: crop or resize them"
            )


TranslatorFactory = Callable[[ImageShape, ImageShape], Translator]
"""Builds a translator from the shape of the images that come in, and the shape of those made."""
