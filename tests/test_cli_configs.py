"""Configs, the commands of the README, and how arguments become a config."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
import yaml

import lit_gans
from lit_gans.cli import main
from lit_gans.errors import UserError
from lit_gans.study import read_study
from tests.commands import QUIET, SMALL, run_dirs
from tests.test_variants import VARIANTS
from tests.translation import TRANSLATORS

HERE = Path(__file__).parent.parent
CONFIGS = [HERE / "experiments" / "quickstart.yaml", *sorted((HERE / "experiments" / "configs").rglob("*.yaml"))]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: str(path.relative_to(HERE)))
def test_every_config_parses(config, capsys):
    with pytest.raises(SystemExit) as left:
        main(["fit", f"--config={config}", "--print_config"])
    assert left.value.code == 0
    resolved = yaml.safe_load(capsys.readouterr().out)
    given = yaml.safe_load(config.read_text())
    assert resolved["trainer"].items() >= given["trainer"].items()
    data = resolved["data"]
    places = [data["init_args"].get(key) for key in ("dataset", "root")]
    named = next((place for place in places if place), "photographs")  # of the data that name none
    folder = config.parent.name.replace("_", "")
    assert data["class_path"].lower().endswith(folder) or folder in (named, "experiments")
    assert f"lit-gans fit --config {config.relative_to(HERE)}" in config.read_text()


PAIRS = [
    (variant, dataset)
    for variant in VARIANTS
    for dataset in ("digits", "mnist", "fashion_mnist", "cifar10", "celeba")
    if (variant, dataset) not in (("GAN", "cifar10"), ("GAN", "celeba"))  # of no use there
] + [(variant, "photographs") for variant in TRANSLATORS]


@pytest.mark.parametrize(("variant", "dataset"), PAIRS)
def test_every_variant_has_a_config(variant, dataset):
    config = yaml.safe_load((HERE / "experiments" / "configs" / dataset / f"{variant.lower()}.yaml").read_text())
    model = config["model"]
    assert (model if isinstance(model, str) else model["class_path"]) == variant


README = [
    line for line in (HERE / "README.md").read_text().splitlines() if re.match(r"\s*lit-gans |.*&& lit-gans ", line)
]


@pytest.mark.parametrize("line", README)
def test_every_command_of_the_readme_parses(line, monkeypatch):
    monkeypatch.chdir(HERE)
    arguments = shlex.split(line.partition("lit-gans ")[2], comments=True)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    with pytest.raises(SystemExit) as left:
        main([*arguments[:end], "--print_config", *arguments[end:]])
    assert left.value.code == 0


def test_the_study_of_the_readme_is_one():
    (example,) = re.findall(r"```yaml\n(budget.*?)```", (HERE / "README.md").read_text(), re.DOTALL)
    Path("own.yaml").write_text(example)
    assert [run.variant for run in read_study(Path("own.yaml")).runs()] == ["hinge", "lsgan"] * 5


def test_the_own_network_of_the_readme(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (example,) = re.findall(r"```python\n(.*?class Network.*?)```", (HERE / "README.md").read_text(), re.DOTALL)
    Path("own.py").write_text(example)
    main([*SMALL, "--model.generator=own.Network", "--model.generator.width=16", *QUIET, "--trainer.max_steps=2"])
    (run,) = run_dirs()
    with pytest.raises(UserError, match="own.Network, which is not of this project"):
        lit_gans.load(run)
    assert lit_gans.load(run, generator=sys.modules["own"].Network).generator.layers[0].out_features == 16


def test_the_own_translator_of_the_readme(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (example,) = re.findall(r"```python\n([^`]*?class Colours.*?)```", (HERE / "README.md").read_text(), re.DOTALL)
    Path("colours.py").write_text(example)
    options = ["--model.generator=colours.Colours", "--model.generator.width=4", "--trainer.limit_val_batches=1"]
    translators = ["--model=Pix2Pix", "--data=PairedImages", "--data.image_size=32", "--metrics.features=[]"]
    main(["fit", *translators, *options, *QUIET, "--trainer.max_steps=1"])
    (run,) = run_dirs()
    model = lit_gans.load(run, generator=sys.modules["colours"].Colours)
    assert model.translate(torch.zeros(1, 3, 9, 7)).shape == (1, 3, 9, 7)


def resolved(arguments, capsys):
    """The config that a command means."""
    with pytest.raises(SystemExit) as left:
        main(["fit", *arguments, "--print_config"])
    assert left.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("variant", [*VARIANTS, *TRANSLATORS])
def test_the_defaults_of_every_variant_can_be_written_down(variant, capsys):
    """A run's config.yaml repeats it, schedules included."""
    written = resolved([f"--model={variant}", "--data=Digits"], capsys)
    Path("written.yaml").write_text(written)
    again = resolved(["--config=written.yaml"], capsys)
    assert yaml.safe_load(again) == yaml.safe_load(written)
    assert "Unable to serialize" not in written


def test_a_class_starts_from_its_own_defaults(capsys):
    """Whatever the class before it was given, on the command line, in a config, or as a default."""
    model = yaml.safe_load(resolved(["--model=GAN", "--model.generator=ResNetGenerator", "--data=Digits"], capsys))
    assert model["model"]["init_args"]["generator"]["init_args"]["latent_dim"] == 128
    Path("dcgan.yaml").write_text("model: {class_path: DCGAN, init_args: {n_critic: 1, generator_lr: 1}}\ndata: Digits")
    model = yaml.safe_load(resolved(["--config=dcgan.yaml", "--model=WGAN"], capsys))
    plain = yaml.safe_load(resolved(["--model=WGAN", "--data=Digits"], capsys))
    assert model["model"] == plain["model"]
    assert (model["model"]["init_args"]["n_critic"], model["model"]["init_args"]["generator_lr"]) == (5, 5e-5)
    kept = yaml.safe_load(resolved(["--config=dcgan.yaml", "--model=DCGAN", "--model.n_critic=3"], capsys))
    assert (kept["model"]["init_args"]["n_critic"], kept["model"]["init_args"]["generator_lr"]) == (3, 1)


def test_null_at_any_depth(capsys):
    arguments = ["--model=DCGAN", "--model.augment=ADA", "--model.augment.target=null", "--model.generator_clip=null"]
    augment = yaml.safe_load(resolved([*arguments, "--data=Digits"], capsys))["model"]["init_args"]["augment"]
    assert augment["init_args"]["target"] is None
