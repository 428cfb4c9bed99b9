"""What each translator minimises, written out apart from the code; pools and tiles."""

from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, conv2d

import lit_gans
from datamodules.batches import Paired, Unpaired
from lit_gans.callbacks import Checkpoint
from lit_gans.networks import Translator
from lit_gans.perceptual import PerceptualNetwork
from lit_gans.pool import ImagePool
from lit_gans.tiles import in_tiles, spans
from tests.conftest import trainer
from tests.translation import PairNoise, data_for, translator


def images(*shape, seed):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


PAIRS = Paired(images(3, 3, 8, 8, seed=0), images(3, 3, 8, 8, seed=1))
SMALL_PAIRS = Paired(images(3, 3, 4, 4, seed=0), images(3, 3, 8, 8, seed=1))
SETS = Unpaired(images(3, 3, 8, 8, seed=0), images(3, 3, 8, 8, seed=1))


def bce(logits, real):
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def terms(loss):
    return {name: value.item() for name, value in loss.items()}


def test_pix2pix():
    """Half of the discriminator's cross-entropies on pairs; the generator's, and 100 times the mean difference."""
    model = translator("Pix2Pix")
    fake = model.generator(PAIRS.source)
    real_logits, fake_logits = (model.discriminator(torch.cat([PAIRS.source, x], 1)) for x in (PAIRS.target, fake))
    assert fake_logits.ndim == 4
    expected = 0.5 * (bce(real_logits, 1) + bce(fake_logits, 0))
    assert terms(model.discriminator_loss(PAIRS)) == {"adversarial": pytest.approx(expected.item())}
    l1 = 100 * (fake - PAIRS.target).abs().mean()
    found = terms(model.generator_loss(PAIRS))
    assert found == {"adversarial": pytest.approx(bce(fake_logits, 1).item()), "l1": pytest.approx(l1.item())}


def test_cyclegan():
    """As the PyTorch code writes it: MSE without halves for the generators, with one for the discriminators."""
    model = translator("CycleGAN")
    (ab, ba), (judge_a, judge_b) = model.generator.values(), model.discriminator.values()
    fake_b, fake_a = ab(SETS.a), ba(SETS.b)
    expected = {
        "a_adversarial": (judge_a(fake_a) - 1).square().mean(),
        "b_adversarial": (judge_b(fake_b) - 1).square().mean(),
        "a_cycle": 10 * (ba(fake_b) - SETS.a).abs().mean(),
        "b_cycle": 10 * (ab(fake_a) - SETS.b).abs().mean(),
        "a_identity": 5 * (ba(SETS.a) - SETS.a).abs().mean(),
        "b_identity": 5 * (ab(SETS.b) - SETS.b).abs().mean(),
    }
    assert terms(model.generator_loss(SETS)) == pytest.approx(terms(expected))
    assert [phase.player for phase in model.phases()] == ["generator", "discriminator"]
    judged = {
        f"{side}_adversarial": 0.5 * ((judge(real) - 1).square().mean() + judge(fake).square().mean())
        for side, judge, real, fake in (("a", judge_a, SETS.a, fake_a), ("b", judge_b, SETS.b, fake_b))
    }
    assert terms(model.discriminator_loss(SETS)) == pytest.approx(terms(judged))
    assert torch.equal(model.pools["a"].kept[0], fake_a[0])
    assert torch.equal(model.pools["b"].kept[2], fake_b[2])
    torch.testing.assert_close(model.translate(SETS.b, direction="ba"), fake_a)
    assert "a_identity" not in translator("CycleGAN", identity_weight=0.0).generator_loss(SETS)


class Maps(PerceptualNetwork):
    """Two maps."""

    def __init__(self):
        super().__init__("maps", nn.Identity)

    def forward(self, images):
        return [2 * images, images.mean(1, keepdim=True)]


