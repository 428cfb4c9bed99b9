"""The command line as a user meets it; in this process, so that importing Lightning is paid for once."""

import csv
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import wandb
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto import wandb_internal_pb2

import lit_gans
from lit_gans.cli import main
from lit_gans.errors import UserError
from tests.conftest import same

HERE = Path(__file__).parent.parent
CONFIGS = sorted((HERE / "experiments").rglob("*.yaml"))
SMALL = [
    "fit",
    "--model=GAN",
    "--data=Digits",
    "--metrics.n_real=50",
    "--metrics.n_fake=50",
    "--trainer.max_steps=6",
    "--trainer.limit_val_batches=1",
    "--trainer.val_check_interval=3",
    "--trainer.log_every_n_steps=2",
    "--trainer.accelerator=cpu",
]


QUIET = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


def fails(arguments, capsys):
    """The last line that a failing command prints."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    printed = capsys.readouterr().err.strip()
    line = str(left.value) if isinstance(left.value.code, str) else printed.splitlines()[-1]
    assert left.value.code not in (0, None)
    assert line.startswith("lit-gans: error: ")
    assert "\n" not in line
    return line


def run_dirs():
    return sorted(Path("runs/default").iterdir())


def test_help_needs_neither_torch_nor_lightning():
    code = (
        "import sys; from lit_gans.cli import main; main(['--help'])\n"
        "assert not {'torch', 'lightning', 'wandb'} & sys.modules.keys()"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(verb in shown for verb in ("fit", "validate", "test", "sample"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: str(path.relative_to(HERE)))
def test_every_config_parses(config, capsys):
    with pytest.raises(SystemExit) as left:
        main(["fit", f"--config={config}", "--print_config"])
    assert left.value.code == 0
    resolved = yaml.safe_load(capsys.readouterr().out)
    given = yaml.safe_load(config.read_text())
    assert resolved["trainer"].items() >= given["trainer"].items()
    folder = config.parent.name.replace("_", "")
    assert resolved["data"]["class_path"].lower().endswith(folder) or config.parent.name == "experiments"
    assert f"lit-gans fit --config {config.relative_to(HERE)}" in config.read_text()


PAIRS = [
    (variant, dataset)
    for variant in lit_gans.__all__
    for dataset in ("digits", "mnist", "fashion_mnist", "cifar10", "celeba")
    if variant != "load" and (variant, dataset) not in (("GAN", "cifar10"), ("GAN", "celeba"))  # of no use there
]


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
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--print_config"])
    assert left.value.code == 0


def test_the_own_network_of_the_readme(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (example,) = re.findall(r"```python\n(.*?class Network.*?)```", (HERE / "README.md").read_text(), re.DOTALL)
    Path("own.py").write_text(example)
    main([*SMALL, "--model.generator=own.Network", "--model.generator.width=16", *QUIET, "--trainer.max_steps=2"])
    (run,) = run_dirs()
    with pytest.raises(UserError, match="own.Network, which is not of this project"):
        lit_gans.load(run)


def test_a_run_from_start_to_samples(capsys):
    """Files of a run, the loggers' keys, finished, lengthened, refused, started over, validated, sampled."""
    main([*SMALL, "--seed_everything=3"])
    said = capsys.readouterr().out
    (run,) = run_dirs()
    assert re.fullmatch(r"gan-digits-s3-[0-9a-f]{8}", run.name)
    made = {"checkpoints", "config.yaml", "curves.png", "metrics.csv", "samples", "tensorboard", "wandb"}
    assert {path.name for path in run.iterdir()} == made | {".lock"}
    assert all(name in said for name in (*made, str(run)))
    assert [path.name for path in sorted((run / "samples").iterdir())] == [
        "kimg-000000.000.png",
        "kimg-000000.192.png",
        "kimg-000000.384.png",
    ]
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert [row["step"] for row in rows] == ["2", "3", "4", "6", "6"]
    assert all(row["kimg"] for row in rows)
    check_loggers_agree(run, rows)

    main([*SMALL, "--seed_everything=3", "--fresh"])
    again = list(csv.DictReader((run / "metrics.csv").open()))
    assert untimed(again) == untimed(rows)

    with pytest.raises(SystemExit) as left:
        main([*SMALL, "--seed_everything=3"])
    assert left.value.code == 0
    assert "finished, at kimg 0.384 (step 6" in capsys.readouterr().out

    main([*SMALL, "--seed_everything=3", "--trainer.max_steps=8"])
    assert "continuing at kimg 0.384" in capsys.readouterr().out
    assert [row["step"] for row in csv.DictReader((run / "metrics.csv").open())] == ["2", "3", "4", "6", "6", "8"]

    line = fails([*SMALL, f"--run_dir={run}", "--model.generator_lr=0.5", "--seed_everything=3"], capsys)
    assert "belongs to another config, which differs in model.generator_lr (0.0002 there, 0.5 now)" in line

    shutil.copy(run / "checkpoints" / "last.ckpt", "kept.ckpt")
    main([*SMALL, "--ckpt_path=kept.ckpt", "--run_dir=warm", "--trainer.max_steps=9", *QUIET])
    assert torch.load("warm/checkpoints/last.ckpt", weights_only=True)["global_step"] == 9
    line = fails(["validate", *SMALL[1:], "--model=DCGAN", f"--run_dir={run}"], capsys)
    assert "belongs to another config, which differs in model.class_path" in line
    assert "there is no absent/config.yaml" in fails(["validate", "--run_dir=absent"], capsys)
    main(["validate", *SMALL[1:], f"--run_dir={run}", "--metrics.n_fake=60"])
    capsys.readouterr()

    main(["validate", f"--run_dir={run}"])
    value = re.search(r"val/fid\s+([\d.]+)", capsys.readouterr().out)[1]
    best = min(float(row["val/fid"]) for row in rows if row["val/fid"])
    assert float(value) == pytest.approx(best, rel=1e-6)

    check_sampling(run)


