"""Every public variant, by existing: trains, is saved, loaded and sampled; with every network, loss and penalty."""

from functools import cache, partial
from inspect import isclass

import pytest
import torch

import lit_gans
from datamodules import Labelled
from lit_gans.augment import ADA, DiffAugment
from lit_gans.base import AdversarialModule
from lit_gans.callbacks import Checkpoint
from lit_gans.ema import update_ema
from lit_gans.errors import UserError
from lit_gans.losses import AdversarialLoss, LeastSquares
from lit_gans.networks import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator
from lit_gans.penalties import R1, GradientPenalty, Penalty, WeightClipping
from lit_gans.schedules import Cosine, Linear
from tests.conftest import SMALL, Noise, SavedAt, same, small_discriminator, small_generator, trainer

CLASSES = [getattr(lit_gans, name) for name in lit_gans.__all__]
VARIANTS = [cls.__name__ for cls in CLASSES if isclass(cls) and issubclass(cls, lit_gans.GAN)]
GENERATORS = [partial(MLPGenerator, widths=[8], latent_dim=4), partial(DCGANGenerator, width=4, latent_dim=4)]
DISCRIMINATORS = [partial(MLPDiscriminator, widths=[8]), partial(DCGANDiscriminator, width=4, norm="layer")]
LOSSES = [cls for loss in AdversarialLoss.__subclasses__() for cls in (loss, *loss.__subclasses__())]
PENALTIES = [cls for penalty in Penalty.__subclasses__() for cls in (penalty, *penalty.__subclasses__())]


def built(cls, seed=0, **arguments):
    """With small networks, and labels where the variant takes them."""
    torch.manual_seed(seed)
    return cls(**{"image_shape": (1, 8, 8), "num_classes": 3} | SMALL | arguments)


def other_penalties(model):
    """All that it has not already, but clipping beside another bound of the critic."""
    own = {type(penalty) for penalty in model.penalties}
    taken = own | {GradientPenalty if WeightClipping in own else WeightClipping}
    return [penalty() for penalty in PENALTIES if penalty not in taken]


probe = cache(built)


def everything(cls):
    """All that fits the variant: labels, further penalties, an augmentation that adapts."""
    target = None if probe(cls).loss.threshold is None else 0.6
    return {
        "penalties": other_penalties(probe(cls)),
        "augment": ADA(p=0.3, every=2, speed_kimg=0.2, target=target),
    } | ({} if probe(cls).num_classes else {"conditional": True})


def fitted(cls, steps=2, precision=None, **arguments):
    """With small networks of this project, which a file can name."""
    model = built(cls, **{"generator": GENERATORS[0], "discriminator": DISCRIMINATORS[0]} | arguments)
    trainer(max_steps=steps, precision=precision, callbacks=[Checkpoint()]).fit(model, Noise())
    return model


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", VARIANTS)
def test_trains_and_comes_back(name, precision):
    """With its own networks and defaults."""
    cls = getattr(lit_gans, name)
    assert issubclass(cls, AdversarialModule)
    torch.manual_seed(0)
    model = cls(image_shape=(1, 8, 8), num_classes=3)
    trainer(max_steps=1, precision=precision, callbacks=[Checkpoint()]).fit(model, Noise(batch_size=4))
    images = model.sample(5, generator=torch.Generator().manual_seed(1))
    assert images.shape == (5, 1, 8, 8)
    assert images.isfinite().all()
    assert -1 <= images.min() < images.max() <= 1
    for source in (".", "checkpoints/last.ckpt"):
        loaded = lit_gans.load(source)
        assert type(loaded) is cls
        assert not loaded.training
        assert loaded.hparams == model.hparams
        assert same(loaded.state_dict(), model.state_dict())
        assert same(loaded.sample(5, generator=torch.Generator().manual_seed(1)), images)


