"""Which pair comes when, cropped, mirrored and masked how: for all data of pairs, without any files."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import datamodules.photographs as module
from datamodules import Inpainting, PairedImages, SuperResolution, UnpairedImages
from datamodules.stream import keyed_places
from lit_gans.errors import UserError
from tests.conftest import same

KINDS = {
    "paired": (PairedImages, {"image_size": 40}),
    "unpaired": (UnpairedImages, {"image_size": 40}),
    "digits": (UnpairedImages, {"image_size": 40, "dataset": "digits"}),
    "small": (SuperResolution, {"crop": 48, "scale": 4}),
    "holes": (Inpainting, {"image_size": 40}),
    "strokes": (Inpainting, {"image_size": 40, "mask": "strokes"}),
}
UNPAIRED = ("unpaired", "digits")
EVERY = pytest.mark.parametrize("kind", KINDS)


def data_of(kind, rank=0, world_size=1, **arguments):
    cls, fixed = KINDS[kind]
    data = cls(**{"batch_size": 4, "seed": 7, **fixed, **arguments})
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size) if world_size > 1 else None
    return data


def take(stream, batches):
    """Both sides of so many batches from the present position on."""
    taken = []
    while len(taken) < batches:
        for batch in stream:
            taken.append(batch)
            if len(taken) == batches:
                break
    return [torch.cat(side) for side in zip(*taken, strict=True)]


@EVERY
def test_batches_are_floats_of_the_shapes_told(kind):
    data = data_of(kind)
    stream = data.train_dataloader()
    assert data.num_classes == 0
    for batch in (stream[0], data.val_dataloader()[0]):
        first, second = batch
        assert first.dtype == second.dtype == torch.float32
        assert first.is_contiguous()
        assert max(first.abs().max(), second.abs().max()) <= 1
    assert [side.shape[1:] for side in stream[0]] == [data.source_shape, data.image_shape]
    assert type(stream[0]).__name__ == ("Unpaired" if kind in UNPAIRED else "Paired")


@EVERY
def test_a_sample_depends_on_the_seed_and_its_place_alone(kind):
    whole = take(data_of(kind).train_dataloader(), 30)
    torch.manual_seed(3)
    assert same(take(data_of(kind, batch_size=12).train_dataloader(), 10), whole)
    parts = [take(data_of(kind, rank, 2, batch_size=12).train_dataloader(), 10) for rank in (0, 1)]
    for side, halves in zip(whole, zip(*parts, strict=True), strict=True):
        dealt = torch.stack([half.unflatten(0, (10, 6)) for half in halves], dim=1)
        assert torch.equal(dealt.flatten(0, 2), side)
    assert not any(map(torch.equal, take(data_of(kind, seed=8).train_dataloader(), 30), whole))


@EVERY
@pytest.mark.parametrize("num_workers", [0, 2])
def test_who_goes_on_gets_what_would_have_come(kind, num_workers):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    stream = data_of(kind, num_workers=num_workers).train_dataloader()
    before = take(stream, 3)
    resumed = data_of(kind).train_dataloader()
    resumed.load_state_dict(stream.state_dict())
    both = [torch.cat(sides) for sides in zip(before, take(resumed, 4), strict=True)]
    assert same(both, take(data_of(kind).train_dataloader(), 7))
    assert torch.equal(torch.get_rng_state(), state)


@EVERY
def test_the_next_pass_draws_anew(kind):
    """The same image comes with another crop or hole, or mirrored."""
    data = data_of(kind, batch_size=1)
    stream = data.train_dataloader()
    size = len(data.sides("train")[1]) if kind in UNPAIRED else stream.count
    seed = list(stream.sides)[1] if kind in UNPAIRED else 7
    numbers, _ = keyed_places(seed, size, 0, 2 * size)
    firsts, seconds = (numbers[:size].argsort(), numbers[size:].argsort() + size)
    alike = sum(same(stream[first], stream[second]) for first, second in zip(firsts, seconds, strict=True))
    assert alike < 0.1 * size


@EVERY
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_evaluation_deals_each_pair_once_in_order(kind, world_size):
    whole = list(data_of(kind, batch_size=1, seed=1, flip=False).val_dataloader())
    loaders = [data_of(kind, rank, world_size, num_workers=rank % 2).val_dataloader() for rank in range(world_size)]
    parts = [list(loader) for loader in loaders]
    assert [len(loader) for loader in loaders] == [len(part) for part in parts]
    size = 1 if kind == "small" else 4
    count = -(-len(whole) // size)
    dealt = [parts[number % world_size][number // world_size] for number in range(count)]
    assert [len(batch[0]) for batch in dealt] == [*[size] * (count - 1), len(whole) - size * (count - 1)]
    for side in (0, 1):
        assert same([image for batch in dealt for image in batch[side]], [pair[side][0] for pair in whole])


@EVERY
def test_a_process_without_pairs_has_an_empty_batch(kind):
    data = data_of(kind, rank=3, world_size=4, batch_size=400)
    (batch,) = data.val_dataloader()
    assert [side.shape for side in batch] == [(0, *data.source_shape), (0, *data.image_shape)]


@EVERY
def test_reals_are_the_targets_without_anything_random(kind):
    data = data_of(kind)
    for split in ("train", "test"):
        loader = data.reference_dataloader(split)
        assert loader.images.dtype == torch.uint8
        assert loader.images.shape[1:] == data.image_shape
        assert loader.images.is_contiguous()
        assert loader.labels.tolist() == [0] * len(loader.images)
        batches = torch.cat([batch.image for batch in loader])
        assert torch.equal(batches, loader.images.float() / 127.5 - 1)
        assert same(data_of(kind, seed=1).split(split), data.split(split))
    if kind != "small":
        targets = torch.cat([batch[1] for batch in data.val_dataloader()])
        assert torch.equal(targets[: len(batches)], batches)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "digits"])  # whose pixels do not tell the column
def test_training_and_test_share_no_column_of_the_photographs(kind, monkeypatch):
    """Red tells the column: 0..127 and 192..255 are for training."""
    columns = np.broadcast_to((np.arange(640) / 2.5).astype(np.uint8)[None, :, None], (427, 640, 3))
    monkeypatch.setattr(module, "load_sample_images", lambda: SimpleNamespace(images=[columns, columns]))
    for cached in (module.photographs, module.label_maps):
        cached.cache_clear()
    data = data_of(kind)
    train, test = (set(data.split(split)[0][:, 0].unique().tolist()) for split in ("train", "test"))
    drawn = take(data.train_dataloader(), 100)[1][:, 0]
    for cached in (module.photographs, module.label_maps):
        cached.cache_clear()
    assert train <= {*range(128), *range(192, 256)}
    assert test <= set(range(128, 192))
    assert len(test) > 50
    assert set(((drawn + 1) * 127.5).round().unique().tolist()) <= {*range(128), *range(192, 256)}


@EVERY
def test_what_cannot_be_shared_is_said(kind):
    with pytest.raises(UserError, match=r"batch_size=4 can't be shared evenly by 3 processes"):
        data_of(kind, 0, 3).setup()
    with pytest.warns(UserWarning, match=r"each batch of 4000 has some of the \d+ training images repeatedly"):
        data_of(kind, batch_size=4000).train_dataloader()
    with pytest.raises(UserError, match="no split 'valid'"):
        data_of(kind).split("valid")
