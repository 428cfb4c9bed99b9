import copy
import math
from contextlib import nullcontext
from functools import partial
from inspect import signature

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from lit_gans.augment import ADA, Augment, DiffAugment
from lit_gans.description import describe
from lit_gans.errors import UserError
from lit_gans.schedules import Linear

MULTIPLIERS = [
    *("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac"),
    *("brightness", "contrast", "lumaflip", "hue", "saturation", "cutout"),
]
NORMAL = torch.distributions.Normal(0.0, 1.0)


def only(*names, p=1.0, **more):
    """ADA with these changes alone."""
    return ADA(p=p, target=None, **dict.fromkeys(MULTIPLIERS, 0.0) | dict.fromkeys(names, 1.0) | more)


def noise(*shape, seed=0, dtype=torch.float64):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1).to(dtype)


def constant(number):
    """All random numbers are the same: all coins fall on the side of the change, all strengths follow from it."""
    return lambda *shape: torch.full(shape, number)


def seeded(seed=0):
    return partial(torch.rand, generator=torch.Generator().manual_seed(seed))


def test_p_zero_changes_nothing():
    """Filtered and filtered back, an image is itself up to rounding; without maps and colours it is so exactly."""
    images = noise(4, 3, 28, 28, dtype=torch.float32)
    for ada in (ADA(), ADA(p=0.0, target=None)):
        torch.testing.assert_close(ada(images, seeded()), images, rtol=0, atol=2e-6)
    copying = ("xflip", "rotate90", "cutout")
    assert only(*copying, p=0.0)(images, seeded()).equal(images)
    assert not only(*copying)(images, seeded()).equal(images)


@pytest.mark.parametrize("cls", [ADA, DiffAugment])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_has_its_own_numbers(cls, channels):
    """One draw, of which each row changes its image alone, and each number counts."""
    augment = cls(p=0.5, target=None, cutout=1.0) if cls is ADA else cls()
    row = sum(([0.8] * strengths + [0.1] for strengths in (1, 1, 2, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 2)), start=[])
    numbers = torch.tensor(row[: augment.numbers]).repeat(augment.numbers + 1, 1)
    numbers.diagonal().mul_(-1).add_(1)  # row k differs from the last row in number k
    images, shapes = noise(1, channels, 16, 16).expand(len(numbers), -1, -1, -1), []

    def draw(*shape):
        shapes.append(shape)
        return numbers

    made = augment(images, draw)
    assert shapes == [numbers.shape]
    counts = (made[:-1] - made[-1]).abs().amax((1, 2, 3)) > 1e-3
    without_effect = 0 if channels == 3 else 4 if cls is ADA else 1  # on grey: hue and saturation
    assert counts.sum() == augment.numbers - without_effect
    for k in (0, 3):
        torch.testing.assert_close(augment(images[k : k + 1], lambda *shape, k=k: numbers[k : k + 1]), made[k : k + 1])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("augment", [ADA(p=1.0, cutout=1.0), DiffAugment()], ids=lambda module: type(module).__name__)
def test_gradients(augment, channels):
    """First and second ones: penalties on D's gradient go through the change."""
    images, numbers = noise(2, channels, 4, 4).requires_grad_(), seeded()(2, augment.numbers)
    assert gradcheck(partial(augment, draw=lambda *shape: numbers), images)
    assert gradgradcheck(lambda x: augment(x, lambda *shape: numbers).square(), images, fast_mode=True)


