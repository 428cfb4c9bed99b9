"""The residual translators of CycleGAN (Zhu et al., 2017, arXiv:1703.10593) and of style transfer."""

import torch
from torch import Tensor, nn

from lit_gans.errors import UserError, at_least
from lit_gans.networks.adain import adain
from lit_gans.networks.dcgan import initialise
from lit_gans.networks.layers import ImageShape, Norm, doubling, halving, normalisation
from lit_gans.networks.translator import Translator


class ReflectionPad(nn.Module):
    """The map and its mirror image around it, without the border itself.

    As torch's, whose gradient differs from run to run on GPUs.

    Args:
        width: Rows and columns that are added at each side; the map has more.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H + 2 width, W + 2 width)."""
        for axis in (2, 3):
            first = features.narrow(axis, 1, self.width).flip(axis)
            last = features.narrow(axis, features.shape[axis] - 1 - self.width, self.width).flip(axis)
            features = torch.cat([first, features, last], axis)
        return features


class ResidualBlock(nn.Module):
    """The features, and what two 3x3 convolutions with norms make of them; nothing follows the sum.

    Args:
        channels: Of the map.
        norm: After both convolutions.
        affine: Whether norms have a gain and a bias for each channel.
        bias: Whether convolutions have biases.
        dropout: Probability that a unit between the convolutions is dropped.
    """

    def __init__(self, channels: int, *, norm: Norm, affine: bool, bias: bool, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ReflectionPad(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            normalisation(norm, channels, affine),
            nn.ReLU(),
            nn.Dropout(dropout),
            ReflectionPad(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            normalisation(norm, channels, affine),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        return features + self.layers(features)


class ResNetTranslator(Translator):
    """A wide convolution, two that halve the map, residual blocks, two that double it, another wide one, tanh.

    The defaults are CycleGAN's for images of 256 pixels (appendix 7.2); for 128 it has `blocks=6`. Its PyTorch code has
    biases and an instance norm without gain and bias, its Torch7 code an instance norm with both, and biases that are
    set to zero at each step (`affine=True, bias=False`). Beside batch norm the PyTorch code has no biases. Weights are
    from N(0, 0.02), gains from N(1, 0.02).

    The network for style transfer of Johnson et al., 2016 (arXiv:1603.08155, supplementary material) has `blocks=5,
    width=32, kernel=9, affine=True`; here all maps are padded by reflection, there the image alone, from which the
    blocks cut the padding away.

    Args:
        source_shape: (C, H, W) of the images that come in, of at least 8 pixels.
        image_shape: (C, H, W) of the images made, of the same size.
        blocks: Residual blocks.
        width: Channels of the first map; the two after it have twice and four times as many.
        kernel: Size of the first and the last convolution, odd.
        norm: Of hidden maps.
        affine: Whether norms have a gain and a bias for each channel.
        bias: Whether convolutions have biases; the last one has.
        dropout: Probability that a unit in the middle of a residual block is dropped.

    Raises:
        UserError: the shapes do not fit, or the kernel is even.
    """

    def __init__(
        self,
        source_shape: ImageShape,
        image_shape: ImageShape,
        *,
        blocks: int = 9,
        width: int = 64,
        kernel: int = 7,
        norm: Norm = "instance",
        affine: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(source_shape, image_shape, multiple=4, least=max(8, kernel // 2 + 1))
        at_least(0, blocks=blocks)
        at_least(1, width=width, kernel=kernel)
        if kernel % 2 == 0:
            raise UserError(f"kernel must be odd, such as 7 or 9, not {kernel}")

        def normed(convolution: nn.Module) -> list[nn.Module]:
            return [convolution, normalisation(norm, convolution.out_channels, affine), nn.ReLU()]

        wide = 4 * width
        self.encoder = nn.Sequential(
            ReflectionPad(kernel // 2),
            *normed(nn.Conv2d(source_shape[0], width, kernel, bias=bias)),
            *normed(halving(width, 2 * width, kernel=3, bias=bias)),
            *normed(halving(2 * width, wide, kernel=3, bias=bias)),
        )
        options = {"norm": norm, "affine": affine, "bias": bias, "dropout": dropout}
        self.blocks = nn.Sequential(*(ResidualBlock(wide, **options) for _ in range(blocks)))
        self.decoder = nn.Sequential(
            *normed(doubling(wide, 2 * width, kernel=3, bias=bias)),
            *normed(doubling(2 * width, width, kernel=3, bias=bias)),
            ReflectionPad(kernel // 2),
            nn.Conv2d(width, image_shape[0], kernel),
            nn.Tanh(),
        )
        self.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, h, w) in [-1, 1] to images of the same size; 4 divides h and w."""
        return self.decoder(self.blocks(self.encoder(self.fitting(images))))


class StyleTranslator(ResNetTranslator):
    """A translator that paints in the style of any image it is shown, or in none.

    The encoder's maps get the mean and the deviation of those of the style image (AdaIN, arXiv:1703.06868, eq. 8), then
    go through blocks and decoder. There is no norm: an instance norm would take from each map the very statistics that
    are the style (section 6.1 says so of the decoder). In the paper the encoder is a frozen VGG; here it is learned.
    Weights are drawn as He et al. do: those of CycleGAN, without a norm, would make maps so faint that nothing is seen.

    Args:
        source_shape: (C, H, W) of the images that come in, and C of the style images.
        image_shape: (C, H, W) of the images made, of the same size.
        blocks: Residual blocks.
        width: Channels of the first map; the two after it have twice and four times as many.
        kernel: Size of the first and the last convolution, odd.

    Raises:
        UserError: the shapes do not fit, or the kernel is even.
    """

    def __init__(
        self, source_shape: ImageShape, image_shape: ImageShape, *, blocks: int = 5, width: int = 32, kernel: int = 9
    ) -> None:
        super().__init__(source_shape, image_shape, blocks=blocks, width=width, kernel=kernel, norm="none")
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor, style: Tensor | None = None) -> Tensor:
        """Images (N, C, h, w) in [-1, 1] to images of the same size.

        Args:
            images: What is painted; 4 divides h and w.
            style: Images (N, C, H, W), or one for all (1, C, H, W), in [-1, 1]; 4 divides H and W. None for no change
                of the statistics.
        """
        features = self.encoder(self.fitting(images))
        if style is not None:
            features = adain(features, self.encoder(self.fitting(style)))
        return self.decoder(self.blocks(features))
