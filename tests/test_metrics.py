import os
import socket
from pathlib import Path

import lightning as L
import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric

from datamodules import ImageData
from lit_gans import metrics
from lit_gans.errors import UserError
from lit_gans.metrics import ImageQuality, SmallClassifier
from lit_gans.metrics.features import SHIPPED, FeatureNetwork
from lit_gans.metrics.reference import content_of
from lit_gans.randomness import keyed_generator


class ToyData(ImageData):
    name, channels, num_classes = "digits", 1, 10

    def __init__(self, batch_size: int = 32) -> None:
        super().__init__(image_size=8, batch_size=batch_size)

    def load(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        count = {"train": 170, "test": 75}[split]
        generator = keyed_generator("toy", split)
        return torch.randint(0, 256, (count, 1, 8, 8), generator=generator).to(torch.uint8), torch.zeros(count).long()


class ToyGAN(L.LightningModule):
    """Images are noise plus a weight; validation and training note what the metrics must not touch."""

    def __init__(self, learning_rate: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, 8, 8), 0.3))
        self.learning_rate = learning_rate
        self.random_states: list[torch.Tensor] = []

    def sample(self, n: int, labels: None = None, generator: torch.Generator | None = None) -> torch.Tensor:
        torch.rand(1)  # careless
        return (torch.randn(n, 1, 8, 8, generator=generator) + self.weight).tanh()

    def training_step(self, batch, batch_idx):
        return self.weight.square().sum()

    def validation_step(self, batch, batch_idx):
        number = batch_idx * self.trainer.world_size + self.trainer.global_rank
        noise = torch.randn(batch.image.shape, generator=keyed_generator("validation", number))
        return {"real": batch.image, "fake": (noise + self.weight).tanh()}

    test_step = validation_step

    def on_validation_epoch_start(self):
        self.random_states.append(torch.get_rng_state())

    def on_validation_end(self):
        self.random_states.append(torch.get_rng_state())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate)


class Notes(L.Callback):
    """Keeps the metrics of each validation."""

    def __init__(self) -> None:
        self.rows, self.counts = [], []

    def on_validation_end(self, trainer, pl_module):
        row = {key: float(value) for key, value in trainer.callback_metrics.items()}
        self.counts.append(row.pop("best/of", 0))
        self.rows.append(row)


def trainer_of(*callbacks: L.Callback, **options) -> L.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    checkpoint = {"enable_checkpointing": False, "num_sanity_val_steps": 0, "devices": 1}
    return L.Trainer(**quiet | checkpoint | options, callbacks=list(callbacks))


def validated(model: L.LightningModule | None = None, **options) -> dict[str, float]:
    """The metrics of one validation with 150 reals and 100 fakes, 75 of them from validation."""
    metric_options = {key: options.pop(key) for key in ("n_real", "n_fake", "batch_size") if key in options}
    quality = ImageQuality(**{"n_real": 150, "n_fake": 100, "batch_size": 16} | metric_options)
    trainer = trainer_of(quality, **options)
    trainer.validate(model or ToyGAN(), ToyData(), verbose=False)
    return {key: float(value) for key, value in trainer.callback_metrics.items()} | {
        "protocol": quality.descriptions["fid"]
    }


def test_logged_names_and_protocol():
    row = validated()
    assert row.keys() == {"val/fid", "val/is", "val/fid_digits", "val/is_digits", "protocol"}
    assert row["val/fid"] == row["val/fid_digits"] > 0
    assert row["protocol"] == {
        "features": "digits",
        "sha256": SHIPPED["digits"],
        "resize": "bilinear, antialiased",
        "n_real": 150,
        "n_fake": 100,
        "data": "digits",
        "image_size": "8x8",
        "content": content_of(ToyData().split("train")[0][:150])[:16],
        "reference": "train",
        "ema": True,
        "precision": "32-true",
    }


def test_test_uses_its_own_prefix():
    trainer = trainer_of(ImageQuality(n_real=150, n_fake=100))
    trainer.test(ToyGAN(), ToyData(), verbose=False)
    assert trainer.callback_metrics.keys() == {"test/fid", "test/is", "test/fid_digits", "test/is_digits"}


