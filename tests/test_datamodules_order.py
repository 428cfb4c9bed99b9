"""Which image comes when, on which process, mirrored or not, and after which interruption."""

from types import SimpleNamespace

import lightning as L
import pytest
import torch

from datamodules import ImageData
from lit_gans.errors import UserError

COUNT = 23


class Numbered(ImageData):
    """Image i is 2 x 2 pixels of value 10 * i on the left and 10 * i + 1 on the right; its label is i."""

    name, channels, num_classes = "numbered", 1, COUNT
    test_count = 11

    def load(self, split):
        labels = torch.arange(COUNT if split == "train" else self.test_count)
        left = (10 * labels).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 1)
        return torch.cat([left, left + 1], dim=3), labels


def numbered(rank=0, world_size=1, **arguments):
    data = Numbered(**{"image_size": 2, "batch_size": 4, "seed": 7, **arguments})
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size) if world_size > 1 else None
    return data


def take(stream, batches):
    taken = []
    while len(taken) < batches:
        taken += stream
    assert len(taken) == batches, "choose a multiple of the epoch"
    return taken


def labels_of(batches):
    return torch.cat([batch.label for batch in batches])


def images_of(batches):
    return torch.cat([batch.image for batch in batches])


def equal(ones, others):
    return torch.equal(images_of(ones), images_of(others)) and torch.equal(labels_of(ones), labels_of(others))


def test_batches_are_labelled_floats_in_range():
    batch = next(iter(numbered().train_dataloader()))
    assert batch.image.dtype == torch.float32
    assert batch.image.shape == (4, 1, 2, 2)
    assert batch.label.dtype == torch.int64
    left = (10 * batch.label).to(torch.uint8)  # wraps as the images do
    assert torch.equal(batch.image[:, 0, 0, 0], left.float() / 127.5 - 1)


def test_each_pass_holds_each_image_once_in_another_order():
    labels = labels_of(take(numbered().train_dataloader(), 50))  # 200 images, 8 passes
    passes = labels[: 8 * COUNT].view(8, COUNT)
    assert all(torch.equal(order.sort().values, torch.arange(COUNT)) for order in passes)
    assert len({tuple(order.tolist()) for order in passes}) == 8


def test_order_depends_on_seed():
    orders = [labels_of(take(numbered(seed=seed).train_dataloader(), 5)) for seed in (0, 1, 0)]
    assert torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[1])


@pytest.mark.parametrize("flip", [False, True])
def test_order_does_not_depend_on_batch_size(flip):
    small = take(numbered(batch_size=4, flip=flip).train_dataloader(), 40)
    large = take(numbered(batch_size=8, flip=flip).train_dataloader(), 20)
    assert equal(small, large)


def test_two_processes_see_together_what_one_sees():
    whole = take(numbered(flip=True).train_dataloader(), 10)
    first, second = (take(numbered(rank, 2, flip=True).train_dataloader(), 10) for rank in (0, 1))
    assert all(len(batch.label) == 2 for batch in first + second)
    assert equal(whole, [half for halves in zip(first, second, strict=True) for half in halves])


@pytest.mark.parametrize("batch_size", [COUNT, COUNT + 1, 60])
def test_batches_larger_than_the_data(batch_size):
    stream = numbered(batch_size=batch_size).train_dataloader()
    assert len(stream) == 1
    large = labels_of(take(stream, 3))
    assert torch.equal(large, labels_of(take(numbered(batch_size=1).train_dataloader(), 8 * COUNT))[: len(large)])


def test_about_half_are_mirrored_and_anew_in_each_pass():
    batches = take(numbered(flip=True).train_dataloader(), 100)
    images = images_of(batches)
    mirrored = images[:, 0, 0, 0] > images[:, 0, 0, 1]
    straight = images_of(take(numbered().train_dataloader(), 100))
    assert torch.equal(torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images), straight)
    assert 140 < mirrored.sum() < 260
    assert not torch.equal(mirrored[:COUNT], mirrored[COUNT : 2 * COUNT])


