"""Speed and memory as ratios inside one run: `python -m experiments.bench [--quick] [--only NAME ...] [--memory]`.

Each comparison alternates the two sides, so that a machine that slows down slows both; printed is the median ratio.
"""

import argparse

import lightning as L
import torch

from experiments.bench.loading import loading
from experiments.bench.memory import growth, peaks
from experiments.bench.metrics import fid, neighbours, validation
from experiments.bench.training import overhead, training
from experiments.bench.translating import photos, translating

COMPARISONS = {
    "growth": lambda rounds: growth(600 if rounds == 1 else 10_000),
    "overhead": lambda rounds: overhead(50 * rounds, rounds),
    "loading": lambda rounds: loading(1280 if rounds == 1 else 60_000, min(rounds, 3)),
    "dcgan32": lambda rounds: training("DCGAN", 32, 2 if rounds == 1 else 20, rounds),
    "dcgan64": lambda rounds: training("DCGAN", 64, 1 if rounds == 1 else 10, rounds),
    "sngan": lambda rounds: training("SNGAN", 32, 2 if rounds == 1 else 20, rounds),
    "biggan": lambda rounds: training("BigGAN", 32, 2 if rounds == 1 else 20, rounds),
    "r3gan": lambda rounds: training("R3GAN", 32, 2 if rounds == 1 else 20, rounds),
    "pix2pix": lambda rounds: training("Pix2Pix", 256, 1 if rounds == 1 else 3, rounds),
    "cyclegan": lambda rounds: training("CycleGAN", 64 if rounds == 1 else 256, min(rounds, 2), rounds),
    "unet": lambda rounds: translating("UNetGenerator", 256, 1 if rounds == 1 else 8, rounds),
    "resnet": lambda rounds: translating("ResNetTranslator", 256, 1 if rounds == 1 else 3, rounds),
    "photos": lambda rounds: photos(400, 300, 160) if rounds == 1 else photos(4000, 3000, 512),
    "validation": lambda rounds: validation(200 if rounds == 1 else 10_000, rounds),
    "fid": lambda rounds: fid(300, 128, 1) if rounds == 1 else fid(10_000, 2048, min(rounds, 3)),
    "neighbours": lambda rounds: neighbours(300, 64, 1) if rounds == 1 else neighbours(10_000, 2048, min(rounds, 3)),
}


def main() -> None:
    """Runs the comparisons asked for, by default all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds, to see that it works")
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, default=COMPARISONS, help="run these only")
    parser.add_argument("--memory", action="store_true", help="the peak memory of each variant instead")
    given = parser.parse_args()
    print(f"torch {torch.__version__}, lightning {L.__version__}, {torch.get_num_threads()} threads")
    if given.memory:
        print(peaks(steps=2 if given.quick else 10))
        return
    for name in given.only:
        print(COMPARISONS[name](1 if given.quick else 7), flush=True)


if __name__ == "__main__":
    main()
