"""The command line as a user meets it; in this process, so that importing Lightning is paid for once."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import wandb
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto import wandb_internal_pb2

import lit_gans
from lit_gans.callbacks.monitor import draw_curves
from lit_gans.cli import main
from tests.commands import QUIET, SMALL, fails, run_dirs


def test_help_needs_neither_torch_nor_lightning():
    code = (
        "import sys; from lit_gans.cli import main; main(['--help'])\n"
        "assert not {'torch', 'lightning', 'wandb'} & sys.modules.keys()"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(verb in shown for verb in ("fit", "validate", "test", "sample", "study run", "sweep check"))


@pytest.mark.parametrize(("given", "shown", "absent"), [("study", "study run", "fit"), ("sweep -h", "check", "fit")])
def test_verbs_of_two_words_are_listed(given, shown, absent, capsys):
    main(given.split())
    lines = capsys.readouterr().out.splitlines()[2:]
    assert any(shown in line for line in lines)
    assert not any(line.split()[0] == absent for line in lines)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("study walk", "there is no verb 'study walk'; the verbs are study run, study status"),
        ("run", "there is no verb 'run'; the verbs are fit, "),
        ("run study", "there is no verb 'run'; the verbs are fit, "),
    ],
)
def test_verbs_that_are_none(given, line, capsys):
    assert line in fails(given.split(), capsys)


def test_a_run_from_start_to_samples(capsys, monkeypatch):
    """Files of a run, the loggers' keys, finished, lengthened, refused, started over, validated, sampled."""
    drawn = []

    def draw(rows, *given):
        drawn.append(len(rows))
        draw_curves(rows, *given)

    with monkeypatch.context() as patch:
        patch.setattr("lit_gans.callbacks.monitor.draw_curves", draw)
        main([*SMALL, "--seed_everything=3"])
    said = capsys.readouterr().out
    (run,) = run_dirs()
    assert drawn == [2, 5]
    assert Image.open(run / "curves.png").size[0] == 1210
    assert re.fullmatch(r"gan-digits-s3-[0-9a-f]{8}", run.name)
    made = {
        "checkpoints",
        "config.yaml",
        "curves.png",
        "metrics.csv",
        "protocols.json",
        "status.json",
        "samples",
        "tensorboard",
        "wandb",
    }
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
    printed = capsys.readouterr().out
    assert "finished, at kimg 0.384 (step 6" in printed
    assert printed.endswith("continues it; --fresh starts over.\n")

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
    return [{key: value for key, value in row.items() if not key.startswith(("speed/", "cost/"))} for row in rows]


def check_loggers_agree(run, rows):
    """W&B's and TensorBoard's files have the keys and values of the CSV file."""
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    keys = set(rows[0]) - {"step"}
    assert set(events.Tags()["scalars"]) - {"epoch"} == keys
    fid = [(event.step, event.value) for event in events.Scalars("val/fid")]
    assert fid == [(int(row["step"]), pytest.approx(float(row["val/fid"]))) for row in rows if row["val/fid"]]
    assert events.Tags()["images"] == ["samples"]

    (file,) = (run / "wandb").glob("offline-run-*/*.wandb")
    records = list(wandb_records(file))
    history = [record.history for record in records if record.HasField("history")]
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


def test_a_server_that_is_not_there_does_not_stop_a_run(capsys, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.warns(UserWarning, match="W&B server 127.0.0.1 cannot be reached"):
        main([*SMALL, "--online"])
    assert list(run_dirs()[0].glob("wandb/offline-run-*/*.wandb"))


def test_fresh_replaces_the_run_on_the_server(monkeypatch):
    asked, init = [], wandb.init
    monkeypatch.setattr(wandb, "init", lambda **given: asked.append(given) or init(**given | {"mode": "disabled"}))
    for more in ([], ["--trainer.max_steps=8"], ["--fresh"]):
        main([*SMALL, *more])
    assert len({settings["id"] for settings in asked}) == 1
    assert [settings["resume"] for settings in asked] == ["allow", "allow", None]


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
