"""A frozen backbone with a head, from images to a saved file; all of it without torch."""

import pickle
import subprocess
import sys

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from detectorkit import BackboneDetector, BackboneNotFoundError, load_detector
from detectorkit.backbones import embed_images, find_backbone, write_backbone
from detectorkit.detectors import backbone as module
from detectorkit.images import Treatment, check_images

SETTINGS = {"bottleneck": 4, "max_epochs": 20, "learning_rate": 0.02, "random_state": 0}


@pytest.fixture(params=["tiny", "mixing"])
def name(request, taken):
    run_size = 1 if request.param == "mixing" else None
    model = request.getfixturevalue(request.param)
    write_backbone(
        model, request.param, taken, licence="MIT", source="", checksum="ab", run_size=run_size
    )
    return request.param


@pytest.fixture
def dataset():
    """Images, of which the generated ones are bluer."""
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 90)
    X = random.integers(0, 190, (90, 12, 10, 3))
    X[..., 2] += 64 * y[:, np.newaxis, np.newaxis]
    return X.astype(np.uint8), y


@pytest.fixture
def heads(monkeypatch):
    """The heads that are trained, as they were before they became part of a graph."""
    from detectorkit.heads import mlp

    trained, fit = [], mlp.fit_network_head

    def remember(*arguments):
        trained.append(fit(*arguments))
        return trained[-1]

    monkeypatch.setattr(mlp, "fit_network_head", remember)
    return trained


@pytest.mark.parametrize("bottleneck", [4, None])
@pytest.mark.parametrize("n_crops", [None, 4])
def test_one_graph_says_what_backbone_and_head_say(name, dataset, heads, bottleneck, n_crops):
    X, y = dataset
    detector = BackboneDetector(name, **SETTINGS | {"bottleneck": bottleneck, "n_crops": n_crops})
    detector.fit(X, y)
    scores = detector.decision_function(X)
    (head,) = heads
    if n_crops is None:
        expected = head.score(embed_images(find_backbone(name), check_images(X)))
    else:  # in predictions the scores are averaged, not the features
        corners = [X[:, a : a + 8, b : b + 8] for a in (0, 4) for b in (0, 2)]
        found = [embed_images(find_backbone(name), check_images(c)) for c in corners]
        expected = np.mean([head.score(features) for features in found], axis=0)
    assert_allclose(scores, expected, atol=1e-4)
    assert np.mean(detector.predict(X) == y) > 0.75


def test_a_head_learns_from_random_variants(name, dataset):
    X, y = dataset
    origin = np.where(y == 1, "generator", "camera")
    detector = BackboneDetector(name, n_views=1, balance="origin", **SETTINGS)
    detector.fit(X, y, origin=origin)
    assert detector.training_summary_["n_samples"] == 90
    assert detector.training_summary_["n_validation"] % 2 == 0  # variants stay with their images
    plain = BackboneDetector(name, balance="origin", **SETTINGS).fit(X, y, origin=origin)
    assert (plain.decision_function(X) != detector.decision_function(X)).any()


def test_what_else_is_predicted_does_not_matter(name, dataset):
    X, y = dataset
    detector = BackboneDetector(name, **SETTINGS).fit(X, y)
    assert detector.record_.run_size == find_backbone(name).run_size
    together = detector.decision_function(X)
    alone = [detector.decision_function(X[i : i + 1])[0] for i in range(9)]
    assert_allclose(together[:9], alone, atol=1e-5)
    detector.n_jobs = 2
    assert_allclose(detector.decision_function(X), together, atol=1e-6)


def test_a_saved_detector_needs_no_backbone(name, dataset, tmp_path, home):
    X, y = dataset
    detector = BackboneDetector(name, **SETTINGS).fit(X, y)
    detector.save(tmp_path / "model.onnx")
    (home / "backbones" / f"{name}.onnx").unlink()
    loaded = load_detector(tmp_path / "model.onnx")
    assert_array_equal(loaded.decision_function(X), detector.decision_function(X))
    assert_array_equal(
        pickle.loads(pickle.dumps(detector)).predict_proba(X), detector.predict_proba(X)
    )
    training = loaded.record_.training
    assert (training["backbone"], training["backbone_licence"]) == (name, "MIT")
    assert training["backbone_sha256"] == "ab"
    assert loaded.record_.detector == "BackboneDetector"


