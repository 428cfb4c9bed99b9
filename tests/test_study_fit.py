"""Studies with the real `fit`, here and on a Slurm cluster."""

import subprocess
from pathlib import Path

import pytest
import yaml

from lit_gans.cli import main
from lit_gans.progress import progress_of, unlike
from lit_gans.run import read_config
from lit_gans.study import part_of, read_study
from tests.cluster import in_queue, need_cluster
from tests.commands import QUIET, fails

HERE = Path(__file__).parent.parent
FILE = Path("joint.yaml")
STUDY = """
budget: {kimg: 0.2}
seeds: [3]
options:
  data.batch_size: 64
  metrics.features: []
  trainer.limit_val_batches: 0
  trainer.log_every_n_steps: 1
  trainer.accelerator: cpu
  model.generator: DCGANGenerator
  model.generator.width: 4
  model.betas: [0.0, 9e-1]
datasets:
  digits: {data: Digits, data.image_size: 16}
variants:
  game:
    model: GAN
    model.loss: Hinge
    model.penalties: [R1]
    model.penalties.weight: 2
    model.generator_lr: {class_path: Linear, init_args: {start: 1e-3, kimg: 5}}
    model.discriminator: {class_path: DCGANDiscriminator, init_args: {width: 4, norm: none}}
  critic:
    model: WGAN
    model.optimizer: torch.optim.SGD
    model.discriminator: DCGANDiscriminator
    model.discriminator.width: 4
"""


@pytest.fixture(autouse=True)
def _this_checkout(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))


def test_a_study_is_trained_told_and_refused_when_it_changed(capsys):
    """Two trainings, one of them in this process; of each option, however written, a change is seen."""
    FILE.write_text(STUDY)
    options = ["--", "--trainer.enable_progress_bar=false", "--model.n_critic", "2"]
    main(["study", "run", str(FILE), "--only=[critic]", *options])
    study = read_study(FILE)
    main(study.job(study.runs()[0], options[1:]).command[3:])
    for run in study.runs():
        config = read_config(run.run_dir)
        assert (config["label"], config["study"], config["seed_everything"]) == (run.variant, "joint", 3)
        assert unlike(config, run.options) == []
        far = progress_of(study, run)
        assert (far.state, far.kimg) == ("done", 0.256)
        assert 0 < far.hours < 0.1
    game, critic = study.runs()
    others = {"model": "DCGAN", "model.loss": "Minimax", "model.penalties": ["R2"], "data.image_size": 8}
    others |= {
        "model.generator_lr": 1e-3,
        "model.generator.width": 8,
        "model.betas": [0.0, 0.99],
        "data.batch_size": 32,
    }
    for name, value in others.items():
        (found,) = unlike(read_config(game.run_dir), game.options | {name: value})
        assert found.startswith(name)
    others = {"model.optimizer": "torch.optim.Adam", "trainer.precision": "bf16-mixed", "metrics.n_real": 5}
    for name, value in others.items():
        assert len(unlike(read_config(critic.run_dir), critic.options | {name: value})) == 1
    for name, value in {"trainer.log_every_n_steps": 5, "data.num_workers": 3, "model.absent": 1}.items():
        assert unlike(read_config(critic.run_dir), critic.options | {name: value}) == []

    capsys.readouterr()
    main(["study", "run", str(FILE), *options[:1], "--model.n_critic=2", "--trainer.devices=1"])
    assert "2 runs of 0.2 kimg: 2 done" in capsys.readouterr().out
    for further, line in {
        (): "(game-digits-s3 differs in model.n_critic (2 there, 1 now))",
        ("--", "--model.penalties+=R2", "--model.n_critic=2"): "differs in model.penalties",
    }.items():
        assert line in fails(["study", "run", str(FILE), *further], capsys)
    FILE.write_text(STUDY.replace("SGD", "Adam"))
    assert "1 of 2 runs" in fails(["study", "run", str(FILE), *options], capsys)
    further = ["--model.n_critic=2", "--model.optimizer=torch.optim.Adam", "--max_kimg=0.3"]
    arguments = study.job(critic, further).command[3:]
    assert "differs in model.optimizer (torch.optim.SGD there, torch.optim.Adam now)" in fails(arguments, capsys)


