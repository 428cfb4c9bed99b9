"""Studies, with a small program in place of `fit`."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lit_gans.cli import main
from lit_gans.progress import Progress, hours_left, progress_of
from lit_gans.study import part_of, read_study
from tests.commands import fails
from tests.studies import FILE, STUDY

pytestmark = pytest.mark.usefixtures("small_study")


def run(*arguments):
    main(["study", "run", "small.yaml", *arguments])


def told():
    """The arguments of each call of `fit`, in order; then forgotten."""
    lines = [json.loads(line) for line in Path("told").read_text().splitlines()] if Path("told").exists() else []
    Path("told").unlink(missing_ok=True)
    return lines


def names(calls):
    return [next(one.rpartition("/")[2] for one in call if one.startswith("--run_dir=")) for call in calls]


def states(capsys, *arguments):
    """Rows of the table that `study status` prints."""
    capsys.readouterr()
    main(["study", "status", "small.yaml", *arguments])
    return [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]


def test_runs_what_is_missing_seeds_outermost_and_nothing_twice(capsys):
    assert states(capsys)[1:3] == [["one", "digits", "missing", "missing"], ["two", "digits", "missing", "missing"]]
    run("--", "--data.root=my data")
    calls = told()
    assert names(calls) == ["one-digits-s0", "two-digits-s0", "one-digits-s3", "two-digits-s3"]
    assert calls[1] == [
        *("--model=DCGAN", "--data=Digits", "--model.generator_lr=1e-4"),
        *("--label=two", "--study=small", "--run_dir=runs/small/two-digits-s0", "--seed_everything=0"),
        *("--trainer.max_steps=-1", "--trainer.max_epochs=-1", "--trainer.max_time=null", "--max_kimg=2"),
        "--data.root=my data",
    ]
    said = capsys.readouterr().out
    assert "one-digits-s3: done" in said
    assert "lit-gans compare runs/small" in said
    assert states(capsys)[:3] == [
        ["variant", "dataset", "s0", "s3"],
        ["one", "digits", "done", "done"],
        ["two", "digits", "done", "done"],
    ]
    run()
    assert not told()


def test_part_of_a_study():
    run("--only=[two]", "--seeds=[3,4]")
    assert names(told()) == ["two-digits-s3", "two-digits-s4"]
    run("--only=[digits,one]", "--seeds=[4]", "--workers=2")
    assert names(told()) == ["one-digits-s4"]


def test_a_config_after_all_options_is_refused(capsys):
    with pytest.raises(SystemExit, match="a --config after all options would undo them"):
        main(["study", "run", str(FILE), "--", "--config=other.yaml"])
    assert not told()


def test_the_full_study_is_another_one():
    run("--full")
    (first, second) = told()
    assert "--study=small_full" in first
    assert "--trainer.max_time=01:01:01:01" in second
    assert "--max_kimg=null" in second  # a config of the options may have another length
    full = read_study(FILE, full=True)
    assert progress_of(full, full.runs()[0]).state == "done"


def test_failed_runs_are_tried_again_when_asked(capsys, monkeypatch):
    monkeypatch.setenv("FAILING", "two")
    assert "1 of 2 runs failed: see runs/small/logs; --retry tries again" in fails(RUN0, capsys)
    assert names(told()) == ["one-digits-s0", "two-digits-s0"]
    assert ["two", "digits", "failed 2"] in states(capsys, "--seeds=[0]")
    fails(RUN0, capsys)
    assert not told()
    monkeypatch.setenv("FAILING", "")
    main([*RUN0, "--retry"])
    assert names(told()) == ["two-digits-s0"]
    assert ["two", "digits", "done"] in states(capsys, "--seeds=[0]")


RUN0 = ["study", "run", "small.yaml", "--seeds=[0]"]


def test_what_fit_refuses_is_said_and_tried_again(capsys, monkeypatch):
    monkeypatch.setenv("REFUSED", "one")
    with pytest.raises(SystemExit) as left:
        main(RUN0)
    assert "1 of 2 runs failed" in str(left.value)
    refusal = "lit-gans: error: there is no option --x"
    assert f"one-digits-s0: exit code 1: {refusal} (see runs/small/logs/one-digits-s0.log)" in capsys.readouterr().out
    assert [f"one-digits-s0 missing: {refusal}"] in states(capsys, "--seeds=[0]")
    monkeypatch.setenv("REFUSED", "")
    main(RUN0)
    for path in Path("runs/small").glob("*-s0"):
        shutil.rmtree(path)
    assert not any("missing: " in line[0] for line in states(capsys, "--seeds=[0]"))
    assert names(told()) == ["one-digits-s0", "two-digits-s0", "one-digits-s0"]


def test_another_budget_or_other_options_are_told(capsys):
    main(RUN0)
    told()
    FILE.write_text(STUDY.replace("kimg: 2", "kimg: 3"))
    assert ["one", "digits", "stopped 2"] in states(capsys, "--seeds=[0]")
    main(RUN0)
    assert names(told()) == ["one-digits-s0", "two-digits-s0"]
    FILE.write_text(STUDY.replace("0.5", "0.7"))
    said = states(capsys, "--seeds=[0]")
    assert ["one", "digits", "changed 2"] in said
    assert ["one-digits-s0 changed: differs in model.generator_lr (0.5 there, 0.7 now)"] in said
    assert ["two-digits-s0 changed: its length was 3, that of the study is 2"] in said
    line = "2 of 2 runs were made otherwise than small.yaml and this command say now, or by another version (one-"
    assert line in fails(RUN0, capsys)
    shutil.rmtree("runs/small/one-digits-s0")
    assert "1 of 2 runs were made otherwise" in fails(RUN0, capsys)
    assert not told()
    main([*RUN0, "--only=[one]"])
    assert names(told()) == ["one-digits-s0"]


def test_other_options_after_the_file_are_told(capsys):
    """Those of the run that are no options of the command any more, too; the place of a known data set is no matter."""
    main([*RUN0, "--", "--model.width=8", "--data.root=here"])
    told()
    for options, state in {
        ("--", "--model.width=8"): "done",
        ("--", "--data.root=there", "--model.width=8"): "done",
        ("--", "--model.width=9"): "changed 2",
        ("--", "--data.root=here"): "changed 2",
        (): "done",  # by what the file says
    }.items():
        assert ["two", "digits", state] in states(capsys, "--seeds=[0]", *options)
    main([*RUN0, "--", "--model.width=8"])
    for options, line in {
        (): "one-digits-s0 differs in model.width (8 there, 4 now)",
        ("--", "--model.width=9"): "one-digits-s0 differs in model.width (8 there, 9 now)",
    }.items():
        for how in ("--workers=1", "--slurm=", "--seeds=[0,1]"):
            assert line in fails([*RUN0, how, *options], capsys)
    assert not told()
    line = fails(["study", "status", "small.yaml", "--", "--max_kimg=1"], capsys)
    assert "may not have the option 'max_kimg'" in line


def test_time_left():
    study = part_of(read_study(FILE), seeds=[0, 3, 4])
    far = [Progress("done", 2, 1.0), Progress("missing"), Progress("running", 1, 0.5), Progress("failed", 0, 9)]
    found = list(zip(study.runs(), [*far, Progress("missing"), Progress("missing")], strict=True))
    # Variant one: 1.5 hours for 3 kimg, 1 + 2 of them left. Variant two, of which none has images: by all, 10.5 for 3.
    assert hours_left(study, found) == pytest.approx(3 * 0.5 + 4 * 3.5)
    assert hours_left(study, [(one, Progress("done", 2, 1.0)) for one in study.runs()]) == 0
    assert hours_left(study, [(one, Progress("missing")) for one in study.runs()]) != 0  # NaN: nobody knows
    timed = read_study(FILE, full=True)
    assert hours_left(timed, [(timed.runs()[0], Progress("stopped", 1, 0.5))]) == pytest.approx(90061 / 3600 - 0.5)


def test_status_needs_neither_torch_nor_lightning():
    run("--seeds=[0]")
    code = (
        "import sys; from lit_gans.cli import main; sys.argv\n"
        "try: main(sys.argv[1:])\n"
        "finally: assert not {'torch', 'lightning', 'wandb'} & sys.modules.keys()"
    )
    for arguments, line in {
        ("small.yaml",): "one      digits   done",
        ("--help",): "Shows which runs",
        (): "lit-gans: error: study is required",
        ("absent.yaml",): "lit-gans: error: absent.yaml: No such file",
        ("small.yaml", "--onyl=[one]"): "there is no option --onyl; did you mean --only?",
        ("small.yaml", "--only=one"): "only is a list: write [one]",
    }.items():
        command = [sys.executable, "-c", code, "study", "status", *arguments]
        shown = subprocess.run(command, capture_output=True, text=True)
        assert line in shown.stdout + shown.stderr
        assert "Traceback" not in shown.stderr


def test_a_config_lies_beside_the_study():
    Path("sub").mkdir()
    Path("sub/base.yaml").write_text("model: GAN")
    text = STUDY.replace("{model.generator_lr: 0.5}", "{model.generator_lr: 0.5, config: base.yaml}")
    Path("sub/other.yaml").write_text(text)
    study = read_study(Path("sub/other.yaml"))
    assert study.job(study.runs()[0], []).command[3] == "--config=sub/base.yaml"


def test_one_run_by_its_number():
    """The process becomes the training, which refuses other options; done runs are left alone."""
    command = runner("--index=2", "--", "--data.root=x")
    assert subprocess.run(command).returncode == 0
    (call,) = told()
    assert names([call]) == ["one-digits-s3"]
    assert call[-1] == "--data.root=x"
    assert "one-digits-s3 is done" in subprocess.run(command, capture_output=True, text=True).stdout
    assert not told()
    subprocess.run([*command, "--model.width=9"])
    assert names(told()) == ["one-digits-s3"]


def runner(*arguments):
    """`study run` as a process of its own, with the same stand-in."""
    code = (
        "from lit_gans import study as files; from lit_gans.verbs import study; from tests import studies\n"
        "files.FIT, study.parse = studies.FIT, studies.parse\nfrom lit_gans.cli import main; main()"
    )
    return [sys.executable, "-c", code, "study", "run", "small.yaml", *arguments]


@pytest.fixture
def waiting():
    """Gives the process of a training that waits, once it does."""
    os.mkfifo("waiting")
    return lambda: int(Path("waiting").read_text())


def test_a_stopped_study_goes_on(monkeypatch, capsys, waiting):
    monkeypatch.setenv("WAITING", "two")
    process = subprocess.Popen(runner(), stdout=subprocess.PIPE, text=True)
    waiting()
    assert ["two", "digits", "running 2", "missing"] in states(capsys)
    process.send_signal(signal.SIGTERM)
    assert process.communicate()[0].endswith("Stopped; the same command goes on.\n")
    assert process.returncode == 143
    assert ["two", "digits", "stopped 2", "missing"] in states(capsys)
    monkeypatch.setenv("WAITING", "")
    run()
    assert names(told()) == ["one-digits-s0", "two-digits-s0", "two-digits-s0", "one-digits-s3", "two-digits-s3"]


def test_a_training_that_is_killed_is_told(monkeypatch, capsys):
    monkeypatch.setenv("KILLED", "two")
    assert "1 of 2 runs failed" in fails(RUN0, capsys)
    assert ["two", "digits", "stopped 2"] in states(capsys, "--seeds=[0]")
    monkeypatch.setenv("KILLED", "")
    main(RUN0)
    assert names(told()) == ["one-digits-s0", "two-digits-s0", "two-digits-s0"]


def test_a_killed_runner_leaves_its_trainings_and_they_are_not_begun_twice(monkeypatch, capsys, waiting):
    monkeypatch.setenv("WAITING", "two")
    process = subprocess.Popen(runner("--seeds=[0]"))
    training = waiting()
    process.kill()
    process.wait()
    told()
    main(RUN0)
    assert not told()
    assert ["two", "digits", "running 2"] in states(capsys, "--seeds=[0]")
    os.kill(training, signal.SIGKILL)
