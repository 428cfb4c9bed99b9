import lightning as L
import pytest
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy

from lit_gans import GAN
from lit_gans.base import Phase
from lit_gans.ema import ema_decay, update_ema
from lit_gans.errors import UserError
from lit_gans.losses import Wasserstein
from lit_gans.penalties import R1, GradientPenalty
from lit_gans.schedules import Cosine, Linear
from lit_gans.strategy import prepare_strategy
from tests.conftest import Noise, same, small_gan, small_generator, trainer


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


def fit(model, *, steps=3, data=None, **kwargs):
    run = trainer(max_steps=steps, **kwargs)
    run.fit(model, data or Noise())
    return run


def weights(model, *players):
    return {name: value.clone() for name, value in model.state_dict().items() if name.startswith(players)}


def test_order_of_phases():
    watcher = Watcher()
    fit(small_gan(n_critic=3), steps=4, callbacks=[watcher])
    d, g = "discriminator", "generator"
    assert watcher.turns == [(0, d), (0, g), (1, d), (2, d), (3, d), (3, g)]
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
    assert watcher.turns == [(0, g), (0, g), (1, g), (2, g), (2, g), (2, d)]
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
        fit(model, precision="64-true")
        return weights(model, "generator", "discriminator", "ema")

    torch.testing.assert_close(trained(pieces), trained(1), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("n_critic", "steps"), [(1, 7), (5, 7)])
def test_one_clock(n_critic, steps):
    """Steps, validations, log rows and images all count batches, whoever plays."""

    class Rows(DummyLogger):
        rows = []

        def log_metrics(self, metrics, step=None):
            self.rows.append((step, metrics))

    class Validations(L.Callback):
        at = []

        def on_validation_end(self, trainer, module):
            self.at.append(trainer.global_step)

    Rows.rows, Validations.at = [], []
    model = small_gan(n_critic=n_critic)
    run = fit(
        model,
        steps=steps,
        callbacks=[Validations()],
        logger=Rows(),
        log_every_n_steps=2,
        val_check_interval=3,
        check_val_every_n_epoch=None,
        limit_val_batches=1,
    )
    assert run.global_step == model.turn == steps
    assert model.images_seen == steps * 8
    assert Validations.at == [3, 6]
    assert [step for step, _ in Rows.rows] == [2, 3, 4, 6, 6]
    assert [metrics["kimg"] for _, metrics in Rows.rows] == pytest.approx([0.016, 0.024, 0.032, 0.048, 0.048])
    train_rows = [metrics for step, metrics in Rows.rows if "discriminator/adversarial" in metrics]
    assert len(train_rows) == 3
    assert {"discriminator/gradient_norm", "discriminator/real_accuracy", "discriminator/fake_score"} <= train_rows[
        0
    ].keys()


def test_terms_are_logged_and_summed():
    """The discriminator's gradient is that of the sum of its terms."""
    model = small_gan(penalties=[R1(3.0)], loss=Wasserstein(), optimizer=torch.optim.SGD, discriminator_lr=1.0)
    before = weights(model, "discriminator")
    data = Noise()
    data.setup()
    batch = next(iter(data.train_dataloader()))
    model._phase = "discriminator_loss"
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
    model.turn, model.penalties = 0, [R1(1.0)]
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


def test_ema_half_life():
    """After one half-life, half of the start is left, in steps of any size."""
    average, network = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    for batch in (1, 10, 100):
        average.weight.data.fill_(1.0)
        network.weight.data.fill_(0.0)
        for _ in range(1000 // batch):
            update_ema(average, network, ema_decay(batch, half_life=1000, seen=10**6))
        assert average.weight.item() == pytest.approx(0.5, rel=1e-4)
    assert ema_decay(32, 10_000, 10**9) == pytest.approx(0.9977843871238888)
    assert ema_decay(64, 500_000, 10**6, ramp=0.05) == pytest.approx(0.9991131650796176)
    assert ema_decay(64, 0, 10**6) == 0


def test_ema_in_training():
    """The averaged generator follows the formula, copies buffers, stays in eval mode and has no gradient."""

    class Follow(L.Callback):
        def on_train_start(self, trainer, module):
            self.expected = [p.detach().clone() for p in module.generator.parameters()]

        def on_train_batch_end(self, trainer, module, *args):
            decay = 0.5 ** (8 / min(100, 0.5 * module.images_seen))
            for slow, fast in zip(self.expected, module.generator.parameters(), strict=True):
                slow.mul_(decay).add_(fast.detach(), alpha=1 - decay)
            assert not module.ema.training
            assert module.generator.training

    follow = Follow()
    model = small_gan(
        ema_half_life=100,
        ema_ramp=0.5,
        generator=lambda shape, classes: small_generator(shape, classes, batch_norm=True),
        generator_lr=1e-2,
    )
    fit(model, steps=5, callbacks=[follow])
    torch.testing.assert_close(list(model.ema.parameters()), [torch.nn.Parameter(p) for p in follow.expected])
    assert same(list(model.ema.buffers()), list(model.generator.buffers()))
    assert not any(parameter.requires_grad for parameter in model.ema.parameters())
    model.train()
    assert not any(module.training for module in model.ema.modules())


def test_learning_rate_schedules():
    class Rates(L.Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_end(self, trainer, module, *args):
            self.seen.append([optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers])

    rates = Rates()
    model = small_gan(generator_lr=Linear(start=1.0, kimg=0.032), discriminator_lr=Cosine(start=1.0, kimg=0.016))
    fit(model, steps=5, callbacks=[rates])
    expected = [[1.0, 1.0], [0.75, 0.5], [0.5, 0.0], [0.25, 0.0], [0.0, 0.0]]
    assert rates.seen == [pytest.approx(pair, abs=1e-12) for pair in expected]


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
        model = small_gan(discriminator_clip=0.05, penalties=[R1(1.0)])
        run = fit(model, plugins=plugins, log_every_n_steps=1, logger=DummyLogger())
        return run.callback_metrics["discriminator/gradient_norm"], weights(model, "generator", "discriminator")

    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    norm, moved = trained([MixedPrecision("16-mixed", "cpu", scaler)])
    exact_norm, exact = trained(None)
    assert norm.item() == pytest.approx(exact_norm.item(), rel=0.02)
    torch.testing.assert_close(moved, exact, rtol=0, atol=2e-4)


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
        def fakes(self, batch):
            seen[self._phase] = self.draw(torch.randn, "latent", len(batch.image), 4)
            return super().fakes(batch)

    fit(small_gan(Spy), steps=1)
    assert seen.keys() == {"discriminator_loss", "generator_loss"}
    assert not same(seen["discriminator_loss"], seen["generator_loss"])


def test_unfit_strategies_are_refused():
    with pytest.raises(UserError, match="ModelParallelStrategy cannot train two players in turn: use DDP"):
        prepare_strategy(ModelParallelStrategy())
    with pytest.raises(UserError, match="find_unused_parameters=True"):
        prepare_strategy(DDPStrategy(find_unused_parameters=False))


def test_wrong_image_size_is_named():
    with pytest.raises(UserError, match=r"16x16.*8x8"):
        fit(small_gan(), data=Noise(image_size=16))
