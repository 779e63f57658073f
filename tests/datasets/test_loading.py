import pytest

from detectorkit.datasets import find_images, load_images


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
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
    ],
)
def test_senseless_manifests_are_errors(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_images(write(tmp_path / "m.csv", text))


def test_photographs_alone_are_fine(tmp_path):
    write(tmp_path / "real" / "a.png", "")
    assert load_images(tmp_path).target.tolist() == [0]


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
