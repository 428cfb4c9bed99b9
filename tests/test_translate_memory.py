"""What `translate` holds in memory, and how small photos may be."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import lit_gans
from lit_gans.networks import ResNetTranslator
from lit_gans.tiles import in_tiles
from tests.translation import TRANSLATORS


def test_small_images_are_continued_as_far_as_the_network_wants():
    for kernel in (3, 9, 17):
        network = ResNetTranslator((3, 16, 16), (3, 16, 16), blocks=1, width=2, kernel=kernel)
        sizes = []

        def seen(images, network=network, sizes=sizes):
            sizes.append(tuple(images.shape[2:]))
            return network(images)

        for height, width in [(1, 1), (9, 2), (30, 13)]:
            made = in_tiles(
                seen, torch.zeros(1, 3, height, width), channels=3, multiple=network.multiple, least=network.least
            )
            assert made.shape == (1, 3, height, width)
            assert made.isfinite().all()
        least = 12 if kernel == 17 else 8
        assert sizes == [(least, least), (12, least), (32, max(16, least))]


class Largest(TorchDispatchMode):
    """Bytes of the largest tensor of floats that is made."""

    most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **kwargs or {})
        tensors = [one for one in tree_leaves(made) if isinstance(one, torch.Tensor) and one.is_floating_point()]
        self.most = max([self.most, *(one.untyped_storage().nbytes() for one in tensors)])
        return made


@pytest.mark.parametrize("name", TRANSLATORS)
def test_memory_is_bounded_by_the_tile(name, run):
    """No tensor of floats grows with the photo."""
    model, most = lit_gans.load(run(name)), []
    for sides in [(40, 40), (80, 200), (200, 80)]:
        with Largest() as largest:
            model.translate(torch.zeros(1, 3, *sides, dtype=torch.uint8), tile=32, overlap=8)
        most.append(largest.most)
    assert most[0] == most[1] == most[2] > 0
    with Largest() as largest:
        model.translate(torch.zeros(1, 3, 80, 200), tile=32, overlap=8)
    assert largest.most >= 4 * 3 * 80 * 200