@pytest.mark.parametrize("name", VARIANTS)
def test_all_tensors_meet_on_one_device(name):
    """On the meta device, as on a GPU, a tensor left on the CPU raises."""
    cls = getattr(lit_gans, name)
    shape = {"image_shape": (1, 8, 8), "num_classes": 3}
    more = {"penalties": other_penalties(probe(cls)), "augment": ADA(p=0.5, target=None, cutout=1.0)}
    model = cls(**shape, **more).to("meta")
    batch = Labelled(torch.zeros(4, 1, 8, 8, device="meta"), torch.zeros(4, dtype=torch.long, device="meta"))
    model._watched = True
    for phase in model.phases():
        loss = sum(phase.objective(batch).values())
        loss.backward()
        model.divergence.watch(phase.player, loss, turn=0)
        assert loss.device.type == "meta"
        model.after_step(phase.player)
    model.after_batch(4)
    update_ema(model.ema, model.generator, 0.9)
    assert model.sample(5).device.type == "meta"
    assert all(value.device.type == "meta" for value in model._row.values())


@pytest.mark.parametrize("discriminator", DISCRIMINATORS, ids=lambda d: d.func.__name__)
@pytest.mark.parametrize("generator", GENERATORS, ids=lambda g: g.func.__name__)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_every_cell(generator, discriminator, loss):
    """Any networks, any loss, all penalties, an augmentation, with labels."""
    model = fitted(
        lit_gans.GAN,
        generator=generator,
        discriminator=discriminator,
        loss=loss(),
        penalties=[cls() for cls in PENALTIES if cls is not WeightClipping],
        augment=DiffAugment(),
        conditional=True,
    )
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("name", VARIANTS)
def test_cut_and_resumed(name):
    """The same state, bit for bit, from a checkpoint and another initial state: all that is random or remembered."""
    cls = getattr(lit_gans, name)

    def ended(seed, checkpoint=None):
        networks = {
            "generator": partial(small_generator, batch_norm=True),
            "discriminator": partial(small_discriminator, dropout=0.3),
        }
        model = built(cls, seed, n_critic=2, **everything(cls) | networks)
        run = trainer(max_steps=5, callbacks=[SavedAt(3)])
        run.fit(model, Noise(flip=True), ckpt_path=checkpoint)
        moments = [optimizer.state_dict() for optimizer in run.optimizers]
        return model.state_dict(), moments, model.row(), model.images_seen

    whole = ended(seed=0)
    saved = torch.load("cut.ckpt", weights_only=True)["state_dict"]
    assert same(ended(1, "cut.ckpt"), whole)
    moved = {name for name, value in saved.items() if not same(whole[0][name], value)}
    assert moved >= {name for name in saved if name.endswith("weight") and not name.endswith("head.weight")}  # clipped


def test_all_arguments_come_back():
    arguments = {
        "conditional": True,
        "generator": GENERATORS[1],
        "discriminator": DISCRIMINATORS[0],
        "loss": LeastSquares(real_code=0.9),
        "penalties": [R1(3.0, every=2), GradientPenalty(2.0)],
        "generator_lr": Linear(start=1e-3, kimg=10.0),
        "optimizer": torch.optim.RMSprop,
        "betas": (0.0, Cosine(start=0.9, end=0.99, kimg=0.032)),
        "ema_half_life": Linear(start=0.0, end=32.0, kimg=0.032),
        "augment": ADA(p=0.25, scale=0.5),
    }
    model = fitted(lit_gans.DCGAN, **arguments)
    loaded = lit_gans.DCGAN.load_from_checkpoint("checkpoints/last.ckpt")
    assert loaded.hparams == model.hparams
    assert loaded.loss.real_code == 0.9
    assert [(type(penalty), penalty.weight, penalty.every) for penalty in loaded.penalties] == [
        (R1, 3.0, 2),
        (GradientPenalty, 2.0, 1),
    ]
    assert loaded.learning_rates["generator"](5.0) == pytest.approx(5e-4)
    assert loaded.optimizer is torch.optim.RMSprop
    assert loaded.images_seen == model.images_seen == 16
    assert loaded.betas[1](0.016) == pytest.approx(0.945)
    assert loaded.ema_half_life(0.016) == pytest.approx(16.0)
    assert (loaded.augment.p, loaded.augment.scale) == (0.25, 0.5)


