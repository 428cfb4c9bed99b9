"""What `sweep check` finds, with the real parser of `fit`; and the sweeps of this project."""

import re
from pathlib import Path

import pytest
import yaml

from lit_gans.cli import main, parse
from lit_gans.errors import UserError
from lit_gans.loggers import CSVRows
from lit_gans.metrics import DataCopying, FIDInterval, ModeCoverage, Neighbours
from lit_gans.sweeps.names import is_logged, measured
from lit_gans.verbs.sweep import check
from tests.commands import SMALL, fails

HERE = Path(__file__).parent.parent
SWEEPS = sorted((HERE / "experiments" / "sweeps").iterdir())


def found(capsys, parameters, *options, **keys):
    """The lines of a check: findings, and how much work it is."""
    tree = {
        "method": "grid",
        "metric": {"name": "best/fid", "goal": "minimize"},
        "command": ["lit-gans", "fit", "--model=GAN", "--data=Digits", "--max_kimg=2", *options, "${args}"],
        "parameters": parameters,
    }
    Path("s.yaml").write_text(yaml.safe_dump(tree | keys))
    try:
        check(Path("s.yaml"))
        failed = False
    except UserError:
        failed = True
    lines = capsys.readouterr().out.splitlines()
    assert failed == any(line.startswith("error") for line in lines)
    return lines


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_of_the_project_is_right(sweep, monkeypatch, capsys):
    monkeypatch.chdir(HERE)
    check(sweep)
    (work,) = capsys.readouterr().out.splitlines()
    text = sweep.read_text()
    trials, kimg = re.match(r"(\d+) trials of (\d+) kimg", work).groups()
    assert f"{trials} trials of {int(kimg):,} kimg" in text
    name = sweep.relative_to(HERE)
    for command in ("lit-gans sweep check", "lit-gans sweep run", "wandb sweep"):
        assert f"{command} {name}" in text
    assert f"sbatch --array=1-{trials}" in text
    assert yaml.safe_load(text)["command"][:2] == ["lit-gans", "fit"]


def test_a_sweep_that_is_right(capsys):
    parameters = {"model.loss": {"values": ["Hinge", "Wasserstein"]}, "model.n_critic": {"values": [1, 2, 3]}}
    assert found(capsys, parameters) == ["6 trials of 2 kimg: 12 kimg in all"]
    halving = {"method": "random", "run_cap": 9, "early_terminate": {"type": "hyperband", "min_iter": 2}}
    assert found(capsys, {"max_kimg": {"values": [1, 3]}}, **halving)[0] == "9 trials of 2 kimg: at most 18 kimg in all"
    epochs = ["lit-gans", "fit", "--model=GAN", "--data=Digits", "--trainer.max_epochs=3", "${args}"]
    assert found(capsys, {"model.n_critic": {"value": 1}}, command=epochs) == ["1 trial of 3 epochs each"]


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"model.n_critic": {"min": 1.0, "max": 3.0, "q": 1.0, "distribution": "q_uniform"}}, "int_uniform or values"),
        ({"model.foo": {"values": [1, 2]}}, "error: model.foo: there is no argument 'foo' here"),
        ({"model.losss": {"value": 1}}, "error: model.losss: there is no argument 'losss' here; did you mean loss?"),
        ({"trainer.max_step": {"value": 1}}, "did you mean --trainer.max_steps?"),
        ({"model.loss": {"values": ["Hinge", "Hing"]}}, "error: model.loss: there is no class 'Hing'; did you mean"),
        ({"model.n_critic": {"values": [1, "two"]}}, "error: model.n_critic: Expected a int. Got value: two"),
        ({"model.penalties.weight": {"value": 1}}, "error: model.penalties.weight: "),
        ({"seed_everything": {"values": [1, 2]}}, "warning: seed_everything: a seed is nothing to search for"),
        ({"trainer.log_every_n_steps": {"values": [1, 2]}}, "warning: trainer.log_every_n_steps: names no other run"),
        ({"model.loss": {"values": ["Hinge", "lit_gans.losses.Hinge"]}}, "warning: model.loss: changes nothing"),
    ],
)
def test_options(parameters, line, capsys):
    lines = found(capsys, parameters)
    assert len(lines) == 2
    assert line in lines[1]


def test_an_option_that_only_some_classes_have(capsys):
    parameters = {
        "model.generator": {"values": ["DCGANGenerator", "MLPGenerator"]},
        "model.generator.width": {"values": [8, 16]},
        "model.penalties": {"values": ["[R1]", "[GradientPenalty]"]},
        "model.penalties.target": {"values": [0.0, 1.0]},
    }
    lines = sorted(found(capsys, parameters)[1:])
    assert len(lines) == 2
    assert lines[0].startswith("error: model.generator.width: there is no argument 'width' here")
    assert "(with model.generator=MLPGenerator" in lines[0]
    assert lines[1].startswith("error: model.penalties.target: there is no argument 'target' here")
    assert "model.penalties=[R1])" in lines[1]


