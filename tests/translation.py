"""Noise for the translators of images, and small networks for them."""

from functools import partial

import numpy as np
import torch

import lit_gans
from datamodules.base import Data
from datamodules.batches import Unpaired
from datamodules.pairs import PairData, Pairs
from datamodules.unpaired_images import UnpairedInOrder, UnpairedStream
from lit_gans.networks import PatchDiscriminator, ResNetTranslator, RRDBNet
from lit_gans.randomness import keyed_generator
from lit_gans.variants.translation import Translation

TRANSLATORS = [
    name
    for name in lit_gans.__all__
    if isinstance(getattr(lit_gans, name), type) and issubclass(getattr(lit_gans, name), Translation)
]


class NoisePairs(Pairs):
    """Each number has its two images."""

    def __init__(self, count, *shapes):
        self.count, self.shapes = count, shapes

    def __len__(self):
        return self.count

    def pair(self, number, generator):
        random = np.random.default_rng(number)
        return tuple(random.uniform(-1, 1, shape).astype(np.float32) for shape in self.shapes)


class PairNoise(PairData):
    """Sources of 8 or 4 pixels and targets of 8."""

    name = "noise"
    image_shape = (3, 8, 8)

    def __init__(self, source_shape=(3, 8, 8), count=20, batch_size=4, **common):
        self.source = source_shape
        super().__init__(batch_size=batch_size, **common)
        self.number = count

    @property
    def source_shape(self):
        return self.source

    def load_pairs(self, split):
        return NoisePairs(self.number if split == "train" else 6, self.source_shape, self.image_shape)

    def targets(self, split):
        pairs = self.pairs(split)
        images = [pairs.pair(number, None)[1] for number in range(len(pairs))]
        return torch.from_numpy((np.stack(images) + 1) * 127.5).to(torch.uint8)


class TwoSets(Data):
    """Noise of two kinds, brighter and darker."""

    name = "noise"
    batches = Unpaired
    image_shape = source_shape = (3, 8, 8)

    def __init__(self, count=20, batch_size=4, **common):
        super().__init__(batch_size=batch_size, **common)
        self.number = count

    def sides(self, split):
        count = self.number if split == "train" else 6
        images = torch.randint(200, (2 * count, 3, 8, 8), generator=keyed_generator("two", split)).to(torch.uint8)
        return images[:count] + 55, images[count:]

    def load(self, split):
        return self.sides(split)[1], torch.zeros(len(self.sides(split)[1]), dtype=torch.long)

    def training(self, **share):
        return UnpairedStream(*self.sides("train"), size=8, seed=self.seed, flip=self.flip, **share)

    def evaluation(self, **share):
        return UnpairedInOrder(*self.sides("test"), **share)


def data_for(name, **options):
    """Noise that the variant can play on."""
    cls = getattr(lit_gans, name)
    if cls.batches is Unpaired:
        return TwoSets(**options)
    return PairNoise((3, 4, 4) if issubclass(cls, lit_gans.SRGAN) else (3, 8, 8), **options)


def translator(name, seed=0, **arguments):
    """A variant with small networks that see each image alone."""
    data = data_for(name)
    generator = partial(ResNetTranslator, blocks=1, width=4)
    if data.source_shape != data.image_shape:
        generator = partial(RRDBNet, blocks=1, width=4, growth=4)
    networks = {
        "generator": generator,
        "discriminator": partial(PatchDiscriminator, receptive_field=16, width=4, norm="instance"),
    }
    torch.manual_seed(seed)
    shapes = {"source_shape": data.source_shape, "image_shape": data.image_shape}
    return getattr(lit_gans, name)(**shapes | networks | arguments)
