"""Published networks from staged weights (random ones here), and their resizes."""

import pickle
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_clip import CLIPVisual, FeatureExtractorCLIP
from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from lit_gans.errors import UserError
from lit_gans.files import cache_dir
from lit_gans.metrics import CLIP, DINOv2, foundation
from lit_gans.metrics.resize import RESIZES, Resized
from lit_gans.metrics.staging import sha256_of, staged
from lit_gans.randomness import keyed_generator

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")  # CLIP is published as such an archive


def levels_of(*shape):
    return torch.randint(0, 256, shape, generator=keyed_generator("levels")).to(torch.uint8)


def weights_of(name, *shape):
    return torch.randn(shape, generator=keyed_generator("weights", name)) / 10


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Torch hub's folder of weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def published(tmp_path):
    """A published file, its URL and its digest."""
    path = tmp_path / "there" / "net.pth"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    return path, path.as_uri(), sha256(b"weights").hexdigest()


def test_weights_are_fetched_once(published, hub):
    path, url, digest = published
    own = cache_dir() / "features" / "net.pth"
    assert staged(url, digest, fetch=True) == own
    path.unlink()
    assert staged(url, digest[:8]) == own
    assert own.read_bytes() == b"weights"
    assert sha256_of(own) == digest


def test_weights_are_taken_from_torch_hub(published, hub):
    path, url, digest = published
    (hub / "other.pth").write_bytes(path.read_bytes())
    assert staged(url, digest, name="other.pth", fetch=True) == hub / "other.pth"
    assert not cache_dir().exists()


def test_missing_weights_say_what_to_do(published, hub):
    _, url, digest = published
    with pytest.raises(UserError, match="net.pth are needed: download") as caught:
        staged(url, digest)
    assert f"download {url} to {cache_dir() / 'features' / 'net.pth'}" in str(caught.value)
    with pytest.raises(UserError, match=r"could not be fetched \(.*absent.pth.*: download file:"):
        staged(url.replace("net", "absent"), digest, fetch=True)


def test_other_files_are_refused(published, hub):
    path, url, digest = published
    path.write_bytes(b"something")
    with pytest.raises(UserError, match=r"could not be fetched \(what came was another file\)"):
        staged(url, digest, fetch=True)
    assert not list(cache_dir().rglob("*.*"))
    (hub / "net.pth").write_bytes(b"half")
    with pytest.raises(UserError, match=f"{hub}/net.pth is damaged or another file .* delete it and download {url}"):
        staged(url, digest)


@pytest.mark.parametrize(("size", "height", "width"), [(48, 20, 31), (17, 40, 64)])
def test_clean_resize_is_pillows_on_floats(size, height, width):
    levels = levels_of(2, 3, height, width)
    levels[0, 0] = 255 * (torch.arange(width) > width // 2)
    planes = [Image.fromarray(plane.numpy().astype(np.float32)) for plane in levels.flatten(0, 1)]
    pillow = np.stack([np.asarray(plane.resize((size, size), Image.Resampling.BICUBIC)) for plane in planes])
    expected = torch.from_numpy(pillow).view(2, 3, size, size).clamp(0, 255)  # as clean-fid does since 2022
    found = Resized(size, [0.0] * 3, [1.0] * 3, "clean")(levels)
    assert (found - expected).abs().max() < 2e-3  # of 255
    assert (found - found.round()).abs().max() > 0.4
    assert (found == 0).any()  # where bicubic overshoots
    first = Resized(size, [0.0] * 3, [1.0] * 3, "tf1")(levels)
    port = interpolate_bilinear_2d_like_tensorflow1x(levels.float(), (size, size), align_corners=False)
    assert torch.equal(first, port)


def test_resized_scales_each_colour_and_repeats_grey():
    resized = Resized(8, [1.0, 2.0, 3.0], [2.0, 4.0, 8.0], "tf1")
    colours, grey = levels_of(2, 3, 8, 8), levels_of(2, 1, 8, 8)
    expected = [(colours[:, i].float() - mean) / std for i, (mean, std) in enumerate([(1, 2), (2, 4), (3, 8)])]
    assert torch.equal(resized(colours), torch.stack(expected, 1))
    assert torch.equal(resized(grey), resized(grey.expand(-1, 3, -1, -1)))
    with pytest.raises(UserError, match="1 or 3 channels, not of 2"):
        resized(levels_of(2, 2, 8, 8))
    with pytest.raises(UserError, match="one of tf1, clean, not 'lanczos'"):
        Resized(8, [0.0] * 3, [1.0] * 3, "lanczos")


@pytest.fixture
def clip(monkeypatch):
    """Stages a small CLIP, in the form of the published ones; gives its path."""
    with torch.random.fork_rng(devices=[]):
        model = CLIPVisual(16, 28, vision_layers=2, vision_width=64, vision_patch_size=14)
    archive = nn.Module()
    for name in [*model.state_dict(), "text_projection"]:
        shape = model.state_dict()[name].shape if name in model.state_dict() else (8, 16)
        *folders, leaf = name.split(".")
        place = archive
        for folder in folders:
            if not hasattr(place, folder):
                place.add_module(folder, nn.Module())
            place = getattr(place, folder)
        place.register_parameter(leaf, nn.Parameter(weights_of(name, *shape).half()))
    path = cache_dir() / "features" / "clip.pt"
    path.parent.mkdir(parents=True)
    torch.jit.script(archive).save(path)
    digest = sha256_of(path)
    monkeypatch.setitem(foundation.MODEL_METADATA["clip-vit-b-32"], "hash", digest)
    return path.rename(path.with_name(f"clip-vit-b-32-{digest}.pt"))


def test_clip_is_torch_fidelitys(clip):
    state = torch.get_rng_state()
    network = CLIP(resize="tf1")
    assert torch.equal(torch.get_rng_state(), state)
    assert (network.name, network.num_features, network.num_classes) == ("clip_vit_b_32", 16, 0)
    assert network.sha256 == sha256_of(clip)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    port = FeatureExtractorCLIP("clip-vit-b-32", ["clip"], feature_extractor_weights_path=str(clip))
    for channels, side in [(3, 40), (1, 28)]:
        levels = levels_of(2, channels, side, side)
        features, logits = network(levels / 127.5 - 1)
        torch.testing.assert_close(features, port(levels.expand(-1, 3, -1, -1))[0], rtol=0, atol=2e-6)
        assert logits.shape == (2, 0)
    assert (CLIP().resize, network.resize) == (RESIZES["clean"], RESIZES["tf1"])
    assert not torch.allclose(CLIP()(levels_of(2, 3, 40, 40) / 127.5 - 1)[0], features)


def test_another_clip_is_not_even_opened(clip):
    clip.write_bytes(clip.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged or another file"):
        CLIP()
    clip.unlink()
    with pytest.raises(UserError, match=f"download https://openaipublic.* to {clip}"):
        CLIP()
    with pytest.raises(UserError, match=r"there is no CLIP 'vit'; choose one of rn50, .*vit-b-32"):
        CLIP("vit")


@pytest.fixture
def dinov2(monkeypatch):
    """Stages a DINOv2 of two blocks, in the form of the published ones; gives its weights."""
    width = 128
    shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 1 + 37 * 37, width), "mask_token": (1, width)}
    shapes |= {"patch_embed.proj.weight": (width, 3, 14, 14), "patch_embed.proj.bias": (width,)}
    for block in ("blocks.0.", "blocks.1."):
        for layer, rows, columns in [("attn.qkv", 3, 1), ("attn.proj", 1, 1), ("mlp.fc1", 4, 1), ("mlp.fc2", 1, 4)]:
            shapes[f"{block}{layer}.weight"] = rows * width, columns * width
            shapes[f"{block}{layer}.bias"] = (rows * width,)
        names = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "ls1.gamma", "ls2.gamma")
        shapes |= {block + name: (width,) for name in names}
    shapes |= {"norm.weight": (width,), "norm.bias": (width,)}
    state = {name: weights_of(name, *shape) * (3 if "gamma" in name else 1) for name, shape in shapes.items()}
    stage_dinov2(state, monkeypatch)
    return state


