"""Sets known by name: fetched once, checked, never half there."""

import hashlib
import io
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules import PairedImages, UnpairedImages, published
from lit_gans.errors import UserError
from lit_gans.run import run_name
from tests.test_run import config


def archive(name):
    """An archive as CycleGAN's authors make them."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for folder, side in ((folder, side) for folder in ("train", "test") for side in "AB"):
            for number in range(3):
                picture = io.BytesIO()
                Image.fromarray(np.full((20, 20, 3), 40 * number + (side == "B"), np.uint8)).save(picture, "png")
                file.writestr(f"{name}/{folder}{side}/{number}_{side}.png", picture.getvalue())
        file.writestr("../outside.png", b"nothing that is ever written")
    return content.getvalue()


class Quiet(SimpleHTTPRequestHandler):
    asked = []

    def log_message(self, *args):
        self.asked.append(self.path)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves the archives of facades and horse2zebra; what was asked for is in `Quiet.asked`."""
    folder = tmp_path / "server" / "cyclegan" / "datasets"
    folder.mkdir(parents=True)
    Quiet.asked.clear()
    for name in ("facades", "horse2zebra"):
        (folder / f"{name}.zip").write_bytes(content := archive(name))
        monkeypatch.setitem(published.CYCLEGAN, name, hashlib.sha256(content).hexdigest())
    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "server"))
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(published, "PLACE", f"http://127.0.0.1:{running.server_port}")
    yield folder
    running.shutdown()
    running.server_close()


def files():
    return sorted(path.as_posix() for path in Path("data").rglob("*") if path.is_file())


SMALL = {"image_size": 16, "batch_size": 2}


def test_a_set_is_fetched_once_and_stays_packed(server):
    data = UnpairedImages(dataset="horse2zebra", **SMALL)
    assert data.name == "horse2zebra"
    assert not Quiet.asked  # before it is needed
    data.prepare_data()
    assert files() == ["data/horse2zebra.zip"]
    assert data.split("train")[0][:, 0, 0, 0].tolist() == [1, 41, 81]
    UnpairedImages(dataset="horse2zebra", download=False, **SMALL).setup()
    assert len(Quiet.asked) == 1
    assert not Path("outside.png").exists()


def test_a_set_of_pairs_is_paired_by_name(server, tmp_path):
    data = PairedImages(dataset="facades", root=str(tmp_path / "elsewhere"), direction="ba", **SMALL)
    data.setup()
    assert (tmp_path / "elsewhere" / "facades.zip").exists()
    batch = next(iter(data.train_dataloader()))
    assert ((batch.source - batch.target) * 127.5).round().unique().tolist() == [1.0]


def test_an_unpacked_folder_will_do(server, tmp_path):
    with zipfile.ZipFile(server / "facades.zip") as file:
        for name in file.namelist()[:-1]:
            file.extract(name, tmp_path / "data")
    PairedImages(dataset="facades", **SMALL).setup()
    assert not Quiet.asked


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content + b"x", lambda content: b""])
def test_what_is_not_what_was_published_is_refused(server, damage):
    path = server / "facades.zip"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="facades not found in .*what came is another file, of SHA-256") as caught:
        PairedImages(dataset="facades", **SMALL).setup()
    assert "\n" not in str(caught.value)
    assert not files()


def test_a_server_that_has_it_not_or_is_not_there(server, monkeypatch):
    (server / "facades.zip").unlink()
    with pytest.raises(
        UserError, match=r"facades not found .* \(HTTP Error 404: .*\): set --data.root to where facades"
    ):
        PairedImages(dataset="facades").setup()
    monkeypatch.setattr(published, "PLACE", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="horse2zebra not found .* and not downloaded .*refused"):
        UnpairedImages(dataset="horse2zebra").setup()
    with pytest.raises(UserError, match="facades not found .*: give --data.download=true, or set --data.root"):
        PairedImages(dataset="facades", download=False).setup()
    assert not files()


def test_names_of_sets():
    for cls, name, message in (
        (PairedImages, "horse2zebra", "there is no data.dataset='horse2zebra': choose from facades, maps"),
        (UnpairedImages, "horses", "choose from digits, apple2orange, cezanne2photo, "),
        (PairedImages, "edges2shoes", "edges2shoes is not fetched by name: unpack http://.*/edges2shoes.tar.gz"),
    ):
        with pytest.raises(UserError, match=message):
            cls(dataset=name)
    assert set(published.PAIRED) < set(published.CYCLEGAN)
    assert all(len(bytes.fromhex(digest)) == 32 for digest in published.CYCLEGAN.values())
    assert PairedImages(dataset="maps").image_shape == UnpairedImages(dataset="maps").image_shape == (3, 256, 256)


def test_a_run_of_a_named_set_does_not_depend_on_where_it_is():
    def run(root, dataset):
        return run_name(config("PairedImages", root=root, dataset=dataset, download=True))

    assert run("here", "maps") == run("there", "maps") != run("here", "facades")
    assert len({run(root, None) for root in ("here", "there", None)}) == 3