def test_several_networks_the_first_gives_the_plain_names():
    quality = ImageQuality(features=[SmallClassifier("digits"), Wide()], n_real=150, n_fake=100)
    trainer = trainer_of(quality)
    trainer.validate(ToyGAN(), ToyData(), verbose=False)
    row = trainer.callback_metrics
    assert row["val/fid"] == row["val/fid_digits"] != row["val/fid_wide"]
    assert row["val/is"] == row["val/is_digits"]
    assert quality.descriptions["fid"]["features"] == "digits"


class Wide(FeatureNetwork):
    """Two features: mean and spread of the grey levels."""

    name, num_features, num_classes, sha256, resize = "wide", 2, 2, "", "none"

    def embed(self, levels):
        flat = levels.float().flatten(1)
        both = torch.stack([flat.mean(1), flat.std(1)], 1)
        return both, both


@pytest.mark.parametrize(("n_real", "n_fake"), [(33, 64), (160, 71), (2, 2), (170, 75), (131, 107)])
def test_counts_exactly_what_was_asked_for(n_real, n_fake):
    protocol = validated(n_real=n_real, n_fake=n_fake)["protocol"]
    assert (protocol["n_real"], protocol["n_fake"]) == (n_real, n_fake)


def test_takes_the_reals_there_are():
    assert validated(n_real=1000)["protocol"]["n_real"] == 170


def test_the_number_is_that_of_the_very_images():
    network = SmallClassifier("digits")
    data, model = ToyData(), ToyGAN()
    reals = torch.cat([batch.image for batch in data.reference_dataloader("train")])[:150]
    model.trainer = trainer_of()
    batches = enumerate(data.val_dataloader())
    fakes = [model.validation_step(batch, index)["fake"] for index, batch in batches]
    fakes += [model.sample(n, generator=keyed_generator("evaluation", k)) for k, n in enumerate([16, 9])]
    (real, _), (fake, logits) = network(reals), network(torch.cat(fakes).detach())
    statistics = (fid_features_to_statistics(x.double()) for x in (real, fake))
    expected = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    row = validated()
    assert row["val/fid"] == pytest.approx(expected, rel=1e-4)  # 128 features of 100 images
    assert row["val/is"] == pytest.approx(isc_features_to_metric(logits)["inception_score_mean"], rel=1e-6)


def fitted(model: ToyGAN, quality: ImageQuality, **options) -> tuple[list[dict[str, float]], L.Trainer]:
    notes = Notes()
    trainer = trainer_of(quality, notes, max_epochs=3, **options)
    trainer.fit(model, ToyData())
    counts = [count for count in notes.counts if count]  # the sanity check has none
    assert counts == [counts[0], counts[0] + 1, counts[0] + 2]  # the best of how many
    return notes.rows, trainer


def test_repeats_exactly_and_the_sanity_check_leaves_no_trace():
    options = {"n_real": 150, "n_fake": 100}
    plain, _ = fitted(ToyGAN(), ImageQuality(**options))
    checked, _ = fitted(ToyGAN(), ImageQuality(**options), num_sanity_val_steps=2)
    assert len(plain) == 3
    assert plain[0] == plain[1] == plain[2]
    assert checked[0] == {}  # the sanity check itself
    assert checked[1:] == plain


class Careless(nn.Module):
    """Features that draw."""

    def forward(self, images):
        return images.flatten(1) + torch.rand(1)


def test_training_does_not_notice_an_evaluation(tmp_path):
    model, state = ToyGAN(learning_rate=0.1), torch.get_rng_state()
    features = [SmallClassifier("digits"), Careless()]
    rows, trainer = fitted(model, ImageQuality(n_real=150, n_fake=100, features=features))
    before, after = model.random_states[::2], model.random_states[1::2]
    assert torch.equal(before[0], state)
    assert len(before) == 3
    assert all(map(torch.equal, before, after))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert list(checkpoint["state_dict"]) == ["weight"]
    assert checkpoint["callbacks"]["ImageQuality"] == {
        "best_fid": pytest.approx(rows[-1]["best/fid"]),
        "validations": 3,
    }
    assert [name for name, _ in model.named_modules()] == [""]


