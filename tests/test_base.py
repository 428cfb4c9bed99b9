import lightning as L
import pytest
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy

from lit_gans import GAN
from lit_gans.base import Phase
from lit_gans.errors import UserError
from lit_gans.losses import Wasserstein
from lit_gans.penalties import R1, GradientPenalty
from lit_gans.strategy import AtomicCheckpointIO, prepare_strategy
from tests.conftest import Noise, fit, same, small_gan


class Watcher(L.Callback):
    """Notes, after each optimizer step of a batch, which player moved and who had gradient."""

    def __init__(self):
        self.turns, self.moved, self.graded = [], [], []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        player = "generator" if optimizer is trainer.optimizers[0] else "discriminator"
        self.turns.append((module.turn, player))
        self.graded.append({name for name in ("generator", "discriminator") if has_gradient(getattr(module, name))})


def has_gradient(network):
    return any(parameter.requires_grad for parameter in network.parameters())


def weights(model, *players):
    return {name: value.clone() for name, value in model.state_dict().items() if name.startswith(players)}


def test_order_of_phases():
    watcher = Watcher()
    fit(small_gan(n_critic=3), steps=4, callbacks=[watcher])
    d, g = "discriminator", "generator"
    assert watcher.turns == [(0, d), (1, d), (2, d), (2, g), (3, d)]
    assert watcher.graded == [{player} for _, player in watcher.turns]


def test_phases_are_data():
    class Eager(GAN):
        def phases(self):
            return [
                Phase("generator", self.generator_loss),
                Phase("generator", self.generator_loss, every=2),
                Phase("discriminator", self.discriminator_loss, every=lambda turn: turn > 1),
            ]

    watcher = Watcher()
    run = fit(small_gan(Eager), steps=3, callbacks=[watcher])
    d, g = "discriminator", "generator"
    assert watcher.turns == [(0, g), (1, g), (1, g), (2, g), (2, d)]
    assert run.global_step == 3


@pytest.mark.parametrize("mover", ["generator", "discriminator"])
def test_only_the_player_moves(mover):
    class Alone(GAN):
        def phases(self):
            return [phase for phase in super().phases() if phase.player == mover]

    model = small_gan(Alone, penalties=[R1(1.0)])
    other = "discriminator" if mover == "generator" else "generator"
    before = weights(model, "generator", "discriminator")
    fit(model)
    after = weights(model, "generator", "discriminator")
    assert all(same(before[name], after[name]) for name in before if name.startswith(other))
    assert not any(same(before[name], after[name]) for name in before if name.startswith(mover))


@pytest.mark.parametrize("pieces", [2, 3, 8, 20])
def test_micro_batches_equal_the_full_batch(pieces):
    def trained(micro_batches):
        model = small_gan(
            micro_batches=micro_batches, penalties=[R1(1.0), GradientPenalty(1.0)], optimizer=torch.optim.SGD
        ).double()
        fit(model, precision="64-true", log_every_n_steps=1, logger=DummyLogger())
        return weights(model, "generator", "discriminator", "ema"), model.row()

    (cut, cut_row), (whole, row) = trained(pieces), trained(1)
    torch.testing.assert_close(cut, whole, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(cut_row, row)
    assert {"discriminator/r1", "discriminator/gradient_norm", "discriminator/real_score"} <= row.keys()


def test_each_batch_and_seed_has_its_own_draws():
    class Drawing(GAN):
        def discriminator_loss(self, batch):
            self.drawn.append((torch.rand(()).item(), self.draw(torch.rand, "test", 8)[0].item()))
            return super().discriminator_loss(batch)

    def drawn(seed):
        model = small_gan(Drawing, seed=seed)
        model.drawn = []
        fit(model, steps=5)
        return model.drawn

    both = drawn(0) + drawn(1)
    assert drawn(0) == both[:5]
    assert len({number for pair in both for number in pair}) == 20


def test_both_players_are_told_the_labels():
    class Listening(GAN):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.told = []
            for network in (self.generator, self.discriminator):
                network.register_forward_pre_hook(
                    lambda module, inputs, options: self.told.append([*inputs, *options.values()][1]), with_kwargs=True
                )

    model = small_gan(Listening, conditional=True)
    data = Noise()
    data.setup()
    batch = next(iter(data.train_dataloader()))
    for phase in model.phases():
        phase.objective(batch)
    assert len(model.told) == 5  # D: fakes made, reals and fakes judged; G: fakes made and judged
    assert all(same(labels, batch.label) for labels in model.told)


def test_checkpoints_of_a_run_are_written_atomically():
    assert isinstance(fit(small_gan(), steps=1).strategy.checkpoint_io, AtomicCheckpointIO)


def test_terms_are_logged_and_summed():
    """The discriminator's gradient is that of the sum of its terms."""
    model = small_gan(penalties=[R1(3.0)], loss=Wasserstein(), optimizer=torch.optim.SGD, discriminator_lr=1.0)
    before = weights(model, "discriminator")
    data = Noise()
    data.setup()
    batch = next(iter(data.train_dataloader()))
    terms = model.discriminator_loss(batch)
    assert terms.keys() == {"adversarial", "r1"}
    sum(terms.values()).backward()
    expected = {
        f"discriminator.{name}": before[f"discriminator.{name}"] - parameter.grad
        for name, parameter in model.discriminator.named_parameters()
    }
    model.zero_grad()
    fit(model, steps=1)
    torch.testing.assert_close(weights(model, "discriminator"), expected)


def test_lazy_penalty():
    """Every second batch, weighted twofold."""
    model = small_gan(penalties=[R1(1.0, every=2)])
    data = Noise()
    data.setup()
    batch = next(iter(data.train_dataloader()))
    lazy = model.discriminator_loss(batch)["r1"]
    model.turn = 1
    assert "r1" not in model.discriminator_loss(batch)
    model.turn, model.penalties = 0, torch.nn.ModuleList([R1(1.0)])
    torch.testing.assert_close(lazy, 2 * model.discriminator_loss(batch)["r1"])


def test_clipping_per_player():
    class Norms(L.Callback):
        generator, discriminator = [], []

        def on_train_batch_end(self, trainer, module, *args):
            for player in ("generator", "discriminator"):
                grads = [p.grad for p in getattr(module, player).parameters() if p.grad is not None]
                getattr(self, player).append(torch.nn.utils.get_total_norm(grads).item())

    Norms.generator, Norms.discriminator = [], []
    fit(small_gan(discriminator_clip=1e-3), callbacks=[Norms()])
    assert max(Norms.discriminator) == pytest.approx(1e-3, rel=1e-3)
    assert min(Norms.generator) > 2e-3


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD, torch.optim.RMSprop])
def test_optimizers(optimizer):
    model = small_gan(optimizer=optimizer, momentum=0.3, betas=(0.1, 0.2))
    run = fit(model, steps=1)
    settings = run.optimizers[0].param_groups[0]
    assert type(run.optimizers[0]) is optimizer
    assert settings.get("betas", (0.1, 0.2)) == (0.1, 0.2)
    assert settings.get("momentum", 0.3) == 0.3


