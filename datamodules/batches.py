"""What a batch is made of."""

from typing import NamedTuple

from torch import Tensor


class Labelled(NamedTuple):
    """Images and their classes.

    Attributes:
        image: float32, (N, C, H, W), in [-1, 1].
        label: int64, (N,), in 0..num_classes-1; all 0 where the data has no classes.
    """

    image: Tensor
    label: Tensor
