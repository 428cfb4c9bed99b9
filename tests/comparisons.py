"""Made-up runs to compare."""

from pathlib import Path

import numpy as np
from PIL import Image

from lit_gans.comparison.runs import Group, Run
from lit_gans.status import Status

MADE = {"features": "small", "sha256": "ab" * 32, "n_real": 100, "n_fake": 200, "reference": "test", "data": "squares",
        "image_size": "8x8", "ema": True}  # fmt: skip


def run(name, seed, fid, *, rows=20, state="finished", reason="", protocol="aaaa1111", extra=0, **kwargs):
    """Whose FID falls to `fid` over 10 kimg, two hours and 1,000 updates; `extra` further columns of noise."""
    noise = np.random.default_rng(seed)
    part = np.arange(1, rows + 1) / rows
    columns = {
        "kimg": 10 * part,
        "generator/updates": 1000 * part,
        "cost/hours": 2 * part,
        "cost/memory_gib": np.full(rows, 1.5),
        "speed/images_per_second": np.full(rows, 100.0),
        "val/fid": fid * (2 - part),
        "discriminator/adversarial": 1 + noise.random(rows),
        "generator/adversarial": 1 - noise.random(rows),
        "discriminator/real_accuracy": noise.random(rows),
        "generator/gradient_norm": noise.random(rows) + 0.1,
        **{f"val/further{number}": noise.random(rows) for number in range(extra)},
    }
    made = {"val/fid": {"hash": protocol, "protocol": MADE | {"n_fake": 300} if protocol != "aaaa1111" else MADE}}
    given = {"variant": "plain", "path": Path(name), "protocols": made} | kwargs
    return Run(name=name, seed=seed, columns=columns, status=Status(state, reason, {"max_kimg": 10.0}), **given)


def group(label, fids, dataset="squares", *, options=None, **kwargs):
    """Of runs that end at these values."""
    runs = tuple(run(f"{label}-{dataset}-s{seed}", seed, fid, **kwargs) for seed, fid in enumerate(fids))
    return Group(label, dataset, runs, options or {})


def pictures(folder, times, size=(40, 30), grey=0):
    """Files of noise, told apart by how bright they are."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for place, kimg in enumerate(times):
        image = np.random.default_rng(place).integers(0, 60, (size[1], size[0], 3), dtype=np.uint8) + grey
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{place}.png")
        found.append((kimg, folder / f"{place}.png"))
    return found
