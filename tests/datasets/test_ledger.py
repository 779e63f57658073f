"""The ledger of generated images: written whole, read as it was, safe to resume."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectorkit.datasets import Ledger, LedgerRow, load_images, read_ledger
from detectorkit.datasets.ledger import COLUMNS

ROW = LedgerRow(
    path="a/0.png",
    generator="dreambooth",
    subject="=cmd|' /C calc'!A0",
    seed=2**40,
    instance=("ab" * 32, "cd" * 32),
    prompt='a photo of "sks"\nperson, né à Gdańsk 🙂',
    negative_prompt="'-blurry",
    guidance_scale=7.5,
    num_inference_steps=50,
    scheduler="DDIMScheduler",
    width=512,
    height=512,
    base_model="runwayml/stable-diffusion-v1-5",
    adapter="ef" * 32,
    sha256="01" * 32,
    libraries={"diffusers": "0.35", "torch": "2.8"},
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def test_rows_come_back_as_they_were_and_are_a_manifest(tmp_path):
    ledger = Ledger(tmp_path / "new")
    assert ledger.rows() == []
    ledger.append([ROW, replace(ROW, path="a/1.png", seed=None, instance=(), libraries={})])
    assert read_ledger(ledger.path) == read_ledger(tmp_path / "new") == ledger.rows()
    assert ledger.rows()[0] == ROW
    header = ledger.path.read_text("utf-8").splitlines()[0]
    assert header.startswith("path,label,generator,family,source,subject,seed,instance,prompt,")
    found = load_images(ledger.path)
    assert found.data == [str(tmp_path / "new/a/0.png"), str(tmp_path / "new/a/1.png")]
    assert found.target.tolist() == [1, 1]
    assert found.metadata["seed"].tolist() == [str(2**40), ""]
    assert found.metadata["subject"][0] == f"'{ROW.subject}"  # no formula of a spreadsheet


@given(texts=st.lists(TEXT, min_size=5, max_size=5), seed=st.integers(0, 2**64))
@settings(max_examples=25, deadline=None)
def test_any_text_comes_back(tmp_path_factory, texts, seed):
    ledger = Ledger(tmp_path_factory.mktemp("ledger"))
    names = ("generator", "subject", "prompt", "negative_prompt", "scheduler")
    row = replace(ROW, seed=seed, **dict(zip(names, texts, strict=True)))
    ledger.append([row])
    assert ledger.rows() == [row]


def test_a_run_that_goes_on_keeps_the_rows_and_writes_each_image_once(tmp_path):
    Ledger(tmp_path).append([ROW])
    before = Ledger(tmp_path).path.stat().st_mtime_ns
    Ledger(tmp_path).append([replace(ROW, libraries={"torch": "2.9"})])
    assert Ledger(tmp_path).path.stat().st_mtime_ns == before
    Ledger(tmp_path).append(replace(ROW, path=f"{i}.png") for i in (1, 1, 2))
    assert [row.path for row in read_ledger(tmp_path)] == ["a/0.png", "1.png", "2.png"]
    with pytest.raises(ValueError, match=r"Ledger: .* for a/0.png, and the new row has 99.*Write"):
        Ledger(tmp_path).append([replace(ROW, path="3.png"), replace(ROW, sha256="99")])
    assert len(read_ledger(tmp_path)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.csv"]  # nothing unfinished


def test_dicts_are_read_as_cells(tmp_path):
    Ledger(tmp_path).append([ROW.to_cells()])
    Ledger(tmp_path).append([{"path": "b.png", "generator": "x", "instance": ["e"], "seed": 3}])
    rows = read_ledger(tmp_path)
    assert rows[0] == ROW
    assert (rows[1].instance, rows[1].seed, rows[1].label) == (("e",), 3, 1)
    assert list(ROW.to_cells()) == list(COLUMNS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "/a.png"}, r"path='/a.png' must be the path of an image, relative"),
        ({"path": "=a.png"}, r"path='=a.png' looks like a formula. Begin it with './'"),
        ({"path": "\ud800.png"}, r"path='\\ud800.png' is not text in UTF-8"),
        ({"prompt": "a" * 200_000}, r"prompt of a/0.png has 200000 characters"),
        ({"seed": "x"}, r"seed='x' cannot be read"),
        ({"colour": "x"}, r"has the columns .*may have no others"),
    ],
)
def test_a_row_that_could_not_be_read_again_is_not_written(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        Ledger(tmp_path).append([{**ROW.to_cells(), **change}])
    assert not list(tmp_path.iterdir())


def test_a_manifest_that_is_not_a_ledger_is_named(tmp_path):
    (tmp_path / "ledger.csv").write_text("path,label,generator,seed\na.png,1,x,7\nb.png,1,x,y\n")
    with pytest.raises(ValueError, match=r"read_ledger: .*ledger.csv, row 2: .*seed='y'"):
        read_ledger(tmp_path)