@pytest.mark.parametrize("squared", [False, True])
def test_style_transfer(squared):
    model = translator("StyleTransferGAN", squared_content=squared)
    fake = model.generator(SETS.a)
    distance = (fake - SETS.a).square() if squared else (fake - SETS.a).abs()
    adversarial = (model.discriminator(fake) - 1).square().mean()
    expected = {"adversarial": adversarial, "content": 10 * distance.mean()}
    assert terms(model.generator_loss(SETS)) == pytest.approx(terms(expected))
    judged = 0.5 * ((model.discriminator(SETS.b) - 1).square().mean() + model.discriminator(fake).square().mean())
    assert terms(model.discriminator_loss(SETS)) == {"adversarial": pytest.approx(judged.item())}
    seen = translator("StyleTransferGAN", squared_content=squared, perceptual=Maps(), style_weight=3.0)
    found = terms(seen.generator_loss(SETS))
    (one, two), (other, another) = Maps()(fake), Maps()(SETS.a)
    pairs = [(one - other, two - another)]
    content = sum((x.square() if squared else x.abs()).mean() for pair in pairs for x in pair)
    assert found["content_maps"] == pytest.approx(10 * content.item())
    styles = [(x.flatten(2), y.flatten(2)) for x, y in zip(Maps()(fake), Maps()(SETS.b), strict=True)]
    style = sum((x.mean(2) - y.mean(2)).square().mean() + (x.std(2) - y.std(2)).square().mean() for x, y in styles)
    assert found["style_maps"] == pytest.approx(3 * style.item(), rel=1e-3)


def test_content_and_least_squares_equal_the_reference():
    fake, content = torch.tensor([0.2, -0.4, 0.9, 0.1]), torch.tensor([0.0, -0.5, 1.0, 0.3])
    model = translator("StyleTransferGAN", squared_content=True, content_weight=10.0)
    model.make = lambda batch: fake.view(2, 1, 1, 2)
    model.discriminator.forward = lambda images: torch.tensor([[0.3, -0.2], [1.4, 0.8]])
    found = terms(model.generator_loss(Unpaired(content.view(2, 1, 1, 2), fake.view(2, 1, 1, 2))))
    assert found == {"adversarial": pytest.approx(0.5325), "content": pytest.approx(0.25)}


@pytest.mark.parametrize("name", ["SRGAN", "ESRGAN"])
def test_super_resolution(name):
    model = translator(name, perceptual=Maps(), perceptual_weight=2.0, pixel_weight=0.5)
    fake = model.generator(SMALL_PAIRS.source)
    real_logits, fake_logits = model.discriminator(SMALL_PAIRS.target), model.discriminator(fake)

    def distance(one, other):
        return (one - other).square().mean() if name == "SRGAN" else (one - other).abs().mean()

    seen = sum(distance(x, y) for x, y in zip(Maps()(fake), Maps()(SMALL_PAIRS.target), strict=True))
    if name == "SRGAN":
        adversarial, judged = 1e-3 * bce(fake_logits, 1), bce(real_logits, 1) + bce(fake_logits, 0)
    else:
        real, made = real_logits - fake_logits.mean(), fake_logits - real_logits.mean()
        adversarial, judged = 5e-3 * (bce(real, 0) + bce(made, 1)) / 2, (bce(real, 1) + bce(made, 0)) / 2
    expected = {
        "adversarial": adversarial,
        "pixel": 0.5 * distance(fake, SMALL_PAIRS.target),
        "perceptual_maps": 2 * seen,
    }
    assert terms(model.generator_loss(SMALL_PAIRS)) == pytest.approx(terms(expected), rel=1e-5)
    assert terms(model.discriminator_loss(SMALL_PAIRS)) == {"adversarial": pytest.approx(judged.item())}
    assert terms(model.pixel_loss(SMALL_PAIRS)) == {"pixel": pytest.approx(2 * expected["pixel"].item())}
    assert "pixel" not in translator(name, pixel_weight=0.0).generator_loss(SMALL_PAIRS)


def test_the_generator_learns_alone_first():
    """Of five batches of four images, 9 images' worth of them, the last begun before; then both players move."""
    model, data, moves = translator("SRGAN", pretrain_kimg=0.009), data_for("SRGAN"), []
    step = model.after_step
    model.after_step = lambda player: (moves.append((model.turn, player[0])), step(player))
    trainer(max_steps=5).fit(model, data)
    assert moves == [(0, "g"), (1, "g"), (2, "g"), (3, "d"), (3, "g"), (4, "d"), (4, "g")]


