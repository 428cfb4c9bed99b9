"""How a number is made: without that it compares with nothing."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Literal

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only

from lit_gans.errors import UserError
from lit_gans.files import replacing
from lit_gans.metrics.custom import is_published
from lit_gans.metrics.features import FeatureNetwork
from lit_gans.metrics.inception import Inception

Split = Literal["train", "test"]
Description = dict[str, str | int | float | bool]
"""What a protocol came to in a run: only equal ones may share a column."""


class Protocol:
    """Which images are compared, and by which network.

    Args:
        name: Suffix of the metrics' names, such as `val/fid_inception_<name>`.
        features: The network; None for the one of the data.
        n_real: Number of reals, the first ones; all there are if there are fewer, or if it is None.
        n_fake: Number of fakes.
        reference: Split of the reals.

    Raises:
        UserError: too few images, or a name that is none.
    """

    def __init__(
        self,
        *,
        name: str = "",
        features: FeatureNetwork | None = None,
        n_real: int | None = 10_000,
        n_fake: int = 10_000,
        reference: Split = "train",
    ) -> None:
        if n_fake < 2 or n_real is not None and n_real < 2:
            raise UserError(f"FID needs at least 2 real and 2 fake images, not {n_real=}, {n_fake=}")
        if name and not name.isidentifier():
            raise UserError(f"the name of a protocol is part of the metrics' names: letters and digits, not {name!r}")
        self.name, self.features = name, features
        self.n_real, self.n_fake, self.reference = n_real, n_fake, reference


class Lucic2018(Protocol):
    """10,000 fakes against 10,000 test images, by Inception (Lucic et al., 2018, arXiv:1711.10337, section 5).

    Grey images are repeated to three channels; TensorFlow's resize.

    Args:
        weights: A file of Inception's weights; see `Inception`.
    """

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(name="lucic2018", features=Inception(weights), reference="test")


class StyleGANProtocol(Protocol):
    """50,000 fakes against all training images, by Inception (Karras et al., 2018, arXiv:1812.04948, table 1).

    TensorFlow's resize. Of larger data the paper takes 50,000 images, and later ones of its authors all, as here.

    Args:
        weights: A file of Inception's weights; see `Inception`.
    """

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(name="stylegan", features=Inception(weights), n_real=None, n_fake=50_000)


class CleanProtocol(Protocol):
    """50,000 fakes against all training images, resized as in clean-fid (Parmar et al., 2022, arXiv:2104.11222).

    Args:
        weights: A file of Inception's weights; see `Inception`.
    """

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(name="clean", features=Inception(weights, resize="clean"), n_real=None, n_fake=50_000)


def short_hash(description: Description) -> str:
    """Eight digits for a description."""
    return sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:8]


@rank_zero_only
def tell(trainer: Trainer, descriptions: Mapping[str, Description]) -> None:
    """Says beside the logged numbers how they were made: in `protocols.json` of the run directory, and to the loggers.

    Numbers that only an earlier part of the run had, or another callback has, stay told.

    Args:
        trainer: Of the run.
        descriptions: How each was made, by the name that it is logged by.
    """
    path = Path(trainer.default_root_dir) / "protocols.json"
    told = {"values": {}, "protocols": {}}
    with suppress(OSError, ValueError):
        told |= json.loads(path.read_text())
    values = told["values"] | {name: short_hash(made) for name, made in descriptions.items()}
    known = told["protocols"] | {short_hash(made): made for made in descriptions.values()}
    both = {"values": values, "protocols": {one: known[one] for one in values.values() if one in known}}
    if told != both:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(both, indent=1))
    for logger in trainer.loggers:
        if hasattr(logger, "log_protocols"):
            logger.log_protocols(values)


def by_network(protocols: Sequence[Protocol]) -> list[tuple[FeatureNetwork, list[Protocol]]]:
    """The protocols of each network, so that an image passes equal ones once; those without have that of the first.

    Raises:
        UserError: two would have one name, or one has no network.
    """
    groups: dict[object, tuple[FeatureNetwork, list[Protocol]]] = {}
    names: list[tuple[str, str]] = []
    for protocol in protocols:
        network = protocol.features or protocols[0].features
        if network is None:
            raise UserError(f"the protocol {protocol.name!r} has no feature network: give it `features`")
        if (network.name, protocol.name) in names:
            raise UserError(
                f"two protocols would both be called fid_{network.name}{'_' * bool(protocol.name)}{protocol.name}: "
                "give one of them another `name` (that of an own module is its class)"
            )
        names.append((network.name, protocol.name))
        same = (network.name, network.sha256, network.resize) if is_published(network) else id(network)
        groups.setdefault(same, (network, []))[1].append(protocol)
    return list(groups.values())
