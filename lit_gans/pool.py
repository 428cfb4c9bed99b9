"""Earlier images for the discriminator."""

from typing import Any

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Hands out images as they come until it is full, then in half of the cases an earlier one, which it replaces.

    So the discriminator does not forget what the generator made before (Shrivastava et al., 2017, arXiv:1612.07828,
    section 2.3; CycleGAN, arXiv:1703.10593, section 4). Devices that put in the same images in the same order have the
    same pool, which is in the checkpoint.

    Args:
        size: Images kept; 0 for none, which hands out what comes.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.kept: list[Tensor] = []

    @torch.no_grad()
    def forward(self, images: Tensor, chance: Tensor) -> Tensor:
        """As many images as come.

        Args:
            images: (N, C, H, W).
            chance: (2, N), uniform in [0, 1): an earlier image is handed out where the first is above a half, and the
                second says which.
        """
        if not self.size:
            return images
        handed_out = []
        for image, (exchange, place) in zip(images, chance.T.tolist(), strict=True):
            if len(self.kept) < self.size:
                self.kept.append(image.clone())
            elif exchange > 0.5:
                index = int(place * self.size)
                image, self.kept[index] = self.kept[index].to(image), image.clone()
            handed_out.append(image)
        return torch.stack(handed_out)

    def get_extra_state(self) -> list[Tensor]:
        """The images kept: no buffers, which devices would average."""
        return list(self.kept)

    def set_extra_state(self, state: Any) -> None:
        """Takes them up again."""
        self.kept = list(state)