def untimed(rows):
    return [{key: value for key, value in row.items() if not key.startswith("speed/")} for row in rows]


def check_loggers_agree(run, rows):
    """W&B's and TensorBoard's files have the keys and values of the CSV file."""
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    keys = set(rows[0]) - {"step"}
    assert set(events.Tags()["scalars"]) - {"epoch"} == keys
    fid = [(event.step, event.value) for event in events.Scalars("val/fid")]
    assert fid == [(int(row["step"]), pytest.approx(float(row["val/fid"]))) for row in rows if row["val/fid"]]
    assert events.Tags()["images"] == ["samples"]

    (file,) = (run / "wandb").glob("offline-run-*/*.wandb")
    history = [record.history for record in wandb_records(file) if record.HasField("history")]
    logged = [{".".join(item.nested_key) or item.key: item.value_json for item in row.item} for row in history]
    assert {key for row in logged for key in row if not key.startswith("_")} - {"step", "epoch"} >= keys
    assert all("kimg" in row for row in logged)
    assert [float(row["val/fid"]) for row in logged if "val/fid" in row] == pytest.approx([value for _, value in fid])
    assert sum(any(key.startswith("samples") for key in row) for row in logged) == 3


def wandb_records(path):
    """Records of a .wandb file: LevelDB blocks of 32 KiB, fragments with a header of 7 bytes."""
    raw, position, whole = path.read_bytes(), 7, b""
    while position + 7 <= len(raw):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        size, kind = int.from_bytes(raw[position + 4 : position + 6], "little"), raw[position + 6]
        part = raw[position + 7 : position + 7 + size]
        position += 7 + size
        whole = part if kind in (1, 2) else whole + part
        if kind in (1, 4):
            yield wandb_internal_pb2.Record.FromString(whole)


