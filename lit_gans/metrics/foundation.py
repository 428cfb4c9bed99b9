"""Networks trained on far more than ImageNet: their distances agree better with human judgement than Inception's."""

import math
from pathlib import Path
from warnings import catch_warnings, simplefilter

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_clip import MODEL_METADATA, MODEL_URLS, FeatureExtractorCLIP
from torchvision.models import VisionTransformer

from lit_gans.errors import UserError
from lit_gans.metrics.features import FeatureNetwork
from lit_gans.metrics.resize import Resize, Resized
from lit_gans.metrics.staging import staged


class CLIP(FeatureNetwork):
    """The image half of CLIP (Radford et al. 2021, arXiv:2103.00020), as torch-fidelity ports it; no logits.

    Kynkäänniemi et al. 2023 (arXiv:2203.06026) propose FID on its features. Images are squeezed to the square that the
    model reads; resize="tf1" gives torch-fidelity's numbers. The published file is a TorchScript archive, and reading
    one runs the code in it: so only the file of the published SHA-256 is read, and only its weights are kept.

    Args:
        model: one of torch-fidelity's names without `clip-`: vit-b-32, vit-b-16, vit-l-14, rn50, ...
        resize: "clean" (bicubic, antialiased), near to what CLIP was trained with, or "tf1".

    Raises:
        UserError: there is no such model, or its weights are not in a cache; says what to download to which place.
    """

    num_classes = 0

    def __init__(self, model: str = "vit-b-32", resize: Resize = "clean") -> None:
        super().__init__()
        published = f"clip-{model}"
        if published not in MODEL_METADATA:
            names = ", ".join(name.removeprefix("clip-") for name in MODEL_METADATA)
            raise UserError(f"there is no CLIP {model!r}; choose one of {names}")
        self.name, self.sha256 = published.replace("-", "_"), MODEL_METADATA[published]["hash"]
        path = staged(MODEL_URLS[published], self.sha256, name=f"{published}-{self.sha256}.pt")  # torch-fidelity's name
        with torch.random.fork_rng(devices=[]), catch_warnings():  # its initialisation draws, TorchScript is deprecated
            simplefilter("ignore", FutureWarning)
            port = FeatureExtractorCLIP(published, ["clip"], feature_extractor_weights_path=str(path))
        self.network: nn.Module = port.model.visual
        self.num_features = self.network.output_dim
        mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
        self.input = Resized(port.resolution, [255 * x for x in mean], [255 * x for x in std], resize)
        self.resize = self.input.says
        self.eval().requires_grad_(False)

    def embed(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images (N, 1 or 3, H, W), uint8, to the embedding (N, num_features) and no logits (N, 0)."""
        features = self.network(self.input(levels))
        return features, features[:, :0]


# SHA-256 of the files at dl.fbaipublicfiles.com, whose names do not tell it.
DINOV2 = {
    "vits14": "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
    "vitb14": "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
    "vitl14": "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
}


class DINOv2(FeatureNetwork):
    """DINOv2 (Oquab et al. 2023, arXiv:2304.07193): features are the normed class token; no logits.

    Stein et al. 2023 (arXiv:2306.04675) propose FID on those of `vitl14` and Pillow's bicubic resize, of which "clean"
    is the unrounded form; resize="tf1" gives torch-fidelity's numbers. Images are squeezed to 224 x 224. torch-fidelity
    takes the network from torch hub, which runs whatever Python code lies in its cache; here the published weights are
    read as tensors only, into torchvision's vision transformer. The giant model's layers are none of torchvision's.

    Args:
        model: one of `DINOV2`, by torch hub's names.
        resize: "clean" (bicubic, antialiased) or "tf1".

    Raises:
        UserError: there is no such model, or its weights are not in a cache; says what to download to which place.
    """

    num_classes = 0

    def __init__(self, model: str = "vitl14", resize: Resize = "clean") -> None:
        super().__init__()
        if model not in DINOV2:
            raise UserError(f"there is no DINOv2 {model!r} here; choose one of {', '.join(DINOV2)}")
        self.name, self.sha256 = f"dinov2_{model}", DINOV2[model]
        path = staged(f"https://dl.fbaipublicfiles.com/dinov2/{self.name}/{self.name}_pretrain.pth", self.sha256)
        self.network = _transformer(path)
        self.num_features = self.network.hidden_dim
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        self.input = Resized(224, [255 * x for x in mean], [255 * x for x in std], resize)
        self.resize = self.input.says
        self.eval().requires_grad_(False)

    def embed(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images (N, 1 or 3, H, W), uint8, to the embedding (N, num_features) and no logits (N, 0)."""
        features = self.network(self.input(levels))
        return features, features[:, :0]


# What the published file calls things, and torchvision.
NAMES = {
    "cls_token": "class_token",
    "pos_embed": "encoder.pos_embedding",
    "patch_embed.proj": "conv_proj",
    "blocks.": "encoder.layers.encoder_layer_",
    "norm1": "ln_1",
    "norm2": "ln_2",
    "norm.": "encoder.ln.",
    "attn.qkv.": "self_attention.in_proj_",
    "attn.proj": "self_attention.out_proj",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.3",
}


def _transformer(path: Path) -> VisionTransformer:
    """A transformer of torchvision for images of 224 pixels, with the weights of a published DINOv2."""
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    del state["mask_token"]  # of the training
    state["pos_embed"] = _positions(state["pos_embed"], 16)
    for key in [key for key in state if key.endswith("gamma")]:  # LayerScale: part of the linear layer before it
        layer = key.replace("ls1.gamma", "attn.proj").replace("ls2.gamma", "mlp.fc2")
        scale = state.pop(key)
        state[f"{layer}.weight"] = state[f"{layer}.weight"] * scale[:, None]
        state[f"{layer}.bias"] = state[f"{layer}.bias"] * scale
    for theirs, ours in NAMES.items():
        state = {key.replace(theirs, ours): value for key, value in state.items()}
    width, depth = state["class_token"].shape[-1], sum(key.endswith("ln_1.bias") for key in state)
    with torch.device("meta"):  # no memory, and above all no draw from the random state of the training
        network = VisionTransformer(224, 14, depth, width // 64, width, 4 * width)
    network.heads = nn.Identity()
    network.load_state_dict(state, assign=True)
    return network


def _positions(embedding: Tensor, side: int) -> Tensor:
    """The position embeddings (1, 1 + S * S, D) for side * side patches, resized as the published code does.

    Which adds 0.1 to the side, against rounding down, and samples at that scale.
    """
    old = math.isqrt(embedding.shape[1] - 1)
    grid = embedding[:, 1:].mT.unflatten(2, (old, old))
    grid = F.interpolate(grid, scale_factor=(side + 0.1) / old, mode="bicubic")
    return torch.cat([embedding[:, :1], grid.flatten(2).mT], 1)
