import json
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn
from torchvision.transforms.functional import to_tensor
from torchvision.transforms.v2.functional import resize
from torchvision.utils import save_image

import datamodules
from datamodules.base import Data
from datamodules.plain_images import PlainImages
from lit_gans.base import AdversarialModule
from lit_gans.callbacks.samples import image_grid
from lit_gans.comparison.text import aligned, described
from lit_gans.errors import UserError
from lit_gans.files import replacing
from lit_gans.loading import Device, device_of, load_sampler
from lit_gans.metrics import (
    KID,
    ClassFID,
    DataCopying,
    FIDInfinity,
    FIDInterval,
    Inception,
    MiFID,
    ModeCoverage,
    Neighbours,
    PathLength,
)
from lit_gans.metrics.custom import feature_networks
from lit_gans.metrics.evaluation import Evaluated, Generated, evaluate_images
from lit_gans.metrics.features import FeatureNetwork
from lit_gans.metrics.measurement import ScoreFactory
from lit_gans.metrics.protocol import Protocol, Split, short_hash
from lit_gans.metrics.score import drawn_labels
from lit_gans.run import read_config


def evaluate(
    images: Path,
    reals: Path | None = None,
    *,
    output: Path | None = None,
    data_root: str | None = None,
    features: list[FeatureNetwork | nn.Module] | None = None,
    n_real: int | None = 10_000,
    n_fake: int = 10_000,
    reference: Split = "train",
    protocols: list[Protocol] = (),
    scores: list[ScoreFactory] | None = None,
    seed: int = 0,
    batch_size: int = 256,
    device: Device = "auto",
) -> None:
    """Measures a model's images, or image files, against real ones; says of each number how it was made.

    Args:
        images: A run directory (all its checkpoints), a checkpoint in one, or a folder or zip of images.
        reals: A folder or zip of real images, or a run, for its data; by default the data of the run itself.
        output: Folder for evaluation.json and the pictures; by default `evaluation` in the run directory, or for one
            checkpoint a folder of its name in that.
        data_root: Where the data of the run are now.
        features: Feature networks, or own modules; by default the one shipped for the data, else Inception.
        n_real: Number of reals, the first ones; null for all. The run's validations may have taken fewer.
        n_fake: Number of fakes.
        reference: Split of the reals.
        protocols: Further ones, such as Lucic2018, measured on the same fakes.
        scores: Besides FID and IS; by default all that can be computed.
        seed: Of the latents. Those of the validations during training are others, so the best checkpoint is measured
            on images that it was not chosen by.
        batch_size: Images embedded at a time.
        device: auto takes a GPU if there is one.
    """
    run, checkpoints, files, against = sides(images, reals, output, data_root)
    counts = {"n_real": n_real, "n_fake": n_fake, "reference": reference}
    wanted = [*(Protocol(features=network, **counts) for network in networks_for(features, against)), *protocols]
    if not wanted:
        raise UserError("--features=[] measures nothing: name a feature network, or leave the option out")
    most, target, results = max(protocol.n_fake for protocol in wanted), device_of(device), {}
    for path in checkpoints or [images]:
        model = None if files else load_sampler(path).to(target)
        fakes = files or drawn_from(model, against, reference, most, seed)
        chosen = all_scores(fakes, against, wanted) if scores is None else scores
        results[path.stem] = evaluate_images(fakes, against, wanted, chosen, device=target, batch_size=batch_size)
        results[path.stem].source = {"path": str(path)}
        if model is not None:
            results[path.stem].source |= {"kimg": model.images_seen / 1000, "seed": seed}
    output = output or run / "evaluation" / (images.stem if images.suffix else "")
    write(results, output)
    print(table(results))
    print(f"evaluation.json and pictures: {output}")


def sides(
    images: Path, reals: Path | None, output: Path | None, data_root: str | None
) -> tuple[Path | None, list[Path], PlainImages | None, Data | PlainImages]:
    """The run, the checkpoints or else the files that are measured, and what they are measured against."""
    for path in (images, reals):
        if path and not path.exists():
            raise UserError(f"there is no {path}")
    run = next((path for path in (images, images.parent.parent) if (path / "config.yaml").is_file()), None)
    checkpoints = checkpoints_of(images)
    if checkpoints:  # refused before anything is looked for that it would need
        load_sampler(checkpoints[0])
    if reals is None and not (checkpoints and run):
        raise UserError(f"{images} is no run, nor a checkpoint in one: give a folder or zip of real images after it")
    if output is None and run is None:
        raise UserError("name a folder for the results with --output")
    if output and not run and output.resolve() in (images.resolve(), reals.resolve()):
        raise UserError(f"--output={output} would put pictures among the images: name another folder")
    files, source = None if checkpoints else PlainImages(images), reals or run
    against = data_of(source, data_root) if (source / "config.yaml").is_file() else PlainImages(source)
    if files and (size := files.image_shape[1:]) != against.image_shape[1:]:
        rank_zero_warn(
            f"{images} has images of {size[0]}x{size[1]} pixels, and {reals} others: "
            "what resizing does to them is measured, too"
        )
    return run, checkpoints, files, against


def networks_for(features: list[FeatureNetwork | nn.Module] | None, reals: Data | PlainImages) -> list[FeatureNetwork]:
    """The feature networks that were asked for, or those of the reals."""
    try:
        return feature_networks(features, reals.name, reals.image_shape)
    except UserError as error:
        raise UserError(f"{error}, or name another network with --features (see README)") from error