def test_features_are_computed_once(name, dataset, tmp_path, monkeypatch):
    X, y = dataset
    first = BackboneDetector(name, **SETTINGS, cache_dir=tmp_path / "features").fit(X, y)
    parts = sorted((tmp_path / "features").rglob("part-*.npz"))
    assert len(parts) == 1
    again = BackboneDetector(name, **SETTINGS, cache_dir=tmp_path / "features").fit(X, y)
    assert sorted((tmp_path / "features").rglob("part-*.npz")) == parts
    assert again.onnx_model_ == first.onnx_model_
    uncached = BackboneDetector(name, **SETTINGS).fit(X, y)
    assert uncached.onnx_model_ == first.onnx_model_


def test_a_file_may_be_named_instead(tiny, taken, dataset, tmp_path):
    X, y = dataset
    onnx.save(tiny, tmp_path / "other.onnx")
    detector = BackboneDetector(tmp_path / "other.onnx", network_input=taken, **SETTINGS)
    detector.fit(X, y)
    assert detector.training_summary_["backbone"] == "other"
    assert detector.record_.preprocessing.image_size == (8, 8)


def test_a_missing_backbone_is_named_in_fit(dataset):
    with pytest.raises(BackboneNotFoundError, match="backbones add clip-vit-b16"):
        BackboneDetector("clip-vit-b16").fit(*dataset)


def test_images_of_one_group_or_origin_are_held_out_together(name, dataset, monkeypatch):
    X, y = dataset
    groups = np.arange(90) // 3
    origin = np.where(
        y == 1, np.array(["a", "b", "c"])[groups % 3], np.array(["x", "y"])[groups % 2]
    )
    parts, split = [], module.split_validation
    monkeypatch.setattr(
        module, "split_validation", lambda *a, **k: parts.append(split(*a, **k)) or parts[-1]
    )
    BackboneDetector(name, **SETTINGS).fit(X, y, groups=groups)
    detector = BackboneDetector(name, **SETTINGS, validation="origins", balance="origin")
    detector.fit(X, y, origin=origin)
    (train, val), (seen, unseen) = parts
    assert not set(groups[train]) & set(groups[val])
    assert len(val)
    assert not {"a", "b", "c"}.isdisjoint(set(origin[unseen]) - set(origin[seen]))


def test_fitting_a_head_imports_no_torch(name, tmp_path):
    code = (
        "import sys, numpy as np; from detectorkit import BackboneDetector\n"
        "X = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)\n"
        f"BackboneDetector({name!r}, max_epochs=1).fit(X, np.arange(40) % 2).predict(X)\n"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_kept_features_say_what_the_graph_says(name, dataset, tmp_path, monkeypatch):
    X, y = dataset
    detector = BackboneDetector(name, **SETTINGS, cache_dir=tmp_path / "features").fit(X, y)
    detector.save(tmp_path / "model.onnx")
    scores = detector.decision_function(X)
    assert_allclose(load_detector(tmp_path / "model.onnx").decision_function(X), scores, atol=1e-4)
    copy = pickle.loads(pickle.dumps(detector))
    assert_array_equal(copy.decision_function(X), scores)


@pytest.mark.parametrize("change", ["deleted", "exported again"])
def test_a_fitted_detector_keeps_its_backbone(tiny, taken, dataset, tmp_path, home, change):
    X, y = dataset
    said = {"licence": "MIT", "source": "", "checksum": "ab"}
    write_backbone(tiny, "mine", taken, **said)
    detector = BackboneDetector("mine", **SETTINGS, cache_dir=tmp_path / "features").fit(X, y)
    other = np.random.default_rng(1).integers(0, 256, X.shape, np.uint8)  # not kept on disk
    before = detector.decision_function(other)
    path = home / "backbones" / "mine.onnx"
    if change == "deleted":
        path.unlink()
    else:
        model = onnx.ModelProto()
        model.CopyFrom(tiny)
        weights = onnx.numpy_helper.to_array(model.graph.initializer[0])
        model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(-weights, "weights"))
        write_backbone(model, "mine", taken, **said)
    assert_array_equal(detector.decision_function(other), before)
    assert_array_equal(pickle.loads(pickle.dumps(detector)).decision_function(other), before)
    new = np.random.default_rng(2).integers(0, 256, X.shape, np.uint8)
    detector.save(tmp_path / "model.onnx")
    saved = load_detector(tmp_path / "model.onnx")
    assert_allclose(detector.decision_function(new), saved.decision_function(new), atol=1e-4)


