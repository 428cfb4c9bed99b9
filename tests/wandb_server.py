"""A small stand-in for W&B's server on this machine: what the real client sends to it is kept, to be looked at."""

import gzip
import itertools
import json
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import unquote

import pytest
import wandb
import yaml

from tests.wandb_artifacts import Artifacts

ENTITY = "someone"


@dataclass
class ServedRun:
    """A run as the client described it; `history` has the rows in the order of the server's file."""

    name: str
    project: str
    asked: dict[str, Any] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def config(self) -> dict[str, Any]:
        return {key: entry["value"] for key, entry in json.loads(self.asked.get("config") or "{}").items()}

    @property
    def history(self) -> list[dict[str, Any]]:
        return list(map(json.loads, self.files.get("wandb-history.jsonl", [])))

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.files.get("wandb-summary.json") or ["{}"])[-1])

    def take(self, stream: dict[str, Any]) -> None:
        """Puts lines of files where they belong, in place of those that are there."""
        for name, chunk in (stream.get("files") or {}).items():
            there, offset = self.files.setdefault(name, []), chunk["offset"]
            there[offset : offset + len(chunk["content"])] = chunk["content"]
        if stream.get("complete"):
            self.exit_code = stream["exitcode"]


@dataclass
class ServedSweep:
    """A sweep, whose trials are the product of all values; of a range, its ends."""

    name: str
    project: str
    config: dict[str, Any]

    def __post_init__(self) -> None:
        parameters = self.config["parameters"]
        values = [
            one.get("values") or [one[key] for key in ("value", "min", "max") if key in one]
            for one in parameters.values()
        ]
        self.trials = (dict(zip(parameters, trial, strict=True)) for trial in itertools.product(*values))
        self.run_names: list[str] = []

    def next_command(self) -> dict[str, Any]:
        """What an agent that has nothing to do is told."""
        if (trial := next(self.trials, None)) is None:
            return {"type": "exit"}
        self.run_names.append(f"{self.name}trial{len(self.run_names)}")
        arguments = {key: {"value": value} for key, value in trial.items()}
        return {"type": "run", "run_id": self.run_names[-1], "program": self.config.get("program"), "args": arguments}