def check_sampling(run):
    for name in ("a.png", "b.png"):
        main(["sample", str(run), "--n=6", "--seed=1", "--columns=3", f"--output={name}"])
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert Image.open("a.png").size == (3 * 66 + 2, 2 * 66 + 2)
    main(["sample", str(run), "--n=12", "--seed=1", "--output=many"])
    assert [path.name for path in sorted(Path("many").iterdir())] == [f"{index:02}.png" for index in range(12)]
    images = lit_gans.load(run).sample(12, generator=torch.Generator().manual_seed(1))
    pixels = torch.tensor(list(Image.open("many/11.png").convert("L").getdata())).view(8, 8)
    assert (pixels - (images[11, 0] + 1) * 127.5).abs().max() < 1


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
    (["--model.discriminator_lr=1e30", "--model.optimizer=torch.optim.SGD"], "not finite"),
    (["--run_dir=.", "--fresh"], ". is not the directory of a run"),
    (["--run_dir=."], ". is not the directory of a run"),
    (["--samples.columns=0"], "at least one row and one column"),
    (["--checkpoint.every_n_train_steps=0"], "must be at least 1"),
    (["--model.n_critic=0"], "n_critic must be at least 1, not 0"),
    (["--model.generator_lr=-1"], "generator_lr must be at least 0, not -1.0"),
    (["--model.latent_dim=10"], "there is no argument 'latent_dim' here; "),
    (["--model.generator=own_networks.Careless"], "Careless.__init__() takes 1 positional argument but 3 were given"),
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
"""


@pytest.mark.parametrize(("arguments", "expected"), MISTAKES, ids=lambda value: value if isinstance(value, str) else "")
def test_mistakes_get_one_line(arguments, expected, capsys, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    Path("something").write_bytes(bytes(range(255, 0, -1)))
    Path("own_networks.py").write_text(CARELESS)
    assert expected in fails([*SMALL, "--trainer.logger=false", *arguments], capsys)
    assert Path("something").exists()


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


def test_a_server_that_is_not_there_does_not_stop_a_run(capsys, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.warns(UserWarning, match="W&B server 127.0.0.1 cannot be reached"):
        main([*SMALL, "--online"])
    assert list(run_dirs()[0].glob("wandb/offline-run-*/*.wandb"))


def test_fresh_replaces_the_run_on_the_server(monkeypatch):
    asked, init = [], wandb.init
    monkeypatch.setattr(wandb, "init", lambda **settings: asked.append(settings) or init(**settings))
    for more in ([], ["--trainer.max_steps=8"], ["--fresh"]):
        main([*SMALL, *more])
    assert len({settings["id"] for settings in asked}) == 1
    assert [settings["resume"] for settings in asked] == ["allow", "allow", None]


def test_mistakes_of_the_program_keep_their_traceback(monkeypatch):
    def wrong(self, batch, batch_idx):
        raise TypeError("forward() missing 1 required positional argument")

    monkeypatch.setattr(lit_gans.GAN, "training_step", wrong)
    with pytest.raises(TypeError, match="missing 1 required"):
        main([*SMALL, *QUIET])


def test_ctrl_c_says_how_to_go_on(capsys, caplog, monkeypatch):
    def interrupt(self, batch, batch_idx):
        if self.turn == 4:
            raise KeyboardInterrupt
        training_step(self, batch, batch_idx)

    training_step = lit_gans.GAN.training_step
    monkeypatch.setattr(lit_gans.GAN, "training_step", interrupt)
    with pytest.raises(SystemExit) as left:
        main([*SMALL, "--run_dir=run"])
    assert left.value.code == 1
    assert "the same command continues from run/checkpoints/last.ckpt" in caplog.text
    monkeypatch.setattr(lit_gans.GAN, "training_step", training_step)
    main([*SMALL, "--run_dir=run"])
    assert "continuing at kimg 0.192 (step 3)" in capsys.readouterr().out


def test_divergence_keeps_the_last_good_checkpoint(capsys):
    main([*SMALL, "--trainer.max_steps=2", "--run_dir=run"])
    broken = yaml.safe_load(Path("run/config.yaml").read_text())
    broken["model"]["init_args"]["generator_lr"] = float("inf")
    Path("run/config.yaml").write_text(yaml.safe_dump(broken))
    before = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    line = fails([*SMALL, "--run_dir=run", "--model.generator_lr=.inf", "--checkpoint.every_n_train_steps=1"], capsys)
    assert "not finite" in line
    assert same(torch.load("run/checkpoints/last.ckpt", weights_only=True), before)


def resolved(arguments, capsys):
    """The config that a command means."""
    with pytest.raises(SystemExit) as left:
        main(["fit", *arguments, "--print_config"])
    assert left.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("variant", [name for name in lit_gans.__all__ if name != "load"])
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