def stage_dinov2(content, monkeypatch):
    path = cache_dir() / "features" / "dinov2_vits14_pretrain.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    monkeypatch.setitem(foundation.DINOV2, "vits14", sha256_of(path))


def vision_transformer(images, state):
    """The class token that DINOv2's paper defines: pre-norm blocks of attention and MLP, each branch scaled."""

    def linear(x, name):
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)

    patches = F.conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=14)
    grid = state["pos_embed"][:, 1:].reshape(1, 37, 37, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, scale_factor=(16.1 / 37, 16.1 / 37), mode="bicubic").flatten(2).mT
    first = (state["cls_token"] + state["pos_embed"][:, :1]).expand(len(images), -1, -1)
    x = torch.cat([first, patches.flatten(2).mT + grid], 1)
    for block in ("blocks.0", "blocks.1"):
        parts = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv").chunk(3, -1)
        query, key, value = (part.unflatten(-1, (-1, 64)).transpose(1, 2) for part in parts)
        mixed = (query @ key.mT / 8).softmax(-1) @ value
        x = x + state[f"{block}.ls1.gamma"] * linear(mixed.transpose(1, 2).flatten(2), f"{block}.attn.proj")
        inner = F.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1"))
        x = x + state[f"{block}.ls2.gamma"] * linear(inner, f"{block}.mlp.fc2")
    return norm(x, "norm")[:, 0]


def test_dinov2_is_the_papers_network(dinov2, monkeypatch):
    state = torch.get_rng_state()
    network = DINOv2("vits14", resize="tf1")
    assert torch.equal(torch.get_rng_state(), state)
    assert (network.name, network.num_features, network.num_classes) == ("dinov2_vits14", 128, 0)
    assert network.sha256 == foundation.DINOV2["vits14"]
    assert not any(parameter.requires_grad for parameter in network.parameters())
    images = torch.randn(2, 3, 224, 224, generator=keyed_generator("images"))
    expected = vision_transformer(images, dinov2)
    torch.testing.assert_close(network.network(images), expected, rtol=0, atol=2e-5)
    monkeypatch.setattr(torch.hub, "load", lambda *arguments: network.network)  # what comes before it is the port's
    port, levels = FeatureExtractorDinoV2("dinov2-vit-s-14", ["dinov2"]), levels_of(2, 1, 32, 40)
    features, logits = network(levels / 127.5 - 1)
    torch.testing.assert_close(features, port(levels.expand(-1, 3, -1, -1))[0], rtol=0, atol=2e-6)
    assert logits.shape == (2, 0)
    assert (DINOv2("vits14").resize, network.resize) == (RESIZES["clean"], RESIZES["tf1"])


class Trap:
    def __reduce__(self):
        return (open, ("sprung", "w"))


def test_dinov2_runs_no_code_and_says_what_is_missing(dinov2, monkeypatch):
    stage_dinov2({"trap": Trap()}, monkeypatch)
    with pytest.raises(pickle.UnpicklingError):
        DINOv2("vits14")
    assert not Path("sprung").exists()
    with pytest.raises(UserError, match="download https://dl.*/dinov2_vitl14_pretrain.pth to .*/features/dinov2"):
        DINOv2()
    with pytest.raises(UserError, match="there is no DINOv2 'vitg14' here; choose one of vits14, vitb14, vitl14"):
        DINOv2("vitg14")