class WandbServer(Artifacts, ThreadingHTTPServer):
    """What it was sent: `runs`, `sweeps` and `views` by name; operations in `refused` are answered by 403."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Requests)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.lock = Lock()
        self.runs: dict[str, ServedRun] = {}
        self.sweeps: dict[str, ServedSweep] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self.agents: dict[str, ServedSweep] = {}
        self.refused: set[str] = set()
        self.faults: list[str] = []

    def answer(self, asked: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """What a GraphQL operation gets, by the method of its name, and the HTTP status."""
        operation = re.search(r"\b(?:query|mutation)\s+(\w+)", asked["query"])[1]
        if operation in self.refused:
            return {"errors": [{"message": "permission denied"}]}, 403
        try:
            return {"data": getattr(self, f"on_{operation.lower()}")(asked.get("variables") or {})}, 200
        except Exception:  # such as an operation that there is no answer to
            self.faults.append(traceback.format_exc())
            return {"errors": [{"message": f"the stand-in knows no answer to {operation}"}]}, 400

    def project(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "internalId": name,
            "name": name,
            "entityName": ENTITY,
            "entity": {"id": ENTITY, "name": ENTITY},
            "createdAt": "2026-01-01T00:00:00",
            "isBenchmark": False,
            "user": None,
        }

    def on_viewer(self, variables: dict[str, Any]) -> dict[str, Any]:
        nothing = {"edges": []}
        viewer = {"id": ENTITY, "username": ENTITY, "entity": ENTITY, "flags": "{}", "teams": nothing}
        return {"viewer": viewer}

    on_getdefaultentity = on_viewer

    def on_serverfeaturesquery(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def on_organizationcoreweaveorganizationid(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"entity": {"organization": None}}

    def on_getprojects(self, variables: dict[str, Any]) -> dict[str, Any]:
        names = dict.fromkeys([run.project for run in self.runs.values()])
        edges = [{"cursor": name, "node": self.project(name)} for name in names]
        last = {"endCursor": None, "hasNextPage": False}
        return {"models": {"totalCount": len(edges), "edges": edges, "pageInfo": last}}

    def on_createproject(self, variables: dict[str, Any]) -> dict[str, Any]:
        made = self.project(variables["input"]["name"])
        return {"result": {"project": made, "model": made, "inserted": True}}

    def on_upsertbucket(self, variables: dict[str, Any]) -> dict[str, Any]:
        new = variables["name"] not in self.runs
        run = self.runs.setdefault(variables["name"], ServedRun(variables["name"], variables.get("project") or ""))
        run.asked |= {key: value for key, value in variables.items() if value is not None}
        bucket = {
            "id": run.name,
            "name": run.name,
            "displayName": run.asked.get("displayName"),
            "description": None,
            "config": run.asked.get("config"),
            "sweepName": run.asked.get("sweep"),
            "historyLineCount": len(run.history),
            "project": self.project(run.project),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": new}}

    def on_runresumestatus(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(variables["name"])
        bucket = run and {
            "id": run.name,
            "name": run.name,
            "displayName": run.asked.get("displayName"),
            "summaryMetrics": json.dumps(run.summary),
            "config": run.asked.get("config"),
            "tags": run.asked.get("tags") or [],
            "wandbConfig": json.dumps({"t": 1}),
        }
        names = {"history": "wandb-history.jsonl", "events": "wandb-events.jsonl", "log": "output.log"}
        for kind, name in names.items() if run else ():
            lines = run.files.get(name, [])
            bucket |= {f"{kind}LineCount": len(lines), f"{kind}Tail": json.dumps(lines[-1:])}
        return {"model": {**self.project(variables["project"]), "bucket": bucket}}

    def on_createrunfiles(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = variables["run"]
        files = [{"name": name, "uploadUrl": f"{self.url}/uploads/{run}/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": run, "uploadHeaders": [], "files": files}}

    def on_upsertsweep(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables.get("id") or f"sweep{len(self.sweeps)}"
        project = variables.get("projectName") or ""
        self.sweeps[name] = ServedSweep(name, project, yaml.safe_load(variables["config"]))
        return {
            "upsertSweep": {"sweep": {"name": name, "project": self.project(project)}, "configValidationWarnings": []}
        }

    def on_sweepwithruns(self, variables: dict[str, Any]) -> dict[str, Any]:
        sweep = self.sweeps[variables["sweep"]]
        nothing = dict.fromkeys(["controller", "scheduler", "description", "createdAt", "heartbeatAt", "updatedAt"])
        found = {
            "id": sweep.name,
            "name": sweep.name,
            "method": sweep.config["method"],
            "state": "RUNNING",
            "config": yaml.safe_dump(sweep.config),
            "runs": {"edges": []},
            "earlyStopJobRunning": False,
            "bestLoss": None,
        }
        return {"project": {"sweep": nothing | found}}

    def on_createagent(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = f"agent{len(self.agents)}"
        self.agents[name] = self.sweeps[variables["sweep"].split("/")[-1]]
        return {"createAgent": {"agent": {"id": name}}}

    def on_heartbeat(self, variables: dict[str, Any]) -> dict[str, Any]:
        busy = json.loads(variables["runState"] or "{}")
        commands = [] if busy else [self.agents[variables["id"]].next_command()]
        return {"agentHeartbeat": {"agent": {"id": variables["id"]}, "commands": json.dumps(commands)}}

    def on_upsertview(self, variables: dict[str, Any]) -> dict[str, Any]:
        known = {key: variables.get(key) for key in ("name", "type", "displayName", "description", "spec")}
        self.views[known["name"]] = known | {"spec": json.loads(known["spec"])}
        project = {key: self.project(variables["projectName"])[key] for key in ("id", "name", "entityName")}
        view = known | {
            "id": f"view{len(self.views)}",
            "project": project,
            **dict.fromkeys(["user", "createdAt", "updatedAt"]),
        }
        return {"upsertView": {"view": view, "inserted": True}}

    on_upsertview2 = on_upsertview


class Requests(BaseHTTPRequestHandler):
    """GraphQL, lines of files, uploads."""

    server: WandbServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Prints nothing."""

    def body(self) -> bytes:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw

    def reply(self, content: dict[str, Any], status: int = 200) -> None:
        raw = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def handle(self) -> None:
        with suppress(ConnectionError):  # of a client that was killed
            super().handle()

    def do_POST(self) -> None:
        content = self.body()
        with self.server.lock:
            if self.path == "/graphql":
                self.reply(*self.server.answer(json.loads(content)))
            elif self.path.endswith("/file_stream"):
                self.server.runs[unquote(self.path).split("/")[-2]].take(json.loads(content))
                self.reply({"limits": {}})
            else:  # telemetry
                self.reply({}, status=404)

    def do_PUT(self) -> None:
        run, name = unquote(self.path.removeprefix("/uploads/")).split("/", 1)
        content = self.body()
        with self.server.lock:
            self.server.runs[run].uploads[name] = content
        self.reply({})


@contextmanager
def serving() -> Iterator[WandbServer]:
    """A server that answers until the block ends."""
    with WandbServer() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@pytest.fixture
def wandb_server(tmp_path, monkeypatch) -> Iterator[WandbServer]:
    """A server that this process and its children take for W&B's; they see no settings of the machine."""
    wandb.teardown()  # which has read the environment
    for name in [name for name in os.environ if name.startswith("WANDB_") and name != "WANDB_SILENT"]:
        monkeypatch.delenv(name)
    for place in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{place}_DIR", str(tmp_path / "wandb" / place.lower()))
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        yield server
        wandb.teardown()
        assert not server.faults