class Own(lit_gans.GAN):
    """A user's variant."""


def own_generator(image_shape, num_classes):
    return MLPGenerator(image_shape, num_classes, latent_dim=3)


def test_a_file_names_no_foreign_classes():
    fitted(Own)
    with pytest.raises(UserError, match=r"tests\.test_variants\.Own, which is not of this project"):
        lit_gans.load(".")
    assert type(lit_gans.load(".", cls=Own)) is Own
    assert type(Own.load_from_checkpoint("checkpoints/last.ckpt")) is Own
    fitted(lit_gans.GAN, generator=own_generator)
    with pytest.raises(UserError, match="own_generator, which is not of this project"):
        lit_gans.load(".")
    assert lit_gans.load(".", generator=own_generator).generator.latent_dim == 3


@pytest.mark.parametrize(
    "path",
    [
        "lit_gans.files.os",
        "lit_gans.callbacks.samples.Path",
        "os.system",
        "lit_gans.nope.A",
        "lit_gans.verbs.fit.GANCLI",
    ],
)
def test_a_file_runs_nothing_else(path):
    fitted(lit_gans.GAN)
    checkpoint = torch.load("checkpoints/last.ckpt", weights_only=True)
    checkpoint["hyper_parameters"]["loss"] = {"class_path": path, "init_args": {}}
    torch.save(checkpoint, "bad.ckpt")
    with pytest.raises(UserError, match=path):
        lit_gans.load("bad.ckpt")


def test_unreadable_checkpoints():
    with open("bad.ckpt", "wb") as file:
        file.write(b"not a checkpoint")
    with pytest.raises(UserError, match=r"bad\.ckpt cannot be read"):
        lit_gans.load("bad.ckpt")
    torch.save({"weights": torch.zeros(1)}, "other.ckpt")
    with pytest.raises(UserError, match=r"other\.ckpt is not a checkpoint of Lit-GANs"):
        lit_gans.load("other.ckpt")
    with pytest.raises(UserError, match="no checkpoint at nowhere"):
        lit_gans.load("nowhere")


def test_samples_do_not_depend_on_number_and_batch_size():
    model = fitted(lit_gans.DCGAN, conditional=True)
    for n, batch_size in ((1, 256), (7, 2), (20, 3)):
        few = model.sample(n, generator=torch.Generator().manual_seed(0), batch_size=batch_size)
        many = model.sample(20, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(few, many[:n], rtol=1e-5, atol=1e-6)
    labelled = model.sample(3, 2, torch.Generator().manual_seed(0))
    same_latents = model.sample(3, torch.tensor([2, 2, 0]), torch.Generator().manual_seed(0))
    torch.testing.assert_close(labelled[:2], same_latents[:2])
    assert not labelled[2].allclose(same_latents[2])
    assert model.sample(0).shape == (0, 1, 8, 8)
    with pytest.raises(UserError, match="labels of this model go from 0 to 2"):
        model.sample(2, 3)


def test_labels_are_used_only_when_asked_for():
    assert fitted(lit_gans.GAN).generator.num_classes == 0
    assert fitted(lit_gans.GAN, conditional=True).generator.num_classes == 3
    with pytest.raises(UserError, match="these have none"):
        lit_gans.GAN(image_shape=(1, 8, 8), num_classes=0, conditional=True)
    model = lit_gans.GAN(image_shape=(1, 8, 8), num_classes=2, conditional=True)
    with pytest.raises(UserError, match="3 classes.*2"):
        trainer().fit(model, Noise())