@pytest.mark.parametrize("cache", [True, False])
def test_parameters_that_are_set_afterwards_change_no_score(tiny, taken, dataset, tmp_path, cache):
    X, y = dataset
    write_backbone(tiny, "mine", taken, licence="MIT", source="", checksum="ab")
    folder = tmp_path / "features" if cache else None
    detector = BackboneDetector("mine", **SETTINGS, cache_dir=folder).fit(X, y)
    scores, record = detector.decision_function(X), detector.record_
    detector.set_params(
        backbone="nothing",
        n_crops=4,
        image_size=(4, 4),
        network_input=None,
        quantize="static",
        fine_tune=True,
        bottleneck=None,
        cache_dir=None if cache else tmp_path / "other",
    )
    assert_array_equal(detector.decision_function(X), scores)
    assert detector.record_ == record


def test_what_an_earlier_fit_said_of_quantization_is_forgotten(tiny, taken, dataset):
    X, y = dataset
    write_backbone(tiny, "mine", taken, licence="MIT", source="", checksum="ab")
    detector = BackboneDetector("mine", **SETTINGS, quantize="float16").fit(X, y)
    assert detector.quantization_["method"] == "float16"
    detector.set_params(quantize=None).fit(X, y)
    assert not hasattr(detector, "quantization_")
    assert "quantization" not in detector.record_.training


@pytest.mark.parametrize("how", ["static", "dynamic"])
def test_quantization_leaves_the_root_logger_alone(tiny, taken, how):
    code = (
        "import logging, numpy as np; from detectorkit import BackboneDetector\n"
        "root, seen = logging.getLogger(), []\n"
        "logging.basicConfig = lambda **_: seen.append('configured')\n"
        "root.addFilter = lambda _: seen.append('filter')\n"
        "X = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)\n"
        f"detector = BackboneDetector('mine', max_epochs=1, quantize={how!r})\n"
        "detector.fit(X, np.arange(40) % 2)\n"
        "print(seen, root.handlers, root.filters, detector.quantization_['method'])"
    )
    write_backbone(tiny, "mine", taken, licence="MIT", source="", checksum="ab")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"[] [] [] {how}"
    assert "pre-processing" not in done.stderr


@pytest.mark.parametrize("cached", [True, False])
def test_images_are_treated_as_their_copies_were(name, dataset, tmp_path, cached):
    X, y = dataset
    treatment = Treatment(side=9)
    copies = np.stack([treatment.apply(image) for image in X])
    folder = tmp_path / "kept" if cached else None
    settings = SETTINGS | {"cache_dir": folder, "max_epochs": 3}
    plain = BackboneDetector(name, **settings).fit(copies, y)
    treating = BackboneDetector(name, treatment=treatment, **settings).fit(X, y)
    expected = plain.decision_function(copies)
    assert_array_equal(treating.decision_function(X), expected)
    treating.save(tmp_path / "model.onnx")
    loaded = load_detector(tmp_path / "model.onnx")
    assert_allclose(loaded.decision_function(X), expected, atol=1e-4)
    assert loaded.record_.preprocessing.treatment == treatment
