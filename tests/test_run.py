from pathlib import Path

import pytest

from lit_gans.errors import UserError
from lit_gans.run import alone, batches, check_same_run, identity, run_name, start_over, write_config


def config(data="MNIST", steps=5, **arguments):
    return {
        "model": {"class_path": "lit_gans.DCGAN", "init_args": {"n_critic": 1}},
        "data": {"class_path": f"datamodules.{data}", "init_args": {"batch_size": 8, **arguments}},
        "metrics": {"n_fake": 10},
        "trainer": {"precision": None, "max_steps": steps, "limit_val_batches": None},
        "seed_everything": 0,
        "study": "default",
    }


def test_batches_of_a_length():
    """Whole batches are no one more by rounding: 1000 * 32.112 is 32112.000000000004."""
    for size in (1, 16, 50, 64, 100):
        assert [batches(count * size / 1000, size) for count in range(1, 3000)] == list(range(1, 3000))
    assert batches(0.065, 64) == 2
    with pytest.raises(UserError, match="0.063 kimg are less than one batch of 64 images"):
        batches(0.063, 64)


def test_the_name_covers_what_changes_the_result():
    named = config(root="a", download=True, num_workers=0)
    assert run_name(named).startswith("dcgan-mnist-s0-")
    assert run_name(named) == run_name(config(root="b", download=False, num_workers=4, steps=9))
    assert run_name(named) != run_name(config(root="a", download=True, num_workers=0, flip=True))
    half = config(root="a", download=True, num_workers=0)
    half["trainer"]["precision"] = "bf16-mixed"
    assert run_name(named) != run_name(half)
    assert run_name(config("ImageFolder", root="cats")) != run_name(config("ImageFolder", root="dogs"))
    assert identity(named)["precision"] == "32-true"
    with_classes = config(root="a", download=True, num_workers=0)
    with_classes["metrics"]["per_class"] = True  # more columns, the same numbers in the others
    assert run_name(named) == run_name(with_classes)
    with_classes["pairs"] = {"shave": None, "miou": True}
    assert run_name(named) == run_name(with_classes)
    with_classes["pairs"]["shave"] = 4  # other numbers in the same columns
    assert run_name(named) != run_name(with_classes)


def test_starting_over_deletes_only_what_a_run_made():
    run = Path("run")
    write_config(run, config())
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "last.ckpt").touch()
    (run / "notes.txt").write_text("mine")
    start_over(run)
    assert [path.name for path in run.iterdir()] == ["notes.txt"]
    with pytest.raises(UserError, match="is not the directory of a run"):
        start_over(run)
    (run / "config.yaml").write_text("title: my blog")
    with pytest.raises(UserError, match="is not the directory of a run"):
        start_over(run)
    with pytest.raises(UserError, match="is not the directory of a run"):
        check_same_run(run, config())
    start_over(Path("absent"))


def test_another_config_is_refused_with_the_keys_that_differ():
    run = Path("run")
    write_config(run, config())
    check_same_run(run, config(steps=9))
    with pytest.raises(
        UserError, match=r"differs in data\.batch_size \(8 there, 16 now\), data\.flip \(None there, True now\)"
    ):
        check_same_run(run, config(batch_size=16, flip=True))
    other = config()
    other["metrics"]["n_fake"] = 20
    check_same_run(run, other, parts=("model", "data"))


def test_a_run_belongs_to_one_process():
    run = Path("run")
    with alone(run), pytest.raises(UserError, match="another process is training in run"), alone(run):
        pass
    with alone(run):
        check_same_run(run, config())
        start_over(run)
    with pytest.raises(RuntimeError, match="mine"), alone(run):
        raise RuntimeError("mine")
    with alone(run):
        pass  # it was given back
    Path(run, ".config.yaml.0123.tmp").touch()  # of a process that was killed
    check_same_run(run, config())