@pytest.mark.slow
def test_a_budget_in_seconds():
    tree = yaml.safe_load(STUDY) | {"budget": {"seconds": 1}}
    del tree["variants"]["game"]
    FILE.write_text(yaml.safe_dump(tree))
    study = read_study(FILE)
    (run,) = study.runs()
    main(study.job(run, []).command[3:])
    far = progress_of(study, run)
    assert far.state == "done"
    assert far.kimg > 0.256
    assert far.hours * 3600 >= 1


@pytest.mark.slow
def test_variants_of_the_first_study_are_one_architecture():
    """Each can be trained; the networks have the same options, and the last validation is at the end."""
    study = read_study(HERE / "experiments" / "studies" / "small_gans.yaml")
    full = read_study(study.path, full=True)
    for budget, batch in ((one.budget, one.options["data.batch_size"]) for one in (study, full)):
        assert 1000 * budget % batch == 0
        assert 1000 * budget / batch % study.options["trainer.val_check_interval"] == 0
    tiny = ["--data=Digits", "--data.image_size=28", "--data.batch_size=8", "--max_kimg=0.016", "--metrics.features=[]"]
    networks = []
    for run in part_of(study, seeds=[0], only=["mnist"]).runs():
        main([*study.job(run, tiny).command[3:], *QUIET, "--trainer.limit_val_batches=0", "--trainer.accelerator=cpu"])
        arguments = read_config(run.run_dir)["model"]["init_args"]
        networks.append([arguments["generator"], arguments["discriminator"]])
    assert len(networks) == 8
    assert all(one == networks[0] for one in networks)


SLURM = """
budget: {kimg: 300}
seeds: 2
options: {model: GAN, data.batch_size: 64, metrics.features: [], trainer.limit_val_batches: 0}
datasets: {digits: {data: Digits}}
variants: {game: {checkpoint.every_n_train_steps: 50, trainer.accelerator: cpu}}
"""


@pytest.mark.slow
def test_a_study_on_a_cluster(capsys):
    """An array of two trainings, of which the first is requeued in its midst and goes on."""
    need_cluster()
    FILE.write_text(SLURM)
    main(["study", "run", str(FILE), "--slurm=--ntasks-per-node=1 --cpus-per-task=1", "--", "--trainer.devices=1"])
    said = capsys.readouterr().out
    job = said.split("submitted 2 runs as job ")[1].split(";")[0]
    try:
        while not Path("runs/joint/game-digits-s0/checkpoints/last.ckpt").exists():
            assert in_queue(job), log(job, 0)
        subprocess.run(["scontrol", "requeue", f"{job}_0"], check=True)
        while in_queue(job):
            pass
    finally:
        subprocess.run(["scancel", job])
    study = read_study(FILE)
    assert [progress_of(study, run).state for run in study.runs()] == ["done", "done"], log(job, 0) + log(job, 1)
    assert "continuing at kimg" in log(job, 0)
    assert "continuing at kimg" not in log(job, 1)
    main(["study", "run", str(FILE), "--slurm="])
    assert "2 done" in capsys.readouterr().out
    FILE.write_text(SLURM.replace("seeds: 2", "seeds: 3"))
    assert "Slurm refuses: sbatch: error: " in fails(["study", "run", str(FILE), "--slurm=--partition=none"], capsys)
    assert "--slurm=--comment='a: No closing" in fails(["study", "run", str(FILE), "--slurm=--comment='a"], capsys)


def log(job, task):
    return Path(f"runs/joint/logs/slurm-{job}_{task}.log").read_text()
