import csv
import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectorkit.datasets import find_images, load_images
from detectorkit.images.image_files import PassedOver, search_images


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_folder_gives_labels_generators_and_sources(folder, upsampled):
    found = load_images(folder)
    assert len(found.data) == len(upsampled.data)
    assert found.target.sum() == upsampled.target.sum()
    assert found.target_names == ["real", "generated"]
    generated = found.target == 1
    assert set(found.metadata["generator"][generated]) == set(upsampled.generator) - {"photograph"}
    assert set(found.metadata["source"][~generated]) == set(upsampled.source)
    assert set(found.metadata["generator"][~generated]) == {""}


def test_only_images_are_found_at_any_depth_in_order(tmp_path):
    for name in ("b/c/2.JPG", "1.webp", "b/notes.txt", ".hidden.png"):
        write(tmp_path / name, "")
    names = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert names == [".hidden.png", "1.webp", "b/c/2.JPG"]


def test_links_are_followed_once_and_loops_end(tmp_path):
    write(tmp_path / "elsewhere" / "a.png", "")
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    (data / "first").symlink_to(tmp_path / "elsewhere")
    (data / "second").symlink_to(tmp_path / "elsewhere")
    (data / "sub" / "loop").symlink_to(data)
    assert find_images(data) == [data / "first" / "a.png"]


def test_hidden_folders_and_notes_of_macos_are_passed_over_and_told(tmp_path):
    for name in (".a.png", "._a.png", "._b.png", ".venv/logo.png", "b/c.png", "b/.x/d.png"):
        write(tmp_path / name, "")
    passed_over = PassedOver()
    found = search_images(tmp_path, passed_over)
    assert [path.name for path in found] == [".a.png", "c.png"]
    assert str(passed_over) == "Passed over: 4 hidden (._*, .venv, .x)."
    hidden = tmp_path / ".venv"
    assert find_images(hidden) == [hidden / "logo.png"], "a folder that is named is searched"


def test_manifest_gives_every_column_as_text(tmp_path):
    text = "\ufeffpath,label,generator,width\na.png,real,,64\nsub/b.png,1,sdxl,\n"
    found = load_images(write(tmp_path / "m.csv", text))
    assert found.data == [str(tmp_path / "a.png"), str(tmp_path / "sub" / "b.png")]
    assert found.target.tolist() == [0, 1]
    assert found.metadata["generator"].tolist() == ["", "sdxl"]
    assert found.metadata["width"].tolist() == ["64", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.png,1\n", "needs the columns path and label"),
        ("path,label\na.png,1\nb.png,fake\n", "line 3.*'fake'"),
        ("path,label\n,1\n", "line 2"),
        ("path,label\n", "has no rows"),
        ("", r"has the columns \[\]"),
        ("path,label,path\na,1,b\n", r"has the columns \['path'\] more than once"),
        ("path,label\na,1\na\0b.png,0\n", r"line 3, has the path 'a\\x00b.png'"),
        ('path,label,n\n\n"a\nb",1,c\nd,x,e\n', "line 5, has the path 'd'"),
        (f"path,label\n{'a' * 10**5},x\n", r"line 2, has the path 'a{200}'\.\.\. and"),
        (f"path,label,n\na,0,b\nc,1,{'x' * 131073}\n", "line 3: the cell in column 3 cannot be"),
        ('path,label,n\na,"1,b\n' + "c,1,x\n" * 30_000, "line 2: the cell in column 2 cannot be"),
        ("path,label\ncafé.png,0\n".encode("cp1252"), "it has the byte 0xe9. Save .* in UTF-8"),
        ("path,label\na.png,0\n".encode("utf-16"), "it has the byte 0xff. Save .* in UTF-8"),
        ("path,label\na.png,0\n".encode("utf-16-le"), "needs the columns .* in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0", "it has the byte 0x89. Save .* in UTF-8"),
        ("path;label\na.png;0\n", "CSV file with commas"),
    ],
)
def test_senseless_manifests_are_errors(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as error:
        load_images(write(tmp_path / "m.csv", text))
    assert str(tmp_path / "m.csv") in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_manifest_is_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "m.csv")
    with pytest.raises(OSError, match="not a regular file"):
        load_images(tmp_path / "m.csv")


def is_read_or_refused(manifest):
    try:
        found = load_images(manifest)
    except (ValueError, OSError) as error:
        assert str(manifest) in str(error)  # noqa: PT017 - it may as well be read
        return False
    assert len(found.data) == len(found.target) == len(found.origin) > 0
    assert all(len(column) == len(found.data) for column in found.metadata.values())
    assert not any("\0" in path for path in found.data)
    return True


def as_csv(rows):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


CELLS = st.sampled_from(["path", "label", "generator", "0", "a.png", ""]) | st.text()
LABELS = st.sampled_from(["0", "1", "real", " Generated"])
ROWS = st.lists(st.tuples(st.just("a.png") | CELLS, LABELS | CELLS, CELLS, CELLS), max_size=4)
TABLES = st.builds(
    lambda order, rows: as_csv([[row[column] for column in order] for row in rows]),
    st.permutations(range(4)),
    ROWS.map(lambda rows: [("path", "label", "generator", "source"), *rows]),
)
MANIFESTS = (
    st.binary()
    | st.text().map(str.encode)
    | st.lists(st.lists(CELLS)).map(as_csv)
    | TABLES
    | st.tuples(TABLES, st.binary(max_size=4), st.integers(0, 99)).map(
        lambda parts: parts[0][: parts[2]] + parts[1] + parts[0][parts[2] :]
    )
)


@settings(deadline=None, max_examples=300)
@given(content=MANIFESTS)
def test_any_manifest_is_read_or_refused_by_name(content, tmp_path_factory):
    is_read_or_refused(write(tmp_path_factory.getbasetemp() / "any.csv", content))


def test_photographs_alone_are_fine(tmp_path):
    write(tmp_path / "real" / "a.png", "")
    assert load_images(tmp_path).target.tolist() == [0]


def test_folders_of_images_without_a_label_are_told(tmp_path):
    for name in ("real/a.png", "fake/b.png", "fake/sdxl/c.png", "empty/notes.txt"):
        write(tmp_path / name, "")
    with pytest.warns(UserWarning, match=r"neither real nor generated: fake/ \(images: 2\)"):
        assert load_images(tmp_path).target.tolist() == [0]
    (tmp_path / "real" / "a.png").unlink()
    with pytest.raises(ValueError, match=r"no images in real/ .* fake/ \(images: 2\)"):
        load_images(tmp_path)


def test_unusable_folders_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder or CSV file"):
        load_images(tmp_path / "none")
    with pytest.raises(ValueError, match="Sort the images into these folders"):
        load_images(tmp_path)


def test_origin_is_the_generator_or_else_the_source(folder, tmp_path):
    found = load_images(folder)
    generated = found.target == 1
    assert (found.origin[generated] == found.metadata["generator"][generated]).all()
    assert (found.origin[~generated] == found.metadata["source"][~generated]).all()
    text = "path,label,generator,source\na.png,0,,me\nb.png,1,sdxl,web\nc.png,1,,\nd.png,0,,\n"
    found = load_images(write(tmp_path / "m.csv", text))
    assert found.origin.tolist() == ["me", "sdxl", "generated", "photographs"]
    bare = load_images(write(tmp_path / "bare.csv", "path,label\na.png,0\nb.png,1\n"))
    assert bare.origin.tolist() == ["photographs", "generated"]
