"""What cannot work is refused in one line."""

from pathlib import Path

import pytest
import torch
import yaml

import lit_gans
from lit_gans.cli import main
from tests.commands import QUIET, SMALL, fails
from tests.conftest import same

LINEAR = ["--model.generator_lr=Linear", "--model.generator_lr.start=1"]
MISTAKES = [
    (["--model.optimiser=SGD"], "there is no argument 'optimiser' here; did you mean optimizer?"),
    (["--model.generator=DCGANGenerater"], "there is no class 'DCGANGenerater'; did you mean DCGANGenerator?"),
    (["--model.loss=Hing"], "there is no class 'Hing'; did you mean Hinge?"),
    (["--model=GAM"], "there is no class 'GAM'; did you mean GAN?"),
    (["--data=MNSIT"], "there is no class 'MNSIT'; did you mean MNIST?"),
    (["--trainr.max_steps=3"], "there is no option --trainr.max_steps; did you mean --trainer.max_steps?"),
    (["--metrics.n_fak=3"], "there is no option --metrics.n_fak; did you mean --metrics.n_fake?"),
    (["--trainer.max_steps=three"], "trainer.max_steps: Expected a int. Got value: three"),
    (["--trainer.max_epochs=three"], "trainer.max_epochs: 'three' is none of int, null"),
    (["--model.generator_lr=fast"], "generator_lr: there is no number or class 'fast'"),
    (["--model.generator=absent.Network"], "generator: No module named 'absent'"),
    (["--model.generator=lit_gans.Absent"], "generator: module 'lit_gans' has no attribute 'Absent'"),
    (["--model.generator=lit_gans.GAN"], "generator: Expected 'lit_gans.GAN' to be a subclass of Generator"),
    (["--model.optimizer=torch.optim.Absent"], "optimizer: module 'torch.optim' has no attribute 'Absent'"),
    (["--config=absent.yaml"], "absent.yaml"),
    (["--model=DCGAN", "--data.image_size=9"], "which 9x9 does not allow"),
    (["--data.batch_size=0"], "batch_size must be at least 1, not 0"),
    (["--data=ImageFolder", "--data.root=absent"], "absent"),
    (["--data=MNIST", "--data.root=absent", "--data.download=false"], "MNIST not found in "),
    (["--trainer.gradient_clip_val=1"], "clipping is not supported for manual optimization"),
    (["--metrics.features=[Inception]"], "download https://"),
    (["--metrics.features=[DINOv2]"], "dinov2_vitl14_pretrain.pth are needed: download https://"),
    (["--metrics.features=[CLIP]", "--metrics.features.model=b"], "there is no CLIP 'b'; choose one of rn50"),
    (["--metrics.features=[Incepton]"], "features: there is no class 'Incepton'; did you mean Inception?"),
    (["--metrics.features=[own_networks.Absent]"], "features: module 'own_networks' has no attribute 'Absent'"),
    (["--metrics.features=[torch.nn.Identity]"], "identity: features are floats (N, F), alone or with logits"),
    (["--model.discriminator_lr=1e30", "--model.optimizer=torch.optim.SGD"], "not finite"),
    (["--run_dir=.", "--fresh"], ". is not the directory of a run"),
    (["--run_dir=."], ". is not the directory of a run"),
    (["--samples.columns=0"], "at least one row and one column"),
    (["--checkpoint.every_n_train_steps=0"], "must be at least 1"),
    (["--model.n_critic=0"], "n_critic must be at least 1, not 0"),
    (["--model.generator_lr=-1"], "generator_lr must be at least 0, not -1.0"),
    (["--model.latent_dim=10"], "there is no argument 'latent_dim' here: "),
    (["--model.generator=own_networks.Careless"], "Careless.__init__() takes 1 positional argument but 3 were given"),
    (["--model.generator=own_networks.Forgetful"], "Forgetful has no latent_dim"),
    (["--model.generator=DCGANDiscriminator"], "generator: DCGANDiscriminator is a class of another kind"),
    (["--model.generator.latent_dim=0"], "MLPGenerator has a layer without units"),
    (["--model.discriminator.dropout=3"], "dropout probability has to be between 0 and 1, but got 3.0"),
    (["--model=SAGAN", "--model.generator=DCGANGenerator"], "'attention', which the variant gives its networks"),
    (["--model=WGAN", "--model.loss=Hinge"], "has one, but the class given here (of a list, the last one) fixes"),
    (["--model.penalties=R1"], "penalties is a list: write [R1]"),
    (["--model.optimizer=RMSprop"], "such as torch.optim.RMSprop"),
    (["--model.weight_decay=-1"], "Adam: Invalid weight_decay value: -1.0"),
    (["--model.betas=[0.5,1.5]"], "Adam: Invalid beta parameter at index 1: 1.5"),
    (["--model.generator_lr=[1,2]"], "generator_lr: '[1, 2]' is none of float"),
    ([*LINEAR, "--model.generator_lr.kimg=0"], "lit-gans: error: a schedule's kimg must be above 0, not 0.0"),
    (
        [*LINEAR, "--model.generator_lr.kimg=1", "--model.generator_lr.end=-2"],
        "must be at least 0, not -2",
    ),
    ([*LINEAR[:1], "--model.generator_lr.kimg=1"], "start is required by Cosine and Linear"),
    (["--study=../elsewhere"], "give a plain name"),
    (["--ckpt_path=something"], "something cannot be read as a checkpoint"),
    (["--config=something"], "a file that should be text is not"),
    (["--run_dir=something"], "Not a directory"),
    (["--run_dir=something/run"], "something"),
]