def test_best_fid_is_the_smallest_so_far_and_survives_a_resume(tmp_path):
    quality = ImageQuality(n_real=150, n_fake=100)
    rows, trainer = fitted(ToyGAN(learning_rate=0.1), quality)
    best = [row["best/fid"] for row in rows]
    assert best == [min(row["val/fid"] for row in rows[: index + 1]) for index in range(3)]
    resumed = ImageQuality(n_real=150, n_fake=100)
    resumed.load_state_dict(quality.state_dict() | {"best_fid": 0.125})
    assert [row["best/fid"] for row in fitted(ToyGAN(), resumed)[0]] == [0.125] * 3
    assert resumed.validations == 6


def test_mixed_precision_gives_the_same_number():
    assert validated(precision="bf16-mixed")["val/fid"] == validated()["val/fid"]


def test_without_inference_mode():
    plain, _ = fitted(ToyGAN(), ImageQuality(n_real=150, n_fake=100), inference_mode=False)
    assert plain[0] == plain[2]


# The second leaves one of two processes without any batch.
CASES = {"n_real": 150, "n_fake": 100}, {"n_real": 20, "n_fake": 20}


def validate_as_rank(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    rows = [validated(devices=2, strategy="ddp", **case) for case in CASES]
    torch.save(rows, Path(folder, f"{rank}.pt"))


def test_two_processes_give_the_numbers_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(validate_as_rank, (port, str(tmp_path)), nprocs=2, start_method="fork")
    for index, case in enumerate(CASES):
        one = validated(**case)
        for rank in range(2):
            two = torch.load(tmp_path / f"{rank}.pt")[index]
            assert two["protocol"] == one["protocol"]
            assert two["val/fid"] == pytest.approx(one["val/fid"], rel=1e-6)
            assert two["val/is"] == pytest.approx(one["val/is"], rel=1e-6)


def test_a_model_without_sample_is_measured_on_its_validation_fakes():
    class Translator(ToyGAN):
        sample = property()

    assert validated(Translator())["protocol"]["n_fake"] == 75


class Whole(ToyGAN):
    def validation_step(self, batch, batch_idx):
        return {"fake": torch.zeros(4, 1, 9, 16)}


def test_bad_input():
    with pytest.raises(UserError, match="fakes of 9x16 pixels don't compare with reals of 8x8: --metrics.features"):
        validated(Whole())
    with pytest.raises(UserError, match="at least 2"):
        ImageQuality(n_fake=1)
    with pytest.raises(UserError, match="at least 2"):
        ImageQuality(n_real=0)
    with pytest.raises(UserError, match="DataModule"):
        trainer_of(ImageQuality()).validate(ToyGAN(), ToyData().val_dataloader(), verbose=False)


def test_command_line_flags():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ImageQuality, "metrics")
    choice = '--metrics.features=[{"class_path": "SmallClassifier", "init_args": {"name": "digits"}}]'
    for name in metrics.__all__:  # as the command line does: an imported class has a short name
        getattr(metrics, name)
    for arguments in ([choice], ["--metrics.features+=SmallClassifier", "--metrics.features.name=digits"]):
        config = parser.parse_args([*arguments, "--metrics.n_fake=500", "--metrics.reference=test"])
        quality = parser.instantiate_classes(config).metrics
        assert [network.name for network in quality.features] == ["digits"]
        assert (quality.n_fake, quality.reference) == (500, "test")
    assert parser.instantiate_classes(parser.parse_args([])).metrics.features is None
    for name in ("Inception", "CLIP", "DINOv2"):
        arguments = [f"--metrics.features=[{name}]", "--metrics.features.resize=clean"]
        (network,) = parser.parse_args(arguments).metrics.features
        assert network.class_path == f"lit_gans.metrics.{name}"
        assert network.init_args.resize == "clean"
    arguments = ["--metrics.features=[Inception,torch.nn.Flatten]", "--metrics.features.end_dim=3"]
    inception, own = parser.parse_args(arguments).metrics.features
    assert (inception.class_path, own.class_path) == ("lit_gans.metrics.Inception", "torch.nn.Flatten")
    assert own.init_args.end_dim == 3
