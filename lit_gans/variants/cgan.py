from typing import Any

from lit_gans.variants.gan import GAN


class CGAN(GAN):
    """Conditional generative adversarial nets (Mirza & Osindero, 2014, arXiv:1411.1784, eq. 2).

    Both players are told the label: a vector learned for each class, concatenated to the latent and to the image. Pins
    the labels; networks, loss and penalties are free. Fully connected by default, as in the paper, whose own networks
    with maxout are `CGANGenerator` and `CGANDiscriminator`; `DCGANGenerator` and `DCGANDiscriminator` are the
    convolutional ones, and `ConditionalDCGANGenerator` and `ConditionalDCGANDiscriminator` those of DCGAN's authors for
    MNIST, where each layer is told the label.

    Args:
        kwargs: Arguments of GAN and AdversarialModule.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(conditional=True, **kwargs)