CARELESS = """
from lit_gans.networks import Generator
class Careless(Generator):
    def __init__(self): super().__init__()
class Forgetful(Generator):
    def __init__(self, image_shape, num_classes=0): super().__init__()
"""


@pytest.mark.parametrize(("arguments", "expected"), MISTAKES, ids=lambda value: value if isinstance(value, str) else "")
def test_mistakes_get_one_line(arguments, expected, capsys, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    Path("something").write_bytes(bytes(range(255, 0, -1)))
    Path("own_networks.py").write_text(CARELESS)
    assert expected in fails([*SMALL, "--trainer.logger=false", *arguments], capsys)
    assert Path("something").exists()


@pytest.mark.parametrize("arguments", [["--metrics.per_class=true"], ["--metrics.features=[Inception]"]])
def test_a_run_that_cannot_begin_leaves_nothing(arguments, capsys, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    fails([*SMALL, *arguments], capsys)
    assert not Path("runs").exists()


def no_network(*args, **kwargs):
    raise OSError("no network here")


def test_wrong_configs_get_one_line(capsys):
    Path("bad.yaml").write_text("model: {class_path: DCGAN, init_args: {generator_rl: 3}}\ndata: Digits\n")
    assert "'generator_rl' here; did you mean generator_lr?" in fails(["fit", "--config=bad.yaml"], capsys)
    Path("bad.yaml").write_text("modle: GAN\ndata: Digits\n")
    assert "'modle'; did you mean model?" in fails(["fit", "--config=bad.yaml"], capsys)
    assert "--model is required" in fails(["fit", "--data=Digits"], capsys)
    assert "there is no verb 'fti'" in fails(["fti"], capsys)
    fails([*SMALL, "--data=MNIST", "--data.root=absent", "--data.download=false"], capsys)
    assert not Path("runs").exists()
    assert "no checkpoint at" in fails(["validate", *SMALL[1:]], capsys)
    assert "no checkpoint at nowhere" in fails(["sample", "nowhere", "--output=a.png"], capsys)


def test_mistakes_of_the_program_keep_their_traceback(monkeypatch):
    def wrong(self, batch, batch_idx):
        raise TypeError("forward() missing 1 required positional argument")

    monkeypatch.setattr(lit_gans.GAN, "training_step", wrong)
    with pytest.raises(TypeError, match="missing 1 required"):
        main([*SMALL, *QUIET])


def test_divergence_keeps_the_last_good_checkpoint(capsys):
    main([*SMALL, "--trainer.max_steps=2", "--run_dir=run"])
    broken = yaml.safe_load(Path("run/config.yaml").read_text())
    broken["model"]["init_args"]["generator_lr"] = float("inf")
    Path("run/config.yaml").write_text(yaml.safe_dump(broken))
    before = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    line = fails([*SMALL, "--run_dir=run", "--model.generator_lr=.inf", "--checkpoint.every_n_train_steps=1"], capsys)
    assert "not finite" in line
    assert same(torch.load("run/checkpoints/last.ckpt", weights_only=True), before)