def reference_diffaugment(image, numbers):
    """In numpy, on one image (C, H, W), pixel by pixel."""
    brightness, saturation, contrast, down, right, row, column = numbers.tolist()
    _, height, width = image.shape
    image = image + brightness - 0.5
    image = image.mean(0) + (image - image.mean(0)) * 2 * saturation
    image = image.mean() + (image - image.mean()) * (contrast + 0.5)
    down, right = (math.floor(u * (2 * round(n / 8) + 1)) - round(n / 8) for u, n in ((down, height), (right, width)))
    top, left = (math.floor(u * (n + 1 - n // 2 % 2)) - n // 2 // 2 for u, n in ((row, height), (column, width)))
    result = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            there = 0 <= y - down < height and 0 <= x - right < width
            cut = top <= y < top + height // 2 and left <= x < left + width // 2
            if there and not cut:
                result[:, y, x] = image[:, y - down, x - right]
    return result


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 28, 28), (3, 10, 18)])
def test_diffaugment_is_the_published_one(shape):
    images, numbers = noise(8, *shape, dtype=torch.float32), seeded()(8, 7)
    numbers[0], numbers[1] = 0, 1 - 2**-24  # the smallest and largest numbers that torch.rand gives
    made = DiffAugment()(images, lambda *shape: numbers)
    for image, row, result in zip(images.numpy(), numbers.double(), made.numpy(), strict=True):
        np.testing.assert_allclose(result, reference_diffaugment(image, row), rtol=0, atol=1e-6)


def test_diffaugment_one_by_one():
    """A change that is off leaves what it would change as it is."""
    images, off = noise(4, 3, 16, 16), {"color": False, "translation": False, "cutout": False}
    assert DiffAugment(**off)(images, seeded()).equal(images)
    for name in off:
        made, all_three = DiffAugment(**off | {name: True})(images, seeded()), DiffAugment()(images, seeded())
        assert (made == images).any() == (name != "color")
        assert ((made == 0) <= (all_three == 0)).all()
        assert not made.equal(images)


def test_precision():
    """At least float32, whatever autocast says."""
    images = noise(2, 3, 16, 16, dtype=torch.float32)
    for augment in (ADA(p=0.8), DiffAugment()):
        expected = augment(images.bfloat16().float(), seeded())
        with torch.autocast("cpu", torch.bfloat16):
            made = augment(images.bfloat16(), seeded())
        assert made.dtype == torch.float32
        assert made.equal(expected)
        assert augment(images.double(), seeded()).dtype == torch.float64


