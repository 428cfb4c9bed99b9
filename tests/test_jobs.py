"""Jobs are small scripts here; the runner that is stopped is a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lit_gans import jobs
from lit_gans.jobs import Job, run_jobs, visible

HERE = Path(__file__).parent.parent


def job(name, code, **environment):
    return Job(
        name, [sys.executable, "-c", f"import os, signal, sys, time\n{code}"], Path("logs", f"{name}.log"), environment
    )


def test_all_run_each_into_its_log():
    ended = {
        one.name: code
        for one, code in run_jobs([job("a", "print('out')"), job("b", "sys.exit('err')"), job("c", "sys.exit(7)")], 2)
    }
    assert ended == {"a": 0, "b": 1, "c": 7}
    assert Path("logs/a.log").read_text() == "out\n"
    assert Path("logs/b.log").read_text() == "err\n"
    list(run_jobs([job("a", "print('again')")], 1))
    assert Path("logs/a.log").read_text() == "out\nagain\n"


def test_two_workers_run_two_jobs_at_a_time():
    """Each of two jobs waits for the other's sign."""
    meet = "open('{0}', 'w'); end = time.time() + 60\nwhile not os.path.exists('{1}') and time.time() < end: pass\n"
    meet += "sys.exit(time.time() >= end)"
    both = [job("a", meet.format("a", "b")), job("b", meet.format("b", "a"))]
    assert [code for _, code in run_jobs(both, 2)] == [0, 0]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_next_job_is_asked_for_after_the_result_before(workers):
    told = []

    def asked():
        for name in "abcd":
            told.append(f"asked {name}")
            yield job(name, "")

    for one, _ in run_jobs(asked(), workers):
        told.append(f"ended {one.name}")
    counts = [sum(line.startswith("asked") - line.startswith("ended") for line in told[:end]) for end in range(9)]
    assert max(counts) == workers
    if workers == 1:
        assert told == [f"{what} {name}" for name in "abcd" for what in ("asked", "ended")]


def test_cores_and_gpus_are_divided(monkeypatch):
    show = "print(os.environ['OMP_NUM_THREADS'], os.environ.get('CUDA_VISIBLE_DEVICES'))"
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,GPU-6")
    jobs_of = [job("a", show), job("b", show), job("c", show, OMP_NUM_THREADS="9", CUDA_VISIBLE_DEVICES="7")]
    list(run_jobs(jobs_of, 3))
    assert [Path(f"logs/{name}.log").read_text() for name in "abc"] == ["2 4\n", "2 5\n", "9 7\n"]
    assert [visible(worker, 2) for worker in range(2)] == [
        {"CUDA_VISIBLE_DEVICES": "4,GPU-6"},
        {"CUDA_VISIBLE_DEVICES": "5"},
    ]
    assert [visible(worker, 4)["CUDA_VISIBLE_DEVICES"] for worker in range(4)] == ["4", "5", "GPU-6", "4"]
    assert visible(0, 1) == {}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    list(run_jobs([job("d", show)], 8))
    assert Path("logs/d.log").read_text() == "3 \n"


def test_gpus_of_a_machine(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert jobs.gpus() == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A100 (UUID: GPU-1)'\necho '  MIG 1g'\necho 'GPU 1: A100 (UUID: GPU-2)'\n")
    tool.chmod(0o755)
    assert jobs.gpus() == ["0", "1"]


RUNNER = """
import signal, sys
from pathlib import Path
from lit_gans.jobs import Job, run_jobs
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
code = '''
import os, signal, sys
def leave(*_):
    print("told to terminate", flush=True)
    if "STUBBORN": signal.pause()
    sys.exit(3)
signal.signal(signal.SIGTERM, leave)
print(os.getpid(), flush=True)
signal.pause()
'''
code = code.replace("STUBBORN", "STUBBORN" * (sys.argv[1] == "stubborn"))
try:
    for job, code in run_jobs([Job(n, [sys.executable, "-c", code], Path(n)) for n in "abc"], 2):
        print("ended", job.name)
except BaseException as error:
    print(repr(error))
    raise
"""


def lines_of(name, count):
    """The log of a job, once it has so many lines."""
    while not Path(name).exists() or Path(name).read_text().count("\n") < count:
        pass
    return Path(name).read_text().splitlines()


def runner(kind):
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    command = [sys.executable, "-c", RUNNER, kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    for name in "ab":
        lines_of(name, 1)
    return process


@pytest.mark.parametrize(("number", "code", "error"), [(signal.SIGINT, -2, "Keyb"), (signal.SIGTERM, 143, "SystemE")])
def test_running_jobs_are_told_once_to_terminate_and_waited_for(number, code, error):
    """Ctrl-C goes to the whole group of a terminal's processes; the jobs are not in it."""
    process = runner("willing")
    os.killpg(process.pid, number)
    said = process.communicate()[0]
    assert process.returncode == code
    assert said.startswith(error)
    assert [lines_of(name, 2)[1:] for name in "ab"] == [["told to terminate"]] * 2
    assert not Path("c").exists()


def test_a_second_interruption_kills():
    process = runner("stubborn")
    process.send_signal(signal.SIGINT)
    children = [int(lines_of(name, 2)[0]) for name in "ab"]
    process.send_signal(signal.SIGINT)
    assert process.communicate()[0].startswith("Keyb")
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_jobs_are_stopped_when_the_caller_stops_asking():
    running = run_jobs([job("a", ""), job("b", "print(os.getpid(), flush=True); signal.pause()")], 2)
    next(running)
    child = int(lines_of("logs/b.log", 1)[0])
    running.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_command_that_cannot_be_started():
    with pytest.raises(FileNotFoundError):
        list(run_jobs([Job("a", ["./absent"], Path("log"))], 1))