def test_bf16_follows_float32():
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        model = small_gan(penalties=[R1(1.0)])
        run = fit(model, steps=20, precision=precision, log_every_n_steps=20, logger=DummyLogger())
        losses[precision] = torch.stack([run.callback_metrics[name] for name in ("discriminator/r1", "kimg")])
        assert all(p.dtype == torch.float32 and p.isfinite().all() for p in model.parameters())
    assert losses["32-true"].allclose(losses["bf16-mixed"], rtol=0.1)
    assert not losses["32-true"].equal(losses["bf16-mixed"])


def test_fp16_scaler_is_invisible():
    """With a gradient scaler, norms and clipping see unscaled gradients, and both players move as without one."""

    def trained(plugins):
        rates = {"generator_lr": 0.1, "discriminator_lr": 0.1}
        model = small_gan(discriminator_clip=0.05, penalties=[R1(1.0)], optimizer=torch.optim.SGD, **rates)
        run = fit(model, plugins=plugins, log_every_n_steps=1, logger=DummyLogger())
        return run.callback_metrics["discriminator/gradient_norm"], weights(model, "generator", "discriminator")

    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    norm, moved = trained([MixedPrecision("16-mixed", "cpu", scaler)])
    exact_norm, exact = trained(None)
    assert norm.item() == pytest.approx(exact_norm.item(), rel=0.02)
    torch.testing.assert_close(moved, exact, rtol=0, atol=2e-4)
    with pytest.raises(AssertionError):  # the movement itself is larger than that
        torch.testing.assert_close(moved, weights(small_gan(), "generator", "discriminator"), rtol=0, atol=2e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_divergence_names_the_step(bad):
    class Broken(GAN):
        def generator_loss(self, batch):
            terms = super().generator_loss(batch)
            return terms | {"broken": terms["adversarial"] * (bad if self.turn == 2 else 1.0)}

    with pytest.raises(UserError, match="loss of the generator is not finite at step 3"):
        fit(small_gan(Broken), steps=10, log_every_n_steps=5, logger=DummyLogger())


def test_draws_do_not_depend_on_how_a_batch_is_cut():
    model = small_gan()
    whole = model.draw(torch.randn, "latent", 6, 2)
    assert same(whole, model.draw(torch.randn, "latent", 6, 2))
    model._piece = (2, 5, 6)
    assert same(whole[2:5], model.draw(torch.randn, "latent", 3, 2))
    assert not same(whole[2:5], model.draw(torch.randn, "other", 3, 2))
    model.images_seen = 6
    assert not same(whole[2:5], model.draw(torch.randn, "latent", 3, 2))


def test_players_see_different_latents():
    seen = {}

    class Spy(GAN):
        def fakes(self, batch, each=1):
            seen[self._phase] = self.draw(torch.randn, "latent", len(batch.image), 4)
            return super().fakes(batch, each)

    fit(small_gan(Spy), steps=1)
    assert seen.keys() == {0, 1}
    assert not same(seen[0], seen[1])


def test_unfit_strategies_are_refused():
    with pytest.raises(UserError, match="ModelParallelStrategy cannot train two players in turn: use DDP"):
        prepare_strategy(ModelParallelStrategy())
    with pytest.raises(UserError, match="find_unused_parameters=True"):
        prepare_strategy(DDPStrategy(find_unused_parameters=False))


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ({"n_critic": 0}, {}, "n_critic"),
        ({"micro_batches": 0}, {}, "micro_batches"),
        ({"ema_half_life": -1}, {}, "ema_half_life"),
        ({"optimizer": torch.optim.LBFGS}, {}, "LBFGS"),
        ({"penalties": [R1(), R1()]}, {}, "each kind can be given once"),
        ({}, {"precision": "bf16-true"}, "use bf16-mixed"),
        ({}, {"overfit_batches": 2}, "overfit_batches"),
    ],
)
def test_what_cannot_work_is_refused(arguments, options, words):
    with pytest.raises(UserError, match=words):
        fit(small_gan(**arguments), **options)


def test_wrong_image_size_is_named():
    with pytest.raises(UserError, match=r"\[1, 16, 16\], the networks are for \[1, 8, 8\]"):
        fit(small_gan(), data=Noise(image_size=16))
