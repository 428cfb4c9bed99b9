"""Digits, MNIST, FashionMNIST and CIFAR10, against scikit-learn and torchvision reading the same files."""

import hashlib
import pickle
import struct
import subprocess
import sys
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from sklearn.datasets import load_digits
from torchvision.transforms.v2.functional import pil_to_tensor, resize

from datamodules import CIFAR10, MNIST, Digits, FashionMNIST
from lit_gans.errors import UserError

COUNTS = {"train": 60, "test": 30}


def write_idx(path, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


def write_mnist(root, title):
    raw = root / title / "raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for prefix, count in (("train", COUNTS["train"]), ("t10k", COUNTS["test"])):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", random.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", random.integers(0, 10, count, dtype=np.uint8))
    return raw


def write_cifar(root, monkeypatch):
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    source = torchvision.datasets.CIFAR10

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return name, hashlib.md5((folder / name).read_bytes()).hexdigest()

    def write_batch(name, count):
        data = random.integers(0, 256, (count, 3 * 32 * 32), dtype=np.uint8)
        return write(name, {"data": data, "labels": random.integers(0, 10, count).tolist()})

    monkeypatch.setattr(source, "train_list", [write_batch(f"data_batch_{number}", 12) for number in range(1, 6)])
    monkeypatch.setattr(source, "test_list", [write_batch("test_batch", 30)])
    name, checksum = write("batches.meta", {"label_names": [str(number) for number in range(10)]})
    monkeypatch.setattr(source, "meta", {**source.meta, "filename": name, "md5": checksum})
    return folder


@pytest.fixture(params=[MNIST, FashionMNIST, CIFAR10])
def data_class(request, tmp_path, monkeypatch):
    if request.param is CIFAR10:
        write_cifar(tmp_path, monkeypatch)
    else:
        write_mnist(tmp_path, request.param.__name__)
    return request.param


@pytest.mark.parametrize("split", ["train", "test"])
def test_bytes_are_those_of_torchvision(data_class, tmp_path, split):
    data = data_class(root=str(tmp_path), batch_size=16, download=False)
    theirs = getattr(torchvision.datasets, data_class.__name__)(tmp_path, train=split == "train")
    images, labels = data.split(split)
    assert len(images) == len(theirs) == COUNTS[split]
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert images.shape[1:] == data.image_shape
    assert all(torch.equal(image, pil_to_tensor(their)) for image, (their, _) in zip(images, theirs, strict=True))
    assert labels.tolist() == [label for _, label in theirs]
    batches = torch.cat([batch.image for batch in data.reference_dataloader(split)])
    assert torch.equal(((batches + 1) * 127.5).round().to(torch.uint8), images)
    assert batches.min() >= -1
    assert batches.max() <= 1


def test_other_sizes_are_antialiased(data_class, tmp_path):
    data = data_class(root=str(tmp_path), image_size=16)
    native = data_class(root=str(tmp_path)).split("train")[0]
    assert data.image_shape[1:] == (16, 16)
    assert torch.equal(data.split("train")[0], resize(native, [16, 16], antialias=True))


def test_shapes_are_known_without_data():
    facts = [(data.name, data.image_shape, data.num_classes) for data in (Digits(), MNIST(), FashionMNIST(), CIFAR10())]
    assert facts == [
        ("digits", (1, 8, 8), 10),
        ("mnist", (1, 28, 28), 10),
        ("fashion_mnist", (1, 28, 28), 10),
        ("cifar10", (3, 32, 32), 10),
    ]


def test_missing_data_says_where_and_what_to_do(tmp_path):
    for data in (MNIST(root=str(tmp_path), download=False), CIFAR10(root=str(tmp_path), download=False)):
        with pytest.raises(UserError, match=f"not found in {tmp_path}.*--data.root.*--data.download=true") as caught:
            data.prepare_data()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("failure", [URLError("no route"), RuntimeError("Tried\nno route"), TimeoutError("no route")])
def test_no_network_says_so_in_one_line(tmp_path, monkeypatch, failure):
    def fail(*args, **kwargs):
        raise failure

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", fail)
    with pytest.raises(UserError, match=f"MNIST not found in {tmp_path} and not downloaded .*no route") as caught:
        MNIST(root=str(tmp_path)).prepare_data()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 3, 1000])
def test_truncated_mnist_file_is_named(tmp_path, length):
    path = write_mnist(tmp_path, "MNIST") / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match="damaged file .*t10k-images-idx3-ubyte"):
        MNIST(root=str(tmp_path)).prepare_data()


def test_labels_must_be_as_many_as_images(tmp_path):
    write_idx(write_mnist(tmp_path, "MNIST") / "train-labels-idx1-ubyte", np.zeros(59, dtype=np.uint8))
    with pytest.raises(UserError, match="60 images but 59 labels"):
        MNIST(root=str(tmp_path)).prepare_data()


def test_changed_cifar_file_is_named(tmp_path, monkeypatch):
    path = write_cifar(tmp_path, monkeypatch) / "data_batch_3"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged file .*data_batch_3"):
        CIFAR10(root=str(tmp_path), download=False).prepare_data()


def test_digits_are_those_of_scikit_learn():
    data = Digits()
    (train, train_labels), (test, test_labels) = data.split("train"), data.split("test")
    assert len(train) == 1500
    assert len(test) == 297
    assert test_labels.bincount().min() >= 29
    ours = torch.cat([train, test]).flatten(1)
    theirs = torch.from_numpy(load_digits().data).mul(255 / 16).round().to(torch.uint8)
    assert sorted(map(bytes, ours.numpy())) == sorted(map(bytes, theirs.numpy()))
    found = (theirs == test[0].flatten()).all(dim=1).nonzero()[0, 0]
    assert load_digits().target[found] == test_labels[0]
    assert train_labels.dtype == torch.int64


def test_digits_hold_out_does_not_depend_on_the_seed():
    assert torch.equal(Digits(seed=1).split("test")[0], Digits(seed=2).split("test")[0])


def test_importing_the_package_imports_no_torch():
    code = "import sys, datamodules; assert not {'torch', 'lightning', 'numpy'} & set(sys.modules); datamodules.Nothing"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "has no attribute 'Nothing'" in process.stderr
