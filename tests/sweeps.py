"""A small program in place of a training, a sweep of it, and what became of its trials."""

from pathlib import Path

import yaml

from lit_gans.sweeps.file import read_sweep
from lit_gans.sweeps.trials import Trials

CHILD = """
import json, os, signal, sys, time
from pathlib import Path
given = dict(word[2:].split("=", 1) for word in sys.argv[1:] if "=" in word)
run, x = Path(given["run_dir"]), given["x"]
number = run.name
run.mkdir(parents=True, exist_ok=True)
with open("began", "a") as began:
    began.write(f"{number} {x}\\n")
times = sum(line.split()[0] == number for line in open("began"))
status = {"state": "running", "reason": "", "length": {"max_kimg": 1}}
def wait():
    while not Path("go on").exists():
        time.sleep(0.02)
if x == "waits":
    wait()
elif x == "refused":
    sys.exit("Traceback\\nlit-gans: error: no such option")
elif x == "diverges":
    (run / "status.json").write_text(json.dumps(status | {"state": "failed", "reason": "weights are not finite"}))
    sys.exit(1)
elif x == "dies once" and times == 1 or x == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
elif x == "measures nothing":
    (run / "metrics.csv").write_text("kimg,val/kid\\n1,3\\n")
    sys.exit(0)
elif x == "nan":
    (run / "metrics.csv").write_text("kimg,val/fid\\n1,3\\n2,nan\\n")
    sys.exit(0)
elif x.startswith("curve"):
    (run / "status.json").write_text(json.dumps(status))
    text = "kimg,val/fid\\n"
    for kimg in range(5):
        text += f"{kimg},{x.split()[1]}\\n{kimg}.5,\\n"
        (run / "metrics.csv").write_text(text)
    if x.split()[1] != "1":
        while True:
            time.sleep(0.02)
    sys.exit(0)
value = float(x) if x.replace(".", "").isdigit() else 5.0
(run / "metrics.csv").write_text(f"kimg,val/fid,score\\n1,99,0\\n2,{value},{value}\\n3,,\\n4,tor")
"""


def sweep_file(values, **keys):
    Path("child.py").write_text(CHILD)
    tree = {
        "method": "grid",
        "program": "child.py",
        "metric": {"name": "val/fid", "goal": "minimize"},
        "command": ["${interpreter}", "${program}", "${args}"],
        "parameters": {"x": values if isinstance(values, dict) else {"values": values}},
    }
    Path("s.yaml").write_text(yaml.safe_dump(tree | keys, sort_keys=False))
    return Path("s.yaml")


def trials():
    """What the journal tells: states, values and parameters by number."""
    sweep, _ = read_sweep(Path("s.yaml"))
    return Trials(Path("runs/s"), sweep).study.trials


def states():
    return [trial.state.name for trial in trials()]


def began():
    """The trials whose child was started, in order."""
    return [line.split()[0] for line in Path("began").read_text().splitlines()]
