import json
import shutil
import sys

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from detectorkit.datasets import load_images, near_duplicate_groups, perceptual_hash
from detectorkit.datasets.aligning import align
from detectorkit.datasets.audit.audit import audit, judge_files
from detectorkit.datasets.audit.file_facts import read_file_facts
from detectorkit.datasets.audit.findings import judge_auc
from detectorkit.datasets.audit.metadata_auc import CONTAINER_FACTS, MetadataAuc
from detectorkit.datasets.audit.reading import measure_sharpness, read_audit_files
from detectorkit.exceptions import ImageReadError
from detectorkit.images.decoding import load_image
from detectorkit.images.encoding import encode_image
from detectorkit.metrics.estimates import Estimate

N = 48  # images of a made-up set


@pytest.fixture(autouse=True)
def _small_forests(monkeypatch):
    """What is tested here shows with few trees too, and sooner."""
    monkeypatch.setattr(sys.modules[MetadataAuc.__module__], "_TREES", 8)


def picture(seed, height=96, width=96):
    small = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def write_set(folder, encode, n=N):
    """Write pictures; `encode` gives their bytes from number and label."""
    paths, y = [], np.arange(n) % 2
    folder.mkdir(exist_ok=True)
    for number, label in enumerate(y):
        path = folder / f"{number}.img"
        path.write_bytes(encode(number, label))
        paths.append(str(path))
    return paths, y


def as_jpeg_or_png(number, label):
    """Photographs as JPEG 75, generated images as PNG."""
    return encode_image(picture(number), "PNG" if label else "JPEG", quality=75)


def as_any_jpeg(number, label):
    """Both classes alike: sizes and qualities are drawn."""
    random = np.random.default_rng(1000 + number)
    image = picture(number, 80 + 8 * random.integers(4), 80 + 8 * random.integers(4))
    return encode_image(image, "JPEG", quality=int(random.choice([75, 85, 90])))


@pytest.fixture(scope="module")
def biased(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("biased"), as_jpeg_or_png)


@pytest.fixture(scope="module")
def even(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("even"), as_any_jpeg)


@pytest.fixture(scope="module")
def even_files(even):
    return read_audit_files(even[0])


def finding(result, topic):
    (one,) = (f for f in result.findings if f.topic == topic)
    return one


def test_a_format_for_each_class_fails_and_the_text_says_which(biased):
    result = audit(*biased)
    assert not result.passed
    assert result.metadata.container.value == 1
    assert result.metadata.alone["format"].value == 1
    assert result.metadata.alone["height"] == (0.5, 0.5, 0.5)  # all are alike in it
    text = finding(result, "container").text
    assert "AUC 1.00 [" in text
    assert "Format: JPEG for 100 % of the photographs and 0 % of the generated images" in text
    assert "JPEG quality: 75 for 100 %" in text
    assert "detectorkit align" in text
    assert result.to_text().count("FAILED") == 1


def test_the_same_set_passes_after_align(biased, tmp_path):
    align(*biased, tmp_path / "copy", side=64)
    found = load_images(tmp_path / "copy")
    result = audit(found.data, found.target, generator=found.metadata["generator"])
    assert result.passed
    assert result.metadata.container == (0.5, 0.5, 0.5)
    assert "not better than chance" in finding(result, "container").text
    assert [group.format for group in result.by_generator] == [{"JPEG": 1.0}] * 2


def test_a_set_without_bias_passes_though_its_files_differ(even, even_files):
    result = audit(*even)
    assert result.passed
    assert result.metadata.container.low < 0.5
    assert result.sharpness.value == pytest.approx(roc_auc_score(even[1], even_files["sharpness"]))
    assert {len(group.jpeg_quality) for group in result.by_class} == {3}


def test_a_difference_of_one_step_of_quality_is_found(tmp_path):
    paths, y = write_set(
        tmp_path, lambda i, label: encode_image(picture(i), "JPEG", quality=85 + label)
    )
    result = audit(paths, y)
    assert not result.passed
    assert next(iter(result.metadata.alone)) == "jpeg_quality"
    text = finding(result, "container").text
    assert "JPEG quality: 85 for 100 % of the photographs and 0 % of the generated" in text


def test_sizes_without_a_common_one_are_told_by_their_medians(tmp_path):
    def encode(number, label):
        return encode_image(picture(number, 60 + 2 * number + 200 * label, 80), "JPEG")

    text = finding(audit(*write_set(tmp_path, encode)), "container").text
    assert "Photographs are 60 x 80 to 152 x 80 px (height x width)" in text
    assert (
        "generated images 262 x 80 to 354 x 80; median height 106 for photographs and 308" in text
    )


