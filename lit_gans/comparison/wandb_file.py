"""What W&B wrote offline: `run-<id>.wandb`, one for each part of a run that was interrupted and continued.

The file is a log as LevelDB has it, around messages of W&B's own; see `payloads`.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import Any
from zlib import crc32

from lit_gans.comparison.columns import as_given, columns_of, number
from lit_gans.comparison.runs import Run, told_by
from lit_gans.run import is_plain
from lit_gans.status import Status

MAGIC, BLOCK, HEADER = b":W&B\xe1\xbe\x00", 2**15, Struct("<IHB")
FULL, FIRST, LAST = 1, 2, 4


class Damaged(Exception):
    """The rest of the file cannot be read."""


@dataclass
class Segment:
    """What one file tells: a run, or a part of one.

    Attributes:
        path: The file.
        id: Of the run.
        name: Of the run, for people.
        started: When; first the time in the folder's name, which a file without content has, too.
        config: Nested, without W&B's own.
        rows: Logged numbers.
        pictures: Name, kimg and file.
        exit_code: None if the file has no end.
    """

    path: Path
    id: str
    name: str = ""
    started: tuple[str, int] = ("", 0)
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)
    pictures: list[tuple[str, float, Path]] = field(default_factory=list)
    exit_code: int | None = None


def payloads(path: Path) -> Iterator[bytes]:
    """The records of a file. After seven bytes come blocks of 32 KiB (the seven count as the first's).

    A block holds pieces of records, each after its checksum, length and kind, and is padded where no header fits in.

    Raises:
        Damaged: the file ends within a record, or a checksum is wrong.
    """
    with open(path, "rb") as file:
        start = file.read(len(MAGIC))
        if start != MAGIC:
            raise Damaged("is empty" if not start else "is no file of W&B")
        left, record = BLOCK - len(MAGIC), bytearray()
        while True:
            if left < HEADER.size:
                file.read(left)
                left = BLOCK
            header = file.read(HEADER.size)
            if not header and not record:
                return
            if len(header) < HEADER.size:
                raise Damaged("ends in the midst of a record: what came after is lost")
            checksum, length, kind = HEADER.unpack(header)
            piece = file.read(length)
            if len(piece) < length:
                raise Damaged("ends in the midst of a record: what came after is lost")
            if crc32(piece, crc32(header[-1:])) != checksum:
                raise Damaged(f"is damaged at byte {file.tell() - length}: what comes after is lost")
            left -= HEADER.size + length
            if kind in (FULL, FIRST):
                record = bytearray()
            record += piece
            if kind in (FULL, LAST):
                yield bytes(record)
                record = bytearray()


def read_segment(path: Path, tell: Callable[[str], None]) -> Segment:
    """Reads a file as far as it goes.

    Args:
        path: Of the file.
        tell: Is told what is wrong with it.
    """
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record  # a second; nothing else needs it

    stamp = "".join(re.findall(r"\d{8}_\d{6}", path.parent.name)[:1])
    segment = Segment(path, path.stem.removeprefix("run-"), started=(stamp, 0))
    try:
        records = 0
        for payload in payloads(path):
            take(Record.FromString(payload), segment)
            records += 1
        if not records:
            tell(f"{path} has a header only: W&B was killed in its first seconds, and wrote nothing")
    except Damaged as error:
        tell(f"{path} {error}")
    except OSError as error:
        tell(f"{path} cannot be read ({error.strerror})")
    except (DecodeError, ValueError, RecursionError):
        tell(f"{path} has a record that is not W&B's: what comes after it is lost")
    segment.config.pop("_wandb", None)
    if not is_plain(segment.config):
        tell(f"{path} has a config that is none, which is left out")
        segment.config = {}
    return segment


def take(record: Any, segment: Segment) -> None:
    """Adds what a record tells to the segment."""
    kind = record.WhichOneof("record_type")
    if kind == "run":
        run = record.run
        segment.id, segment.name = run.run_id, run.display_name
        segment.started = (segment.started[0], run.start_time.ToNanoseconds())
    if kind in ("run", "config"):
        update = (record.run.config if kind == "run" else record.config).update
        segment.config |= {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in update}
    elif kind == "history":
        texts = {".".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
        numbers = {name: number(text) for name, text in texts.items()}
        media = tuple(name.removesuffix("_type") for name in texts if name.endswith("._type"))
        row = {"step": numbers.get("_step") or 0.0}
        row |= {
            name: value for name, value in numbers.items() if value is not None and not name.startswith(("_", *media))
        }
        if "kimg" in row:
            row["kimg"] = as_given(row["kimg"])
        for name in media:
            if path := picture(name, texts, segment.path.parent / "files"):
                segment.pictures.append((name[:-1], row.get("kimg", row["step"] / 1000), path))
        if row.keys() - {"step", "kimg"}:
            segment.rows.append(row)
    elif kind == "exit":
        segment.exit_code = record.exit.exit_code


def picture(name: str, texts: dict[str, str], files: Path) -> Path | None:
    """The file of a logged image, or of the first of several; None for other things, and for files elsewhere."""
    told = json.loads(texts.get(f"{name}path") or texts.get(f"{name}filenames") or "null")
    told = told[0] if isinstance(told, list) and told else told
    if "image" not in texts[f"{name}_type"] or not isinstance(told, str):
        return None
    path = (files / told).resolve()
    return path if path.is_relative_to(files.resolve()) and path.is_file() else None


def read_wandb(paths: Sequence[Path], tell: Callable[[str], None]) -> list[Run]:
    """The runs of W&B's files; the parts of a run are put together.

    Args:
        paths: Of the files.
        tell: Is told what is wrong with them.
    """
    parts = defaultdict(list)
    for path in paths:
        segment = read_segment(path, tell)
        parts[segment.id].append(segment)
    in_order = (sorted(segments, key=lambda one: one.started) for segments in parts.values())
    return [join(segments) for segments in in_order if any(one.rows or one.config for one in segments)]


def join(segments: Sequence[Segment]) -> Run:
    """One run of its parts in order; a later one drops what earlier ones logged after the point it continued at."""
    rows, pictures, config = [], [], {}
    for segment in segments:
        axis = "kimg" if any("kimg" in row for row in segment.rows) else "step"
        first = min((row[axis] for row in segment.rows if axis in row), default=math.inf)
        scale = 1 if axis == "kimg" else 1000
        rows = [row for row in rows if row.get(axis, -math.inf) < first] + segment.rows
        pictures = [one for one in pictures if scale * one[1] < first] + segment.pictures
        config |= segment.config
    by_name: dict[str, dict[float, Path]] = defaultdict(dict)
    for name, kimg, path in pictures:
        by_name[name][kimg] = path
    protocols = config.pop("protocols", None)
    hashes = protocols if isinstance(protocols, dict) else {}
    return Run(
        name=segments[-1].id,
        path=segments[-1].path,
        **told_by(config, segments[0].name),
        columns=columns_of(rows),
        status=status_of(segments[-1].exit_code),
        protocols={name: {"hash": str(one), "protocol": {}} for name, one in hashes.items()},
        pictures={name: sorted(found.items()) for name, found in by_name.items()},
    )


def status_of(exit_code: int | None) -> Status:
    """What the last record of a file says."""
    if exit_code is None:
        return Status("stopped", "W&B's file has no end: the run was killed, or goes on")
    return Status("failed", f"W&B noted exit code {exit_code}") if exit_code else Status("finished")