def test_the_pool_equals_the_reference():
    """An image, the chance, and which of two is exchanged; then what the published code hands out."""
    script = [(1, 0, 0), (2, 0, 0), (3, 0.7, 0), (4, 0.3, 0), (5, 0.9, 1), (6, 0.51, 0), (7, 0.5, 0)]
    pool, returned = ImagePool(2), []
    for image, exchange, index in script:
        chance = torch.tensor([[exchange], [(index + 0.5) / 2]])
        returned.append(pool(torch.full((1, 1), float(image)), chance).item())
    assert returned == [1, 2, 1, 4, 2, 3, 7]
    assert [image.item() for image in pool.kept] == [6, 5]
    assert torch.equal(ImagePool(0)(SETS.a, torch.ones(2, 3)), SETS.a)
    other = ImagePool(pool.size)
    other.load_state_dict(pool.state_dict())
    assert [image.item() for image in other.kept] == [6, 5]


class Blur(Translator):
    """Sees three pixels each way, and doubles the image."""

    def forward(self, images):
        weight = torch.ones(3, 1, 7, 7) / 49
        return conv2d(images, weight, padding=3, groups=3).repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize(("height", "width"), [(50, 37), (20, 90), (33, 32), (16, 16), (7, 100)])
def test_tiles_give_what_the_whole_image_would(height, width):
    """As long as the network sees no further than a quarter of the overlap."""
    network = Blur((3, 8, 8), (3, 16, 16), scales=(2,))
    source = images(2, 3, height, width, seed=3)
    arguments = {"channels": 3, "scale": 2, "tile": 30, "overlap": 12}
    whole = in_tiles(network, source, channels=3, scale=2)
    tiled = in_tiles(network, source, **arguments)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-6)
    levels = in_tiles(network, source, **arguments, canvas=torch.zeros_like(whole, dtype=torch.uint8))
    torch.testing.assert_close(levels.float(), (whole + 1) * 127.5, rtol=0, atol=1.01)
    if max(height, width) > 30:
        hasty = in_tiles(network, source, **arguments | {"overlap": 4})
        assert not hasty.allclose(whole, atol=1e-3)


class Mosaic(Translator):
    """Squares of four pixels, each of one colour."""

    def forward(self, images):
        return avg_pool2d(self.fitting(images), 4).repeat_interleave(4, 2).repeat_interleave(4, 3)


@pytest.mark.parametrize(("tile", "overlap"), [(30, 12), (27, 13), (32, 12), (40, 19)])
def test_strides_fall_on_the_same_pixels_in_tiles(tile, overlap):
    network = Mosaic((3, 8, 8), (3, 8, 8), multiple=4)
    for height, width in [(50, 37), (20, 90), (43, 32), (7, 101), (59, 78)]:
        source = images(2, 3, height, width, seed=3)
        arguments = {"channels": 3, "multiple": network.multiple}
        tiled = in_tiles(network, source, tile=tile, overlap=overlap, **arguments)
        torch.testing.assert_close(tiled, in_tiles(network, source, **arguments), rtol=0, atol=1e-6)


def test_tiles_are_no_more_than_needed():
    """They reach the end, begin on the grid, and overlap enough; sides of one tile have one."""
    for grid, overlap, tile in [(1, 0, 5), (1, 3, 8), (2, 3, 9), (4, 4, 9), (4, 8, 27)]:
        assert list(spans(tile, tile, overlap, grid)) == [(0, tile)]
        for length in range(tile + 1, 5 * tile):
            found = list(spans(length, tile, overlap, grid))
            assert found[0][0] == 0
            assert found[-1][1] == length > found[-2][1]
            assert all(start % grid == 0 and tile - grid < end - start <= tile for start, end in found)
            assert all(end - start >= overlap for (_, end), (start, _) in pairwise(found))


def test_sides_that_do_not_fit_are_continued():
    sizes = []
    network = partial(lambda piece: sizes.append(tuple(piece.shape[2:])) or piece)
    source = images(1, 3, 10, 13, seed=0)
    assert torch.equal(in_tiles(network, source, channels=3, multiple=8), source)
    assert sizes == [(16, 16)]


def test_a_translator_of_a_run_is_two_lines():
    trainer(max_steps=1, callbacks=[Checkpoint()]).fit(translator("Pix2Pix"), PairNoise())
    model = lit_gans.load("checkpoints/last.ckpt")
    assert model.translate(images(1, 3, 21, 16, seed=0)).shape == (1, 3, 21, 16)
