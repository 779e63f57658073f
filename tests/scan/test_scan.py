"""What a scan finds in folders, archives and manifests, and the rows that it makes."""

import csv
import hashlib
import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from detectorkit import load_detector
from detectorkit.images.image_files import PassedOver, search_images
from detectorkit.provenance import read_provenance
from detectorkit.scan import scan
from detectorkit.scan.walking import count_entries, iter_batches, walk_entries


def test_rows_are_those_of_predict(tree, model):
    passed_over = PassedOver()
    rows = list(scan([str(tree)], model=model, n_jobs=2, passed_over=passed_over))
    detector = load_detector(model)
    found = search_images(tree, PassedOver())
    by_path = {row.path: row for row in rows}
    good = [row for row in rows if row.error is None]
    assert len(good) == 40
    paths = [str(path) for path in found if by_path[str(path)].error is None]
    scores = detector.decision_function(paths)
    assert [by_path[path].score for path in paths] == pytest.approx(scores, abs=1e-6)
    verdicts = detector.predict_verdict(paths).tolist()
    assert [by_path[path].verdict for path in paths] == verdicts
    probabilities = detector.predict_proba(paths)[:, 1]
    assert [by_path[path].probability for path in paths] == pytest.approx(probabilities, abs=1e-6)
    for path in paths:
        data = Path(path).read_bytes()
        assert by_path[path].size == len(data)
        assert by_path[path].sha256 == hashlib.sha256(data).hexdigest()
    sha256 = hashlib.sha256(Path(model).read_bytes()).hexdigest()
    assert {(row.model, row.model_sha256) for row in rows} == {(model, sha256)}
    assert passed_over.others == {".txt": 1}
    assert not passed_over.unread


def test_images_that_cannot_be_judged_have_a_reason(odd_images, model):
    rows = {Path(row.path).stem: row for row in scan(odd_images.values(), model=model)}
    normal = rows.pop("normal")
    assert normal.unfit is None
    assert [row.verdict for row in rows.values()] == ["can't tell"] * 4
    assert "is 40 px" in rows["tiny"].unfit
    assert "one colour" in rows["black"].unfit
    scores = load_detector(model).decision_function(list(odd_images.values()))
    assert [row.score for row in [*rows.values(), normal]] == pytest.approx(scores, abs=1e-6)


def test_members_score_as_their_files_do(tree, model, contents):
    rows = [row for row in scan([str(tree)], model=model) if "!" in row.path]
    assert [row.path for row in rows[:10]] == [
        f"{tree / 'c.zip'}!{name}" for name in list(contents)[20:30]
    ]
    assert rows[-1].path == f"{tree / 'd.tar.gz'}!{list(contents)[-1]}"
    scores = load_detector(model).decision_function(
        [contents[row.path.split("!")[1]] for row in rows]
    )
    assert [row.score for row in rows] == pytest.approx(scores, abs=1e-6)


def test_broken_files_have_rows_with_their_errors(tree, model):
    failed = {Path(r.path).name: r for r in scan([tree], model=model) if r.error is not None}
    assert set(failed) == {"broken.jpg", "empty.png"}
    assert failed["empty.png"].error == "the file is empty."
    assert "broken or truncated" in failed["broken.jpg"].error
    row = failed["broken.jpg"]
    assert (row.size, row.score, row.probability, row.verdict) == (300, None, None, None)
    assert len(row.sha256) == 64


def test_the_order_is_that_of_names_and_a_link_counts_once(tree, model):
    paths = [row.path for row in scan([tree, tree / "00.png", tree], model=model, n_jobs=2)]
    assert len(paths) == len(set(paths)) == 42
    names = [str(Path(path).relative_to(tree)) for path in paths if "!" not in path]
    assert names[:12] == sorted(names[:12])  # the files of a folder come before its folders
    assert all(name.startswith("b/") for name in names[12:])