def test_bytes_and_sharpness_warn_but_do_not_fail(tmp_path):
    # Generated images have more detail, in files that are otherwise the same.
    def encode(number, label):
        image = picture(number, 200, 200)
        if label:
            speckles = np.random.default_rng(number).integers(-40, 41, image.shape)
            image = np.clip(image + speckles, 0, 255).astype(np.uint8)
        return encode_image(image, "JPEG", quality=85)

    result = audit(*write_set(tmp_path, encode))
    assert result.passed
    assert result.verdict == "warn"
    assert result.sharpness.value > 0.9
    assert finding(result, "container").severity == "ok"
    assert finding(result, "bytes_per_pixel").severity == "warn"
    assert "the generated images are sharper" in finding(result, "sharpness").text
    assert "encoding again cannot remove it" in finding(result, "sharpness").text


def test_the_limit_is_a_parameter(even_files, even):
    paths, y = even
    files = even_files.copy()
    files["has_exif"] = (y == 1) & (np.arange(N) < N * 2 // 3)  # two generated images in three
    strict, lax = (judge_files(files, paths, y, max_auc=limit) for limit in (0.6, 0.99))
    assert strict.metadata == lax.metadata
    assert finding(strict, "container").severity == "fail"
    assert finding(lax, "container").severity == "ok"
    assert "better than chance, but within the limit of 0.99" in finding(lax, "container").text


@pytest.mark.parametrize(
    ("auc", "severity", "said"),
    [
        ((0.55, 0.45, 0.65), "ok", "not better than chance"),
        ((0.55, 0.53, 0.57), "ok", "better than chance, but within the limit of 0.6"),
        ((0.65, 0.55, 0.75), "warn", "above the limit of 0.6, but the interval reaches below it"),
        ((0.3, 0.25, 0.35), "warn", "photographs are sharper"),
        ((0.3, 0.25, 0.35), "warn", "AUC 0.70 [0.65, 0.75]. This"),
    ],
)
def test_areas_are_weighed_by_their_intervals(even, even_files, auc, severity, said):
    alone = dict.fromkeys(CONTAINER_FACTS, Estimate(0.5, 0.5, 0.5))
    alone["bytes_per_pixel"] = Estimate(0.5, 0.5, 0.5)
    metadata = MetadataAuc(Estimate(0.5, 0.5, 0.5), Estimate(0.5, 0.5, 0.5), alone)
    sharpness = judge_auc(even_files, even[1], metadata, Estimate(*auc), 0.6)[-1]
    assert sharpness.severity == severity
    assert said in sharpness.text


def test_copies_in_both_classes_are_found(even, tmp_path):
    paths, y = list(even[0]), even[1]
    shutil.copy(paths[0], tmp_path / "exact")  # a photograph that is called generated
    (tmp_path / "near").write_bytes(encode_image(load_image(paths[2]), "WebP"))
    paths[1], paths[3] = str(tmp_path / "exact"), str(tmp_path / "near")
    result = audit(paths, y)
    assert not result.passed
    copies = result.copies["across_classes"]
    assert (copies.exact, copies.near, copies.n_files) == (1, 2, 4)
    assert copies.examples == ((paths[0], paths[1]), (paths[2], paths[3]))
    text = finding(result, "copies_across_classes").text
    assert f"2 pictures occur in both classes (1 as identical files), such as {paths[0]}" in text
    assert result.copies["within_class"].near == 0


def test_pairs_that_are_meant_pass_but_identical_files_do_not(even, tmp_path):
    paths, y = list(even[0]), even[1]
    (tmp_path / "near").write_bytes(encode_image(load_image(paths[2]), "JPEG", quality=80))
    paths[3] = str(tmp_path / "near")  # called generated, as a reconstruction would be
    assert not audit(paths, y).passed
    allowed = audit(paths, y, allow_pairs=True)
    assert allowed.passed
    assert "on one side of every split" in finding(allowed, "copies_across_classes").text
    shutil.copy(paths[0], tmp_path / "exact")
    paths[1] = str(tmp_path / "exact")
    assert not audit(paths, y, allow_pairs=True).passed


def test_leakage_across_a_split_is_found(even, even_files):
    paths, y = even
    split = np.where(np.arange(N) < 24, "train", "test")
    clean = judge_files(even_files, paths, y, split=split)
    assert clean.passed
    assert finding(clean, "copies_across_splits").severity == "ok"
    doubled = np.concatenate([even_files, even_files[:3]])
    more = [*paths, "copy 0", "copy 1", "copy 2"]
    labels, parts = np.append(y, y[:3]), np.append(split, ["test", "train", ""])
    leaky = judge_files(doubled, more, labels, split=parts)
    assert not leaky.passed
    assert leaky.copies["across_splits"].examples == (("copy 0", paths[0]),)
    assert leaky.copies["across_splits"].exact == 1  # "" is in no part
    assert leaky.copies["within_class"].exact == 3
    assert finding(leaky, "copies_within_class").severity == "warn"


def test_copies_do_not_help_the_classifier(even_files, even):
    """Each file four times: scores of an image must not come from its copies."""
    paths, y = even
    random = np.random.default_rng(0)
    files = even_files.copy()
    files["width"] = random.permutation(len(y)) + 100  # a name for each picture
    files, paths, y = np.tile(files, 4), paths * 4, np.tile(y, 4)
    assert judge_files(files, paths, y).metadata.alone["width"].value < 0.7


def test_results_repeat_with_the_seed_and_do_not_depend_on_threads(even):
    one, two = (audit(*even, n_jobs=n_jobs).to_dict() for n_jobs in (1, 2))
    assert one == two
    files = [read_audit_files(even[0] * 3, n_jobs=n_jobs) for n_jobs in (1, 2)]
    assert files[0].tobytes() == files[1].tobytes()
    other = audit(*even, random_state=np.random.RandomState(7)).to_dict()
    assert other["metadata"] != one["metadata"]
    assert other["by_class"] == one["by_class"]


def test_the_rows_hold_facts_sharpness_and_hash_of_each_file(even, even_files):
    paths, _ = even
    facts = [read_file_facts(path) for path in paths]
    for name in (*CONTAINER_FACTS, "n_bytes", "bytes_per_pixel"):
        assert even_files[name].tolist() == [getattr(fact, name) for fact in facts]
    assert even_files["sha256"].astype(str).tolist() == [fact.sha256 for fact in facts]
    images = [load_image(path) for path in paths]
    assert even_files["sharpness"].tolist() == [measure_sharpness(image) for image in images]
    assert (even_files["picture"] == perceptual_hash(images)).all()
    together = np.concatenate([even_files["picture"], perceptual_hash(paths)])
    assert len(np.unique(near_duplicate_groups(together))) == N


def test_sharpness_falls_with_blur_and_is_that_of_its_definition():
    image = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    blurred = [cv2.GaussianBlur(image, (0, 0), sigma) for sigma in (0.5, 1, 2, 4)]
    values = [measure_sharpness(i) for i in (image, *blurred)]
    assert values == sorted(values, reverse=True)
    flat = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    grey = cv2.cvtColor(cv2.imdecode(flat, cv2.IMREAD_COLOR), cv2.COLOR_BGR2GRAY).astype(float)
    grey = np.pad(grey, 1, "reflect")
    laplacian = (
        grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    )
    assert values[0] == pytest.approx(np.log1p(laplacian.var()))


def test_tables_count_what_the_files_hold(tmp_path):
    def encode(number, label):
        if number < 10:
            return encode_image(picture(number), "PNG")
        path = tmp_path / "a.jpg"
        options = {"progressive": number < 20, "icc_profile": b"x" * 200 if number < 15 else None}
        Image.fromarray(picture(number)).save(path, quality=70 + 10 * int(label), **options)
        return path.read_bytes()

    paths, y = write_set(tmp_path / "set", encode, n=40)
    source = np.where(np.arange(40) < 20, "first", "")
    result = audit(paths, y, source=source)
    photographs = result.by_class[0]
    assert (photographs.name, photographs.label, photographs.n) == ("photographs", 0, 20)
    assert photographs.format == {"JPEG": 0.75, "PNG": 0.25}
    assert photographs.jpeg_quality == {"70": 0.75, "": 0.25}
    assert photographs.subsampling == {"4:2:0": 0.75, "": 0.25}
    assert photographs.progressive == 0.25
    assert photographs.height == (96, 96, 96)
    assert [(g.name, g.label, g.n) for g in result.by_source] == [
        ("(none)", 0, 10),
        ("first", 0, 10),
        ("(none)", 1, 10),
        ("first", 1, 10),
    ]
    assert result.by_generator == ()
    assert result.by_source[1].has_profile == 0.3
    assert "photographs: first" in result.to_text()


def test_the_dictionary_is_json_with_none_for_nan(even):
    content = audit(even[0][:8], even[1][:8]).to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["metadata"]["container"] == {"value": None, "low": None, "high": None}
    assert content["findings"][0].keys() == {"severity", "topic", "text"}
    assert content["by_class"][0]["height"].keys() == {"median", "low", "high"}


@pytest.mark.parametrize("n", [2, 8, 18])
def test_few_images_are_described_and_not_judged(even, n):
    result = audit(even[0][:n], even[1][:n])
    assert result.passed
    assert "Too few images to judge" in result.to_text()
    assert result.by_class[0].n == n // 2


def test_ten_pictures_of_each_class_can_be_judged_and_copies_do_not_count(biased, even_files, even):
    assert audit(biased[0][:20], biased[1][:20]).metadata.container.value == 1
    paths, y = even
    result = judge_files(np.tile(even_files[:8], 5), paths[:8] * 5, np.tile(y[:8], 5))
    assert np.isnan(result.metadata.container.value)


def test_names_in_tables_cannot_break_lines(even, even_files):
    generator = np.array(["", "a\nb\x1b[31m"])[even[1]]
    text = judge_files(even_files, *even, generator=generator).to_text()
    assert "\x1b" not in text
    assert r"generated: a\nb\x1b[31m" in text


def test_a_broken_file_is_named(even, tmp_path):
    paths = [*even[0][:3], str(tmp_path / "none.png")]
    with pytest.raises(ImageReadError, match=r"image 3, .*none\.png"):
        audit(paths, [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y": [0, 2]}, "0 for real and 1"),
        ({"y": [0, 0]}, "only one class"),
        ({"y": [0]}, "inconsistent"),
        ({"max_auc": 0.4}, "max_auc=0.4"),
        ({"max_auc": 1}, "max_auc=1"),
    ],
)
def test_senseless_input_is_an_error_before_a_file_is_read(changed, message):
    with pytest.raises(ValueError, match=message):
        audit(**({"paths": ["none", "none"], "y": [0, 1]} | changed))


def test_a_single_path_and_a_column_of_another_length_are_errors(even, even_files):
    with pytest.raises(TypeError, match="single path"):
        audit("a.png", [0])
    with pytest.raises(ValueError, match="inconsistent"):
        judge_files(even_files, *even, source=["a"])


def test_real_faces_of_one_source_pass(real_faces):
    result = audit(*real_faces)
    assert result.passed
    assert result.by_class[0].jpeg_quality == {"75": 1.0}
    assert result.metadata.container == (0.5, 0.5, 0.5)


def test_a_ledger_that_is_split_apart_fails(even, even_files, monkeypatch):
    """Subjects, seeds and instance pictures in two parts; photographs among the latter."""
    monkeypatch.setattr(sys.modules[MetadataAuc.__module__], "_TREES", 2)  # of no interest here
    paths, y = even
    files = even_files
    digest = files["sha256"].astype(str)
    generated = y == 1
    columns = {
        "generator": np.where(generated, "lora", ""),
        "base_model": np.where(generated, "sd", ""),
        "subject": np.where(generated, [f"person {i // 8}" for i in range(N)], ""),
        "seed": np.where(generated, np.arange(N).astype(str), ""),
        "instance": np.where(generated, digest[np.arange(N) // 8 * 8], ""),
    }
    by_person = np.where(np.arange(N) // 8 < 3, "train", "test")
    kept = judge_files(files, paths, y, split=by_person, ledger=columns)
    topics = ["subjects", "seeds", "instance_pictures"]
    for topic in topics:
        assert finding(kept, f"{topic}_across_splits").severity == "ok"
    among = finding(kept, "instance_pictures_among_photographs")
    assert among.severity == "ok"
    assert among.text.startswith("6 of the photographs are instance pictures")

    columns["seed"] = np.where(generated, np.arange(N) % 20, "")
    cut = judge_files(files, paths, y, split=np.where(np.arange(N) < 20, "a", "b"), ledger=columns)
    assert not cut.passed
    for topic, named in zip(topics, ["person 2", "1 of sd", digest[16]], strict=True):
        found = finding(cut, f"{topic}_across_splits")
        assert found.severity == "fail"
        assert f"in more than one part of the split, such as {named}" in found.text

    unsplit = judge_files(files, paths, y, ledger=columns)
    among = finding(unsplit, "instance_pictures_among_photographs")
    assert among.severity == "warn"
    assert "a leak only where the two are in different parts" in among.text
    none = judge_files(
        files, paths, y, ledger=columns | {"instance": np.where(generated, "ab", "")}
    )
    assert finding(none, "instance_pictures_among_photographs").severity == "ok"
    assert not any("splits" in f.topic for f in judge_files(files, paths, y).findings)