def test_all_tensors_meet_on_one_device(monkeypatch):
    """On the meta device, as on a GPU, a tensor left on the CPU raises, and so does reading a value."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # which it does not have
    for augment in (ADA(cutout=1.0).to("meta"), ADA(target=None, p=0.5).to("meta"), DiffAugment()):
        images = torch.zeros(2, 3, 8, 8, device="meta", requires_grad=True)
        made = augment(images)
        made.sum().backward()
        augment.observe(made)
        augment.adapt(2)
        assert made.device.type == images.grad.device.type == "meta"


def play(ada, batches, images=100):
    """D is surer of reals the less they are changed: r_t = 1 - p; how large its logits are does not matter."""
    path = []
    for _ in range(batches):
        positive = round(images * (1 - ada.strength.item() / 2))
        ada.observe(torch.cat([torch.full((positive,), 3.0), torch.full((images - positive,), -0.1)]))
        ada.adapt(images)
        path.append(ada.strength.item())
    return path


@pytest.mark.parametrize("start", [0.0, 0.9])
def test_p_finds_the_target(start):
    path = play(ADA(p=start, target=0.6, speed_kimg=40.0, every=4), 300)  # steps of 0.01
    assert path[:3] == pytest.approx([start] * 3)
    assert path[3] == pytest.approx(abs(start - 0.01) if start else 0.01)
    assert path[-1] == pytest.approx(0.4, abs=0.011)
    assert sorted(path[:150], reverse=start > 0.4) == path[:150]


def test_p_stays_a_probability():
    for start, sign in ((0.005, -1.0), (0.995, 1.0)):
        ada = ADA(p=start, speed_kimg=1.0, every=1)
        for _ in range(3):
            ada.observe(torch.full((8, 2), sign))
            ada.adapt(10)
        assert ada.strength == round(start)


def test_half_precision_logits_are_counted_exactly():
    ada = ADA()
    ada.observe(torch.ones(7, 11, 13, dtype=torch.bfloat16))
    assert ada.signs == ada.logits == 1001


def test_without_logits_p_stays():
    ada = ADA(p=0.5, every=1)
    ada.adapt(64)
    assert ada.strength == 0.5
    fixed = ADA(p=0.5, target=None, every=1)
    fixed.observe(torch.ones(4))
    fixed.adapt(64)
    assert fixed.probability(0.0) == 0.5


def test_state_survives_in_the_middle_of_an_interval(tmp_path):
    ada, other = ADA(p=0.2, speed_kimg=1.0, every=4), ADA(speed_kimg=1.0, every=4)
    play(ada, 6, images=10)
    assert set(ada.state_dict()) == {"strength", "signs", "logits", "images", "batches"}
    torch.save(ada.state_dict(), tmp_path / "state")
    other.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    twin = copy.deepcopy(ada)
    path = play(ada, 20, images=10)
    assert play(other, 20, images=10) == play(twin, 20, images=10) == path
    assert len(set(path)) > 2


def test_two_devices_are_one():
    """Each sees half of the logits; buffers are averaged before every step, and hold what one device has."""
    logits = noise(12, 16) + torch.linspace(0.9, -0.3, 12, dtype=torch.float64)[:, None]
    one, two = (ADA(p=0.3, target=0.3, speed_kimg=1.0, every=3) for _ in range(2))
    ranks, path = (two, copy.deepcopy(two)), []
    for batch in logits:
        one.observe(batch)
        for rank, half in zip(ranks, batch.chunk(2), strict=True):
            rank.observe(half)
        for buffers in zip(*(rank.buffers() for rank in ranks), strict=True):
            mean = sum(buffers) / 2
            for buffer in buffers:
                buffer.copy_(mean)
        for ada in (one, *ranks):
            ada.adapt(16)
        path.append(one.strength.item())
        assert ranks[0].strength == ranks[1].strength == one.strength
    assert max(path) > path[-1] != 0.3


def test_schedule():
    ada = ADA(p=Linear(start=0.0, end=1.0, kimg=10.0), target=None, **dict.fromkeys(MULTIPLIERS[1:], 0.0))
    images = noise(400, 1, 4, 4)
    for kimg, share in ((0.0, 0.0), (5.0, 0.25), (20.0, 0.5)):
        flipped = (ada(images, seeded(), kimg) != images).any(3).any(2).double().mean().item()
        assert flipped == pytest.approx(share, abs=0.06)
    with pytest.raises(UserError, match="p must be between 0 and 1, not 2"):
        ADA(p=Linear(start=0.0, end=2.0, kimg=10.0), target=None)(images, seeded(), 30.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"p": Linear(start=0.0, end=1.0, kimg=10.0)}, "starts from a number"),
        ({"p": -0.1}, "p must be between 0 and 1"),
        ({"every": 0}, "every must be at least 1"),
        ({"speed_kimg": 0.0}, "speed_kimg must be above 0"),
        *(({name: 1.5}, f"{name} must be between 0 and 1, not 1.5") for name in MULTIPLIERS),
    ],
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(UserError, match=message):
        ADA(**wrong)


def test_wrong_images():
    with pytest.raises(UserError, match="not images of 4 channels"):
        ADA()(noise(1, 4, 8, 8))
    with pytest.raises(UserError, match="images of 8x12 can't be turned"):
        ADA()(noise(1, 3, 8, 12))


def test_arguments_can_be_read_back():
    """As `describe` does for a checkpoint."""
    given = dict.fromkeys(signature(ADA).parameters, 0.5) | {"every": 3}
    assert describe(ADA(**given)) == {"class_path": "lit_gans.augment.ada.ADA", "init_args": given}
    given = {"color": False, "translation": True, "cutout": False}
    assert describe(DiffAugment(**given))["init_args"] == given


def test_the_base_class_adapts_nothing():
    assert Augment().observe(torch.ones(2)) is Augment().adapt(2) is None