def test_what_a_file_says_of_itself_is_in_the_row(tmp_path, model):
    texts = PngInfo()
    texts.add_text("parameters", "a fox\nSteps: 20, Sampler: Euler a, Seed: 1, Model: v1-5")
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png", pnginfo=texts)
    Image.new("RGB", (64, 64)).save(tmp_path / "b.png")
    said, silent = scan([tmp_path], model=model)
    assert json.loads(said.provenance) == read_provenance(tmp_path / "a.png").to_dict()
    assert silent.provenance is None


def test_manifests_are_read_line_by_line(tree, model):
    manifest = tree / "list.csv"
    rows = [["label", "path"], [0, "00.png"], [1, "missing.png"], [1, "c.zip"], [0, "00.png"]]
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    found = list(scan([manifest], model=model))
    assert [row.path for row in found[:2]] == [str(tree / "00.png"), str(tree / "missing.png")]
    assert "No such file" in found[1].error
    assert len(found) == 12
    manifest.write_text("file\n00.png\n")
    with pytest.raises(ValueError, match=r"has the columns \['file'\]. It needs a column path"):
        list(scan([manifest], model=model))


def test_what_does_not_exist_is_refused_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"scan: there is no folder, archive, .*'none'"):
        next(scan(["none"]))


def test_hostile_archives_are_rows_with_errors(tmp_path, model, contents, write_zip, write_tar):
    names = list(contents)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.png", contents[names[0]])
    members = {
        "good.png": contents["00.png"],
        "bomb.png": contents["00.png"] + bytes(30_000_000),
        "nested.zip": inner.getvalue(),
        "notes.txt": b"nothing",
        "without": b"nothing",
        "image": contents["01.jpg"],
        "secret.png": contents["00.png"],
        "wrong.png": contents["00.png"],
    }
    write_zip(tmp_path / "a.zip", members)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    encrypted = data.rindex(b"PK\x01\x02", 0, data.rindex(b"secret.png"))
    data[encrypted + 8] |= 1
    data[data.index(b"wrong.png") + 60] ^= 255
    (tmp_path / "a.zip").write_bytes(data)
    write_tar(tmp_path / "b.tar", {name: contents[name] for name in names[:3]})
    cut = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(cut[: cut.index(names[2].encode()) + 600])
    (tmp_path / "c.zip").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "d.tgz").write_bytes(b"nothing")
    passed_over = PassedOver()
    rows = scan([tmp_path], model=model, passed_over=passed_over)
    found = {row.path.removeprefix(f"{tmp_path}/"): row.error for row in rows}
    good = {"a.zip!good.png", "a.zip!image", f"b.tar!{names[0]}", f"b.tar!{names[1]}"}
    assert {path for path, error in found.items() if error is None} == good
    assert "bytes packed into" in found["a.zip!bomb.png"]
    assert found["a.zip!nested.zip"] == "an archive in an archive. Unpack the outer one first."
    assert found["a.zip!secret.png"] == "encrypted. Unpack the archive first."
    assert found["a.zip!wrong.png"].startswith("broken in its archive: ")
    assert found[f"b.tar!{names[2]}"].startswith("broken in its archive: ")
    for archive in ("c.zip", "d.tgz"):
        assert found[archive].startswith("the archive is broken or cannot be read: ")
    assert passed_over.others == {".txt": 1, "": 1}


def test_batches_of_members_are_bounded_in_bytes(tmp_path, write_tar):
    long = b"\x89PNG\r\n\x1a\n" + bytes(9_000_000)
    write_tar(tmp_path / "a.tar", {f"{index:02}.png": long for index in range(20)})
    tracemalloc.start()
    entries = walk_entries([str(tmp_path)], lambda _: True, PassedOver())
    assert [len(batch) for batch in iter_batches(entries, lambda: 8)] == [2] * 10
    assert tracemalloc.get_traced_memory()[1] < 60_000_000
    tracemalloc.stop()


def test_images_are_counted_without_being_read(tree):
    assert count_entries([str(tree)]) is None  # a tar archive would have to be read
    (tree / "d.tar.gz").unlink()
    assert count_entries([str(tree)]) == 32
