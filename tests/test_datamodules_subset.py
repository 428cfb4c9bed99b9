"""Training on some of the images: which ones, and what stays as it was."""

from pathlib import Path

import pytest
import torch

from datamodules import Digits
from lit_gans.cli import main
from lit_gans.errors import UserError
from lit_gans.run import identity, read_config, run_name
from tests.commands import QUIET, SMALL, fails, run_dirs
from tests.conftest import Noise


def drawn(images):
    """The images as a set."""
    return {tuple(image.flatten().tolist()) for image in images}


def seen(count, seed=0):
    """All images of one pass, as bytes."""
    stream = Noise(n_train=count, seed=seed, batch_size=1).training(batch_size=1)
    images = torch.stack([stream[k].image[0] for k in range(count or 40)])
    return drawn(((images + 1) * 127.5).round().to(torch.uint8))


def test_a_subset_is_of_the_images_whatever_the_seed_and_nested():
    everything = drawn(Noise().split("train")[0])
    assert seen(None) == everything == seen(40)
    assert len(seen(7)) == 7
    assert seen(7) == seen(7, seed=1)
    assert seen(7) < seen(20) < everything


def test_labels_go_with_their_images():
    images, labels = Noise().split("train")
    known = dict(zip((tuple(image.flatten().tolist()) for image in images), labels.tolist(), strict=True))
    stream = Noise(n_train=9).training(batch_size=1)
    for k in range(9):
        image, label = stream[k]
        assert known[tuple(((image[0] + 1) * 127.5).round().int().flatten().tolist())] == label


def test_metrics_and_evaluation_have_all_images():
    data = Noise(n_train=5)
    data.setup()
    assert len(data.reference_dataloader("train").images) == 40
    assert data.evaluation(batch_size=8).count == 13


@pytest.mark.parametrize(("count", "line"), [(0, "n_train must be at least 1"), (41, "noise has 40 training images")])
def test_impossible_numbers(count, line):
    with pytest.raises(UserError, match=line):
        Noise(n_train=count).setup()


def test_the_number_is_part_of_what_a_run_is(capsys):
    assert "digits has 1500 training images" in fails([*SMALL, "--data.n_train=2000", *QUIET], capsys)
    assert not Path("runs").exists()
    main([*SMALL, "--data.n_train=100", "--metrics.features=[]", *QUIET])
    (run,) = run_dirs()
    config = read_config(run)
    assert identity(config)["data"]["init_args"]["n_train"] == 100
    config["data"]["init_args"]["n_train"] = None
    assert run_name(config) != run.name
    assert len(Digits(n_train=100).split("train")[0]) == 1500
