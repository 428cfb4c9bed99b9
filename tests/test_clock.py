"""What is counted in batches and what in images."""

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers.logger import DummyLogger

from lit_gans.ema import ema_decay, update_ema
from lit_gans.schedules import Cosine, Linear
from tests.conftest import fit, same, small_gan, small_generator


def test_a_new_trainer_goes_on_with_the_images():
    class Journal(L.Callback):
        sums = []

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            self.sums.append(batch.image.double().sum().item())

    Journal.sums = []
    fit(small_gan(), steps=7, callbacks=[Journal()])
    model = small_gan()
    for steps in (3, 7):
        fit(model, steps=steps, callbacks=[Journal()], reload_dataloaders_every_n_epochs=1)
    assert Journal.sums[7:] == Journal.sums[:7]


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
    played = [metrics for metrics in train_rows if "generator/adversarial" in metrics]
    assert len(played) == (3 if n_critic == 1 else 1)  # with 5, the generator moves once, and is in the row after
    assert all("generator/gradient_norm" in metrics for metrics in played)
    assert {"discriminator/gradient_norm", "discriminator/real_accuracy", "discriminator/fake_score"} <= train_rows[
        0
    ].keys()


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
