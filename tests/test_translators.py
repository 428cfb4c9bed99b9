"""Every translator of images, by existing: trains, is saved, loaded, cut and resumed, and translates any size."""

from functools import partial

import lightning as L
import pytest
import torch

import lit_gans
from lit_gans.callbacks import Checkpoint
from lit_gans.ema import update_ema
from lit_gans.errors import UserError
from lit_gans.losses import RelativisticAverage
from lit_gans.metrics import PairQuality
from lit_gans.networks import PatchDiscriminator, ResNetTranslator, SRDiscriminator, StyleTranslator, UNetGenerator
from tests.conftest import Noise, SavedAt, same, trainer
from tests.translation import TRANSLATORS, PairNoise, data_for, translator


def at_random(name, shape=(2, 3, 8, 8), seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_all_are_known():
    assert {"Pix2Pix", "CycleGAN", "StyleTransferGAN", "SRGAN", "ESRGAN"} <= set(TRANSLATORS)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", TRANSLATORS)
def test_trains_and_comes_back(name, precision):
    """With its own generator and defaults."""
    data = data_for(name)
    torch.manual_seed(0)
    model = getattr(lit_gans, name)(
        source_shape=data.source_shape,
        image_shape=data.image_shape,
        discriminator=partial(PatchDiscriminator, receptive_field=16),
    )
    trainer(max_steps=1, precision=precision, callbacks=[Checkpoint()]).fit(model, data)
    source = torch.rand(2, *data.source_shape) * 2 - 1
    images = model.translate(source)
    assert images.shape == (2, *data.image_shape)
    assert images.isfinite().all()
    assert -1 <= images.min() < images.max() <= 1
    loaded = lit_gans.load("checkpoints/last.ckpt")
    assert type(loaded) is type(model)
    assert not loaded.training
    assert loaded.hparams == model.hparams
    assert same(loaded.state_dict(), model.state_dict())
    assert same(loaded.translate(source), images)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_all_tensors_meet_on_one_device(name):
    """On the meta device, as on a GPU, a tensor left on the CPU raises."""
    model = translator(name).to("meta")
    for pool in [module for module in model.modules() if hasattr(module, "kept")]:
        pool.size = 0  # what it does with numbers needs a device that has some
    shapes = (model.source_shape, model.image_shape)
    batch = model.batches(*(torch.zeros(4, *shape, device="meta") for shape in shapes))
    model._watched = True
    for phase in model.phases():
        loss = sum(phase.objective(batch).values())
        loss.backward()
        assert loss.device.type == "meta"
    update_ema(model.ema, model.generator, 0.9)
    assert model.translate(batch[0]).device.type == "meta"
    assert all(value.device.type == "meta" for value in model._row.values())


def unsteady(name):
    """Networks with dropout and batch norm, and pools that are full after two batches."""
    if name in ("SRGAN", "ESRGAN"):
        more = {"generator": partial(lit_gans.networks.SRResNet, blocks=1, width=4), "pretrain_kimg": 0.008}
    else:
        more = {"generator": partial(ResNetTranslator, blocks=1, width=4, norm="batch", dropout=0.3)}
    if name in ("CycleGAN", "StyleTransferGAN"):
        more["pool_size"] = 6
    return more | {"discriminator": partial(PatchDiscriminator, receptive_field=16, width=4)}


@pytest.mark.parametrize("name", TRANSLATORS)
def test_cut_and_resumed(name):
    """The same state, bit for bit, from a checkpoint and another initial state: all that is random or remembered."""

    def ended(seed, checkpoint=None):
        model = translator(name, seed, **unsteady(name))
        run = trainer(max_steps=5, callbacks=[SavedAt(3)])
        run.fit(model, data_for(name), ckpt_path=checkpoint)
        moments = [optimizer.state_dict() for optimizer in run.optimizers]
        return model.state_dict(), moments, model.row(), model.images_seen

    whole = ended(seed=0)
    assert same(ended(1, "cut.ckpt"), whole)
    saved = torch.load("cut.ckpt", weights_only=True)["state_dict"]
    pools = [key for key in saved if key.endswith("_extra_state")]
    assert len(pools) == {"CycleGAN": 2, "StyleTransferGAN": 1}.get(name, 0)
    assert all(len(saved[key]) == 6 and not same(saved[key], whole[0][key]) for key in pools)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_the_generator_waits_for_its_turn(name):
    model = translator(name, n_critic=2, **({"pretrain_kimg": 0.0} if name in ("SRGAN", "ESRGAN") else {}))
    trainer(max_steps=5).fit(model, data_for(name))
    assert model.generator_updates == 2


@pytest.mark.parametrize("name", TRANSLATORS)
def test_images_are_made_once_for_both_players(name):
    """Whoever moves first: the same images, with a graph for the generator, and none through the discriminator."""
    model, data = translator(name, micro_batches=1), data_for(name)
    calls = []
    generators = model.generator.values() if name == "CycleGAN" else [model.generator]
    for network in generators:
        network.register_forward_hook(lambda module, inputs, output: calls.append(output.requires_grad))
    trainer(max_steps=1).fit(model, data)
    assert calls == [True] * {"CycleGAN": 6}.get(name, 1)
    assert all(parameter.requires_grad for parameter in model.generator.parameters())


@pytest.mark.parametrize("name", TRANSLATORS)
def test_any_size_whole_or_in_tiles(name):
    model = translator(name).eval()
    scale = model.image_shape[1] // model.source_shape[1]
    images = at_random(name, (2, 3, 37, 50))
    whole = model.translate(images)
    assert whole.shape == (2, 3, 37 * scale, 50 * scale)
    tiled = model.translate(images, tile=24, overlap=8)
    assert tiled.shape == whole.shape
    assert tiled.isfinite().all()
    assert model.translate(images[:0]).shape == (0, 3, 37 * scale, 50 * scale)
    with pytest.raises(UserError, match="takes images of 3 channels, not of 1"):
        model.translate(images[:, :1])
    with pytest.raises(UserError, match="larger than twice their overlap"):
        model.translate(images, tile=16, overlap=8)
    with pytest.raises(UserError, match=r"translate takes a tensor \(N, C, H, W\)"):
        model.translate(images.numpy())


@pytest.mark.parametrize("name", TRANSLATORS)
def test_outputs_are_measured_where_they_have_targets(name):
    run = trainer(max_steps=1, limit_val_batches=1.0, val_check_interval=1, callbacks=[PairQuality()])
    run.fit(translator(name), data_for(name))
    assert ("val/psnr" in run.callback_metrics) is (name not in ("CycleGAN", "StyleTransferGAN"))


def test_the_wrong_data_are_refused():
    with pytest.raises(UserError, match="CycleGAN plays on Unpaired images, and PairNoise has Paired ones"):
        trainer().fit(translator("CycleGAN"), PairNoise())
    with pytest.raises(UserError, match="Pix2Pix plays on Paired images, and Noise has Labelled ones"):
        trainer().fit(translator("Pix2Pix"), Noise())
    with pytest.raises(UserError, match="these data have no sources"):
        lit_gans.Pix2Pix(source_shape=None, image_shape=(3, 8, 8))
    with pytest.raises(UserError, match="no identity term: identity_weight=0"):
        lit_gans.CycleGAN(source_shape=(1, 8, 8), image_shape=(3, 8, 8))


@pytest.mark.parametrize("name", TRANSLATORS)
def test_relativistic_losses_see_the_reals(name):
    model = translator(name, loss=RelativisticAverage())
    trainer(max_steps=1).fit(model, data_for(name))
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_noise_in_tests_is_the_papers():
    """Dropout and the statistics of the image at hand, each by itself; the network is as before."""
    generator = partial(UNetGenerator, width=4)
    model = translator("Pix2Pix", generator=generator, noise=True).eval()
    source, state = at_random("noise"), {name: value.clone() for name, value in model.ema.state_dict().items()}
    torch.manual_seed(0)
    first, second = model.translate(source), model.translate(source)
    assert not first.allclose(second)
    assert same(dict(model.ema.state_dict()), state)
    assert not any(module.training for module in model.ema.modules())
    torch.manual_seed(0)
    model.ema.train()
    expected = torch.cat([model.ema(source[:1]), model.ema(source[1:])])
    torch.testing.assert_close(first, expected)
    quiet = translator("Pix2Pix", generator=generator).eval()
    assert same(quiet.translate(source), quiet.translate(source))


def test_noise_is_the_same_in_every_validation():
    class Seen(L.Callback):
        def on_validation_batch_end(self, trainer, module, outputs, *args):
            seen.append(outputs["fake"])

    model, seen = translator("Pix2Pix", generator=partial(UNetGenerator, width=4), noise=True), []
    run = trainer(limit_val_batches=1.0, callbacks=[Seen()])
    run.validate(model, PairNoise(), verbose=False)
    state = torch.get_rng_state()
    run.validate(model, PairNoise(), verbose=False)
    assert same(seen[: len(seen) // 2], seen[len(seen) // 2 :])
    assert torch.equal(torch.get_rng_state(), state)


def test_styles_are_shown_to_the_generator_that_takes_them():
    model = translator("StyleTransferGAN", generator=partial(StyleTranslator, blocks=1, width=4)).eval()
    images, style = at_random("a"), at_random("b", (1, 3, 12, 8), seed=1)
    assert not model.translate(images, style=style).allclose(model.translate(images, style=style.flip(1)))
    with pytest.raises(UserError, match="give a style image"):
        model.translate(images)
    with pytest.raises(UserError, match="to no other"):
        translator("StyleTransferGAN").translate(images, style=style)
    trainer(max_steps=1, limit_val_batches=1).fit(model, data_for("StyleTransferGAN"))


def test_the_networks_of_the_papers_are_the_defaults():
    shapes = {"source_shape": (3, 24, 24), "image_shape": (3, 96, 96)}
    model = lit_gans.SRGAN(**shapes)
    assert isinstance(model.discriminator, SRDiscriminator)
    assert sum(parameter.numel() for parameter in model.discriminator.parameters()) == 23_565_505
    with torch.device("meta"):
        pix2pix = lit_gans.Pix2Pix(source_shape=(3, 256, 256), image_shape=(3, 256, 256))
        cycle = lit_gans.CycleGAN(source_shape=(3, 256, 256), image_shape=(3, 256, 256))
    assert sum(parameter.numel() for parameter in pix2pix.discriminator.parameters()) == 2_768_705
    assert sum(parameter.numel() for parameter in cycle.generator.parameters()) == 2 * 11_378_179
    assert sum(parameter.numel() for parameter in cycle.discriminator.parameters()) == 2 * 2_764_737
