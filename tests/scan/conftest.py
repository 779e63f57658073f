"""Folders, archives and manifests of all sorts, made by code."""

import io
import tarfile
import zipfile

import cv2
import numpy as np
import pytest

from detectorkit.datasets import make_upsampling_images


@pytest.fixture(scope="session")
def model(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    fitted.save(path)
    return str(path)


@pytest.fixture(scope="session")
def contents():
    """Images in several formats, by the names of their files."""
    data = make_upsampling_images(n_samples=40, random_state=3).data
    suffixes = (".png", ".jpg", ".webp", ".bmp")
    names = [f"{index:02}{suffixes[index % 4]}" for index in range(len(data))]
    return {
        name: cv2.imencode(name[2:], np.ascontiguousarray(image[..., ::-1]))[1].tobytes()
        for name, image in zip(names, data, strict=True)
    }


def pack_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def pack_tar(path, members):
    mode = "w:" if path.suffix == ".tar" else f"w:{path.suffix[1:]}"
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="session")
def write_zip():
    return pack_zip


@pytest.fixture(scope="session")
def write_tar():
    return pack_tar


@pytest.fixture
def tree(tmp_path, contents):
    """A folder with folders, archives, broken files and files that are no images."""
    place = tmp_path / "tree"
    (place / "b" / "deep").mkdir(parents=True)
    names = list(contents)
    for name in names[:12]:
        (place / name).write_bytes(contents[name])
    for name in names[12:20]:
        (place / "b" / "deep" / name).write_bytes(contents[name])
    (place / "b" / "broken.jpg").write_bytes(contents["01.jpg"][:300])
    (place / "b" / "empty.png").touch()
    (place / "b" / "notes.txt").write_text("nothing")
    (place / "z").symlink_to(place / "b")  # the same folder again
    pack_zip(place / "c.zip", {name: contents[name] for name in names[20:30]})
    pack_tar(place / "d.tar.gz", {name: contents[name] for name in names[30:]})
    return place
