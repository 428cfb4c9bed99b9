import pickle
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch_fidelity.feature_extractor_inceptionv3 as fidelity_inception

from datamodules import Digits
from lit_gans.errors import UserError
from lit_gans.metrics import ImageQuality, Inception, SmallClassifier, features
from lit_gans.metrics.features import SHIPPED, default_features
from lit_gans.metrics.resize import RESIZES
from lit_gans.randomness import keyed_generator


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks(name):
    network = SmallClassifier(name)
    found, logits = network(torch.rand(3, 3, 33, 31) * 2 - 1)
    assert (found.shape, logits.shape) == ((3, network.num_features), (3, network.num_classes))
    assert found.dtype == logits.dtype == torch.float32
    assert network.train().training is False
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert float(network.metadata["test_accuracy"]) >= {"mnist": 0.99, "fashion_mnist": 0.91, "digits": 0.99}[name]
    assert (features.WEIGHTS / f"{name}.safetensors").stat().st_size < 410_000
    assert default_features(name)[0].sha256 == SHIPPED[name]


def test_the_stated_accuracy_is_found_again():
    network = SmallClassifier("digits")
    images, labels = Digits().split("test")
    share = (network(images / 127.5 - 1)[1].argmax(1) == labels).float().mean().item()
    assert f"{share:.4f}" == network.metadata["test_accuracy"]
    assert len(labels) == int(network.metadata["test_images"])


def test_a_changed_weights_file_is_refused(tmp_path, monkeypatch):
    content = bytearray((features.WEIGHTS / "digits.safetensors").read_bytes())
    content[-5] ^= 1
    (tmp_path / "digits.safetensors").write_bytes(content)
    monkeypatch.setattr(features, "WEIGHTS", tmp_path)
    with pytest.raises(UserError, match="not the published file"):
        SmallClassifier("digits")


def test_unknown_network():
    with pytest.raises(UserError, match=r"'cifar'.*mnist"):
        SmallClassifier("cifar")


def test_images_are_read_at_256_levels():
    network = SmallClassifier("digits")
    levels = torch.randint(0, 256, (4, 1, 8, 8), generator=keyed_generator("levels"))
    exact = network(levels / 127.5 - 1)
    for offset in (0.1, -0.1, 0.45):
        assert torch.equal(network((levels + offset) / 127.5 - 1)[0], exact[0])
    assert not torch.equal(network((levels + 0.6) / 127.5 - 1)[0], exact[0])


def test_features_are_float32_under_autocast():
    network, images = SmallClassifier("digits"), torch.rand(4, 1, 8, 8) * 2 - 1
    exact = network(images)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network(images)[0], exact)


def test_building_a_network_draws_no_random_number():
    state = torch.get_rng_state()
    SmallClassifier("digits")
    assert torch.equal(torch.get_rng_state(), state)


def test_missing_inception_weights_without_a_network(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("no network here")

    monkeypatch.setenv("LIT_GANS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UserError) as caught:
        default_features("celeba")
    message = str(caught.value)
    assert "\n" not in message
    assert f"{fidelity_inception.URL_INCEPTION_V3} to {tmp_path}" in message
    assert not list(Path(tmp_path).rglob("*.pth*"))
    with pytest.raises(UserError, match=r"or measure nothing with --metrics.features=\[\]"):
        ImageQuality().protocols(SimpleNamespace(name="celeba", image_shape=(3, 8, 8)), torch.nn.Identity())


class Trap:
    def __reduce__(self):
        return (open, ("sprung", "w"))


def test_inception_weights_run_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"trap": Trap()}, "trap.pth")
    Path("pickle.pth").write_bytes(pickle.dumps(Trap(), protocol=2))
    torch.save({"weight": torch.zeros(3)}, "other.pth")
    Path("empty.pth").touch()
    for name in ("trap.pth", "pickle.pth", "other.pth", "empty.pth"):
        with pytest.raises(UserError, match=f"{re.escape(name)} does not hold Inception weights"):
            Inception(name)
    with pytest.raises(UserError, match="no file"):
        Inception("nowhere.pth")
    assert not Path("sprung").exists()


def test_a_damaged_published_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LIT_GANS_CACHE", str(tmp_path))
    path = tmp_path / "features" / fidelity_inception.URL_INCEPTION_V3.rpartition("/")[2]
    path.parent.mkdir()
    path.write_bytes(b"half a download")
    with pytest.raises(UserError, match="damaged"):
        Inception()


@pytest.mark.slow
def test_inception_is_torch_fidelitys(tmp_path, monkeypatch):
    extractor = fidelity_inception.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch:
        patch.setattr(fidelity_inception, "load_state_dict_from_url", lambda *arguments, **options: {})
        patch.setattr(extractor, "load_state_dict", lambda self, state: None)
        published = extractor("inception-v3-compat", ["2048", "logits_unbiased"])
    path = str(tmp_path / "weights.pth")
    torch.save(published.state_dict(), path)
    state = torch.get_rng_state()
    network = Inception(path)
    assert torch.equal(torch.get_rng_state(), state)
    for channels in (1, 3):
        levels = torch.randint(0, 256, (2, channels, 32, 40), generator=keyed_generator("levels")).to(torch.uint8)
        assert all(map(torch.equal, network(levels / 127.5 - 1), published(levels.expand(-1, 3, -1, -1))))
    assert len(network.sha256) == 64
    assert not any(parameter.requires_grad for parameter in network.parameters())
    clean = Inception(path, resize="clean")
    assert (network.resize, clean.resize) == (RESIZES["tf1"], RESIZES["clean"])
    assert not torch.allclose(network(levels / 127.5 - 1)[0], clean(levels / 127.5 - 1)[0], rtol=0.01)
    levels = torch.randint(0, 256, (1, 3, 299, 299), generator=keyed_generator("levels")).to(torch.uint8)
    for found, expected in zip(clean(levels / 127.5 - 1), published(levels), strict=True):  # nothing to resize
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