@pytest.mark.parametrize(("stop", "num_workers"), [(2, 0), (5, 0), (7, 0), (10, 0), (5, 2), (7, 2)])
def test_resumed_stream_goes_on_as_if_uninterrupted(stop, num_workers):
    whole = take(numbered(flip=True).train_dataloader(), 20)  # an epoch is 5 batches
    stream = numbered(flip=True, num_workers=num_workers).train_dataloader()
    before = []
    while len(before) < stop:
        for batch in stream:
            before.append(batch)
            if len(before) == stop:
                break
    assert stream.state_dict() == {"batches": stop}
    resumed = numbered(flip=True, num_workers=num_workers).train_dataloader()
    resumed.load_state_dict(stream.state_dict())
    after = list(resumed)
    assert len(after) == 5
    assert equal(before + after, whole[: stop + len(after)])
    assert equal(list(resumed), whole[stop + len(after) :][:5])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loaders_leave_the_global_generator_alone(num_workers):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    data = numbered(flip=True, num_workers=num_workers)
    list(data.train_dataloader())
    list(data.val_dataloader())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_evaluation_deals_each_image_once_in_whole_batches(world_size):
    parts = [list(numbered(rank, world_size).test_dataloader()) for rank in range(world_size)]
    dealt = [parts[number % world_size][number // world_size] for number in range(3)]
    assert [len(batch.label) for batch in dealt] == [4, 4, 3]
    assert torch.equal(labels_of(dealt), torch.arange(11))
    assert [len(part[0].label) for part in parts[3:]] == [0] * (world_size - 3)  # an empty batch, not none
    assert [len(numbered(rank, world_size).test_dataloader()) for rank in range(world_size)] == [len(p) for p in parts]


def test_reference_is_in_order_and_never_mirrored():
    for split, count in (("train", COUNT), ("test", 11)):
        batches = list(numbered(flip=True, num_workers=2).reference_dataloader(split))
        assert torch.equal(labels_of(batches), torch.arange(count))
        assert equal(batches, list(numbered().reference_dataloader(split)))
    with pytest.raises(UserError, match="'valid'.*train, test"):
        numbered().reference_dataloader("valid")


def test_batch_must_be_shared_evenly():
    with pytest.raises(UserError, match="batch_size=4 .* 3 processes"):
        numbered(0, 3).setup()


@pytest.mark.parametrize("argument", [{"image_size": 0}, {"batch_size": 0}, {"batch_size": -1}, {"num_workers": -1}])
def test_numbers_out_of_range(argument):
    with pytest.raises(UserError, match=next(iter(argument))):
        numbered(**argument)


class Recorder(L.LightningModule):
    """Keeps the labels that it was trained on."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen += batch.label.tolist()
        return self.weight * batch.image.mean()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(max_steps, resume_from=None, **arguments):
    model = Recorder()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(accelerator="cpu", max_steps=max_steps, enable_checkpointing=False, **quiet)
    trainer.fit(model, numbered(**arguments), ckpt_path=resume_from)
    return model.seen, trainer


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("stop", "num_workers"), [(3, 0), (8, 2), (5, 0)])
def test_lightning_resumes_where_it_stopped(tmp_path, stop, num_workers):
    whole = labels_of(take(numbered().train_dataloader(), 15)).tolist()
    before, trainer = fit(stop, num_workers=num_workers)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    after, _ = fit(12, resume_from=tmp_path / "last.ckpt", num_workers=num_workers)
    assert before + after == whole[: 12 * 4]


def test_a_batch_larger_than_the_data_warns():
    with pytest.warns(UserWarning, match="each batch of 32 has some of the 23 training images repeatedly"):
        stream = numbered(batch_size=32).train_dataloader()
    assert labels_of(take(stream, 1)).unique().numel() == COUNT