def checkpoints_of(path: Path) -> list[Path]:
    """The checkpoint itself, or all of a run directory; none if it is neither."""
    if path.suffix == ".ckpt":
        return [path]
    found = sorted(path.glob("checkpoints/*.ckpt"))
    if not found and (path / "config.yaml").is_file():
        raise UserError(f"{path} has no checkpoints yet")
    return found


def data_of(run: Path, root: str | None) -> Data:
    """The DataModule that a run was trained on."""
    config = read_config(run)["data"]
    package, _, name = config["class_path"].rpartition(".")
    if package.split(".")[0] != "datamodules" or name not in datamodules.__all__:
        raise UserError(f"the run's data are of {config['class_path']}: give a folder or zip of real images instead")
    arguments = dict(config.get("init_args") or {})
    if "download" in arguments:
        arguments["download"] = False
    if root is not None:
        arguments["root"] = root
    try:
        data = getattr(datamodules, name)(**arguments)
        data.setup()
    except UserError as error:
        raise UserError(str(error).replace("--data.root", "--data_root")) from error
    return data


def drawn_from(model: AdversarialModule, reals: Data | PlainImages, split: Split, count: int, seed: int) -> Generated:
    """A model's images, with labels drawn from those of the reals."""
    labels = None
    if model.num_classes and isinstance(reals, Data):
        labels = drawn_labels(reals.split(split)[1], count)
    return Generated(model, count, labels, seed)


def all_scores(
    fakes: Generated | PlainImages, reals: Data | PlainImages, protocols: list[Protocol]
) -> list[ScoreFactory]:
    """Those that these images allow; of few images KID takes smaller subsets, and some have none."""
    sizes = {len(fakes), *(protocol.n_fake for protocol in protocols)}
    for protocol in protocols:
        there = len(reals if isinstance(reals, PlainImages) else reals.split(protocol.reference)[0])
        sizes.add(min(there, protocol.n_real or there))
    few = [] if min(sizes) < FIDInterval.least else [Neighbours, FIDInterval, FIDInfinity]
    inception = all(isinstance(protocol.features or protocols[0].features, Inception) for protocol in protocols)
    scores = [partial(KID, subset_size=max(min(1000, min(sizes) // 2), 2)), *few, *[MiFID] * inception]
    if isinstance(reals, Data):
        scores += [*[DataCopying] * (protocols[0].reference == "train"), *[ModeCoverage] * (reals.num_classes > 0)]
    if isinstance(fakes, Generated):
        scores += [PathLength, *[ClassFID] * (fakes.labels is not None)]
    return scores


def write(results: dict[str, Evaluated], folder: Path) -> None:
    """evaluation.json and the pictures."""
    hashed = {short_hash(made): made for result in results.values() for made in result.descriptions.values()}
    values = {
        name: {
            metric: {"value": value, "protocol": short_hash(result.descriptions[metric])}
            for metric, value in result.values.items()
        }
        for name, result in results.items()
    }
    with replacing(folder / "evaluation.json") as temporary:
        sources = {name: result.source for name, result in results.items()}
        temporary.write_text(json.dumps({"of": sources, "values": values, "protocols": hashed}, indent=1))
    for name, result in results.items():
        fake, real = (images.expand(-1, 3, -1, -1) for images in result.pairs)
        pairs = torch.stack([fake, resize(real, list(fake.shape[2:]))], dim=1).flatten(0, 1)
        for title, images in {"nearest": pairs, "classes": result.by_class}.items():
            if images is not None:
                grid = image_grid(images, 8)
                if title == "nearest":
                    grid = captioned(grid, "each fake, and right of it its nearest real image")
                with replacing(folder / f"{title}-{name}.png") as temporary:
                    save_image(grid, temporary, format="png")
    draw_plane({name: result.values for name, result in results.items()}, folder / "precision-recall.png")


def captioned(picture: Tensor, words: str, height: int = 24) -> Tensor:
    """A picture (3, H, W) in [0, 1] below a line of words."""
    line = Image.new("RGB", (picture.shape[2], height), "white")
    ImageDraw.Draw(line).text((4, 4), words, "black", ImageFont.load_default(14))
    return torch.cat([to_tensor(line), picture], dim=1)


def draw_plane(results: dict[str, dict[str, float]], path: Path) -> None:
    """How real the fakes look, over how much of the reals they make; a point for each set and network."""
    from matplotlib.figure import Figure  # half a second

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    for place, (across, up) in enumerate((("recall", "precision"), ("coverage", "density")), start=1):
        axes = figure.add_subplot(1, 2, place)
        for name, values in results.items():
            for suffix in [key.removeprefix(across) for key in values if key.startswith(f"{across}_")]:
                axes.plot(values[across + suffix], values[up + suffix], "o", label=f"{name} ({suffix[1:]})")
        axes.set(xlabel=across, ylabel=up, xlim=(-0.03, 1.03))
        axes.set_ylim(-0.03, max(1.03, axes.get_ylim()[1]))
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def table(results: dict[str, Evaluated]) -> str:
    """A line for each value, a column for each set of fakes and one for the protocol; then the protocols."""
    made = {name: one for result in results.values() for name, one in result.descriptions.items()}
    rows = [["", *results, "protocol"]]
    for name, description in made.items():
        values = (result.values.get(name) for result in results.values())
        rows.append([name, *("" if one is None else f"{one:.5g}" for one in values), short_hash(description)])
    legend = {short_hash(description): described(description) for description in made.values()}
    return "\n".join(
        [
            *aligned(rows),
            *(f"protocol {digest}: {words}" for digest, words in legend.items()),
        ]
    )