@pytest.mark.parametrize(
    ("metric", "options", "line"),
    [
        ({"name": "val/fidd", "goal": "minimize"}, (), "error: metric: nobody logs val/fidd; a trial logs val/fid, "),
        ({"name": "val/fid_inception", "goal": "minimize"}, (), "error: metric: nobody logs val/fid_inception"),
        ({"name": "val/psnr", "goal": "maximize"}, (), "error: metric: nobody logs val/psnr"),
        ({"name": "val/kid", "goal": "minimize"}, (), "error: metric: nobody logs val/kid"),
        ({"name": "best/fid"}, ("--metrics.features=[]",), "a trial logs nothing: it is not measured"),
        ({"name": "best/fid"}, ("--trainer.limit_val_batches=0",), "a trial logs nothing: it is not measured"),
        ({"name": "best/fid"}, ("--trainer.val_check_interval=33",), "is measured 0 times, and must be at least once"),
        ({"name": "best/fid", "goal": "maximize"}, (), "error: metric: less best/fid is better: goal: minimize"),
        ({"name": "val/is", "goal": "minimize"}, (), "error: metric: more val/is is better: goal: maximize"),
    ],
)
def test_metrics(metric, options, line, capsys):
    (_, told) = found(capsys, {"model.n_critic": {"value": 1}}, *options, metric=metric)
    assert line in told


def test_trials_too_short_to_be_stopped_early(capsys):
    halving = {"type": "hyperband", "min_iter": 4}
    lines = found(capsys, {"model.n_critic": {"value": 1}}, "--trainer.val_check_interval=8", early_terminate=halving)
    assert lines[1].startswith("error: early_terminate: a trial is measured 4 times, and must be at least 5 times")


def test_a_search_without_end_and_another_program(capsys):
    assert found(capsys, {"model.n_critic": {"value": 1}}, method="random")[:2] == [
        "any number of trials of 2 kimg",
        "error: run_cap: a random search has no end: say how many trials at most",
    ]
    lines = found(capsys, {"model.n_critic": {"value": 1}}, command=["python", "train.py", "${args}"])
    assert lines[0] == "1 trial"
    assert lines[1].startswith("warning: command: is not `lit-gans fit`")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["lit-gans", "fitt"], "error: command: there is no verb 'fitt'; did you mean fit?"),
        (["${env}", "lit-gans"], "error: command: there is no verb '${args}'"),
        (["lit_gans", "fit"], "error: command: there is no program 'lit_gans'; did you mean lit-gans?"),
        (["./lit-ganz", "fit"], "warning: command: is not `lit-gans fit`"),
        (["lit-gans", "evaluate"], "warning: command: is not `lit-gans fit`"),
    ],
)
def test_a_command_that_was_meant_to_be_fit(words, line, capsys):
    Path("lit-ganz").touch(mode=0o700)
    (_, told) = found(capsys, {"model.n_critic": {"value": 1}}, command=[*words, "${args}"])
    assert told.startswith(line)


def test_trainings_below_one_batch(capsys):
    command = ["lit-gans", "fit", "--model=GAN", "--data=Digits", "--max_kimg=0.1", "${args}"]
    line = "error: command: 0.1 kimg are less than one batch of 128 images: ask for more, or smaller ones"
    for own in ({}, {"trainer.val_check_interval": {"value": 1}}):
        assert line in found(capsys, {"data.batch_size": {"values": [64, 128]}, **own}, command=command)


def test_trainings_without_an_end(capsys):
    command = ["lit-gans", "fit", "--model=GAN", "--data=Digits", "${args}"]
    line = "error: command: a training has no length of its own: give it --max_kimg, or --trainer.max_epochs"
    endless = {"trainer.max_epochs": {"value": -1}}
    for parameters in ({"model.n_critic": {"values": [1, 2]}}, {"max_kimg": {"values": [1, "null"]}}, endless):
        assert line in found(capsys, parameters, command=command)
    lengths = {"max_kimg": 100, "trainer.max_steps": 100, "trainer.max_epochs": 3, "trainer.max_time": "00:00:01:00"}
    for length, value in lengths.items():
        assert len(found(capsys, {length: {"value": value}}, command=command)) == 1
    assert len(found(capsys, {"model.n_critic": {"value": 1}}, command=[*command, "--trainer.max_steps=100"])) == 1


def test_errors_are_counted(capsys):
    Path("s.yaml").write_text("method: gird\nparameters: {a: {value: 1}}\ncommand: [lit-gans, fit, '${args}']")
    assert fails(["sweep", "check", "s.yaml"], capsys) == "lit-gans: error: s.yaml has 1 error"
    Path("s.yaml").write_text("method: gird\ncommand: [lit-gans, fit, '${args}']")
    assert fails(["sweep", "check", "s.yaml"], capsys) == "lit-gans: error: s.yaml has 2 errors"


def test_what_the_command_itself_has_wrong(capsys):
    lines = found(capsys, {"model.n_critic": {"value": 1}}, "--foo=3")
    assert lines[1:] == ["error: command: there is no option --foo"]


def test_the_names_of_a_run_are_those_that_it_logs():
    several = (Neighbours, FIDInterval, ModeCoverage, DataCopying)
    names = ",".join(score.__name__ for score in several)
    scores = f"--metrics.scores=[{names},{{class_path: KID, init_args: {{subset_size: 20}}}}]"
    options = ["--trainer.enable_progress_bar=false", scores, "--run_dir=run", "--metrics.per_class=true"]
    conditional = ["--model.conditional=true", "--metrics.n_real=100", "--metrics.n_fake=100"]
    main([*SMALL, *options, *conditional])
    config = parse([*SMALL, *options, *conditional])
    logged = {name for row in CSVRows("run/metrics.csv").rows() for name in row}
    assert {name for name in logged if not is_logged(name, config)} == set()
    plain = {name for name in logged if name.startswith(("val/", "best/")) and not name.endswith("_digits")}
    assert plain - set(measured(config)) == set()
    assert {f"val/{name}" for score in several for name in score.values} | {"val/kid", "val/fid_class3"} <= plain
    assert not any(
        is_logged(name, config) for name in ("val/fid_", "val/fid_mnist", "val/fids", "best/kid", "test/fid")
    )
