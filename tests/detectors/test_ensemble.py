"""EnsembleDetector: what members are fitted on, one file for all of them, and conflicts."""

import json
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import onnx
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from detectorkit import (
    EnsembleDetector,
    ForensicDetector,
    HoGSVMDetector,
    NetworkInput,
    OnnxDetector,
    load_detector,
)
from detectorkit.calibration import fit_calibration
from detectorkit.exceptions import ModelFileError
from detectorkit.features import HoGTransformer
from detectorkit.graph.record import ModelRecord
from detectorkit.graph.runner import GraphRunner
from detectorkit.images import Treatment
from detectorkit.images.sequence import ImageSequence
from detectorkit.model_selection.sources import LeaveSourcesOut
from detectorkit.saliency import GradientSaliency, OcclusionSaliency
from detectorkit.serve.engine import Engine

Y = np.tile([0, 1], 20)


def hog(**parameters):
    return HoGSVMDetector(**{"image_size": (32, 32), "random_state": 0} | parameters)


def dct(**parameters):
    return ForensicDetector(["block_dct"], random_state=0, **parameters)


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (40, 60, 50, 3), np.uint8)
    return np.stack([cv2.GaussianBlur(one, (0, 0), 1 + y) for one, y in zip(noise, Y, strict=True)])


@pytest.fixture(scope="module")
def paths(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for index, image in enumerate(images):
        cv2.imwrite(str(folder / f"{index:02}.jpg"), image)
    return sorted(map(str, folder.iterdir()))


SAME = [("hog", hog(color_space="rgb")), ("dct", dct(color_space="rgb", image_size=(32, 32)))]
DIFFERENT = [
    ("hog", hog()),
    ("native", dct()),
    ("treated", hog(treatment=Treatment(side=48))),
    ("again", hog(orientations=6)),
]


@pytest.fixture(scope="module")
def fitted(images):
    """Ensembles whose members begin with the same pixels, and with different ones."""
    return {
        "same": EnsembleDetector(SAME, cv=2).fit(images, Y),
        "different": EnsembleDetector(DIFFERENT, combination="soft", cv=2).fit(images, Y),
    }


def inputs_of(model):
    return [one.name for one in model.graph.input]


@pytest.mark.parametrize("kind", ["same", "different"])
def test_saved_file_has_the_same_scores(fitted, kind, images, paths, tmp_path):
    ensemble = fitted[kind]
    ensemble.save(tmp_path / "ensemble.onnx")
    loaded = load_detector(tmp_path / "ensemble.onnx")
    for X in (images, paths):
        np.testing.assert_allclose(loaded.predict_proba(X), ensemble.predict_proba(X), atol=1e-6)
    assert loaded.record_.members == ensemble.record_.members
    one = load_detector(tmp_path / "ensemble.onnx", n_jobs=2).decision_function(paths)
    np.testing.assert_array_equal(one, loaded.decision_function(paths))
    # As `scan` and `serve` have it: read first, scored later.
    runner = GraphRunner.from_file(tmp_path / "ensemble.onnx")
    sequence = ImageSequence(paths[:9])
    read = [sequence.read(index, runner.record.preprocessing) for index in range(9)]
    np.testing.assert_allclose(runner.score_prepared(read, paths), one[:9], atol=1e-6)
    engine = Engine(tmp_path / "ensemble.onnx", n_jobs=1, n_pixels=10**8)
    rows = engine.judge([engine.prepare(Path(path).read_bytes()) for path in paths[:9]])
    np.testing.assert_allclose([row["score"] for row in rows], one[:9], atol=1e-6)


def test_one_input_for_each_preparation(fitted):
    same, different = (fitted[kind].to_onnx() for kind in ("same", "different"))
    assert inputs_of(same) == ["pixels"]
    assert inputs_of(different) == ["pixels_1", "features_2", "pixels_3"]
    starts = [member.input for member in fitted["different"].record_.members]
    assert starts == ["pixels_1", "features_2", "pixels_3", "pixels_1"]
    outputs = [one.name for one in different.graph.output]
    assert outputs == ["score", "probability", *(f"probability/{name}" for name, _ in DIFFERENT)]
    text = fitted["different"].record_.treatment_text()
    assert text.startswith("hog: none: images as they are; native: none")
    assert "treated: centre square, area 48 px" in text


def test_saved_file_has_the_probabilities_of_members(fitted, images):
    model = fitted["same"].to_onnx()
    names = [one.name for one in model.graph.output][2:]
    session = GraphRunner(model.SerializeToString())._get_session(1, np.dtype(np.uint8))
    pixels = np.stack([cv2.resize(one, (32, 32), interpolation=cv2.INTER_AREA) for one in images])
    found = np.column_stack(session.run(names, {"pixels": pixels}))
    np.testing.assert_allclose(found, fitted["same"].member_scores(images), atol=1e-5)


def test_members_score_as_they_do_alone(fitted, images):
    ensemble = fitted["different"]
    for column, member in zip(ensemble.member_scores(images).T, ensemble.estimators_, strict=True):
        np.testing.assert_allclose(column, member.predict_proba(images)[:, 1], atol=1e-9)


@pytest.mark.parametrize("saved", [False, True])
def test_a_file_is_decoded_once_and_resized_once_for_equal_pixels(
    fitted, paths, saved, monkeypatch, tmp_path
):
    ensemble = fitted["different"]
    if saved:
        ensemble.save(tmp_path / "m.onnx")
        ensemble = load_detector(tmp_path / "m.onnx")
    counts = dict.fromkeys(("decode_image", "resize_image"), 0)

    def count(name):
        function = getattr(sequence, name)

        def counting(*arguments, **named):
            made = function(*arguments, **named)
            counts[name] += made is not arguments[0]  # not what had the size already
            return made

        monkeypatch.setattr(sequence, name, counting)

    from detectorkit.images import sequence

    for name in counts:
        count(name)
    ensemble.decision_function(paths)
    assert counts["decode_image"] == len(paths)
    sizes = {m.preprocessing for m in (e.record for e in ensemble.record_.members)}
    assert counts["resize_image"] == len(paths) * sum(p.image_size is not None for p in sizes)


class Recorder(ClassifierMixin, BaseEstimator):
    """Notes the origins of the images on which it is fitted and which it scores."""

    log: ClassVar[list] = []

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.seen_ = set(np.array(X)[:, 0, 0].tolist())
        return self

    def predict_proba(self, X):
        Recorder.log.append((self.seen_, set(np.array(X)[:, 0, 0].tolist())))
        p = np.array(X)[:, 1, 1] / 300 + 0.05
        return np.column_stack([1 - p, p])


def origins_in_pixels(n_origins):
    """Images whose first pixel is the number of their origin, even ones of photographs."""
    origin = np.repeat(np.arange(n_origins), 6)
    X = np.random.default_rng(0).integers(0, 256, (len(origin), 8, 8), np.uint8)
    X[:, 0, 0] = origin
    return X, origin % 2, [f"origin {number}" for number in origin]


@pytest.mark.parametrize("n_origins", [4, 24])
@pytest.mark.parametrize("cv", [None, 2, "groups", "splits"])
def test_no_member_was_fitted_on_an_origin_that_it_is_combined_on(n_origins, cv):
    X, y, origin = origins_in_pixels(n_origins)
    if cv == "groups":
        cv = LeaveSourcesOut(2, random_state=3)
    elif cv == "splits":
        first = np.isin(X[:, 0, 0], [0, 1])
        cv = [(np.flatnonzero(~first), np.flatnonzero(first))]
    Recorder.log.clear()
    ensemble = EnsembleDetector([("a", Recorder()), ("b", Recorder())], cv=cv)
    ensemble.fit(X, y, origin=origin)
    assert Recorder.log
    assert all(seen and scored and not seen & scored for seen, scored in Recorder.log)
    assert ensemble.training_summary_["combined_on"] == "left-out generators and sources"
    assert ensemble.estimators_[0].seen_ == set(range(n_origins))  # and then on all


def test_groups_are_left_out_together():
    X, y, _ = origins_in_pixels(4)
    picture = np.arange(len(y)) // 2
    X[:, 0, 0] = picture  # pairs of one class
    Recorder.log.clear()
    ensemble = EnsembleDetector([("a", Recorder())]).fit(X, y, groups=picture)
    assert all(not seen & scored for seen, scored in Recorder.log)
    assert ensemble.training_summary_["combined_on"].startswith("left-out images of the same")


def test_folds_that_share_an_origin_are_refused():
    X, y, origin = origins_in_pixels(4)
    ensemble = EnsembleDetector([("a", Recorder())], cv=[(np.arange(3, 24), np.arange(6))])
    with pytest.raises(ValueError, match=r"trains and tests on \['origin 0'\] in fold 1"):
        ensemble.fit(X, y, origin=origin)


def test_origins_that_a_saved_member_knows_are_not_combined_on(images, tmp_path):
    member = hog().fit(images[:20], Y[:20])
    member.training_summary_ |= {"generators": ["sd"], "sources": ["lfw"]}
    member.save(tmp_path / "m.onnx")
    members = [("saved", str(tmp_path / "m.onnx")), ("frozen", FrozenEstimator(member))]
    origin = np.array(["lfw", "sd", "ffhq", "flux"])[np.arange(40) % 4]
    ensemble = EnsembleDetector(members).fit(images, Y, origin=origin)
    assert ensemble.training_summary_["n_combined"] == 20
    assert ensemble.training_summary_["combined_on"] == "images that are new to all members"
    with pytest.raises(ValueError, match=r"'saved' was trained on \['sd'\]"):
        ensemble.fit(images[Y == 0].repeat(2, 0), Y, origin=np.where(Y, "sd", "ffhq"))


def test_saved_fitted_and_new_members_make_one_file(images, tmp_path):
    hog().fit(images, Y).save(tmp_path / "m.onnx")
    isotonic = dct().fit(images, Y)
    scores = isotonic.decision_function(images)
    isotonic.calibration_ = fit_calibration(scores, Y, method="isotonic")
    members = [("file", str(tmp_path / "m.onnx")), ("isotonic", isotonic), ("new", hog(C=1))]
    ensemble = EnsembleDetector(members[:2], cv="prefit").fit(images, Y)
    assert ensemble.estimators_[1] is isotonic
    np.testing.assert_allclose(
        OnnxDetector(ensemble.to_onnx().SerializeToString()).fit(images).predict_proba(images),
        ensemble.predict_proba(images),
        atol=1e-6,
    )
    mixed = EnsembleDetector(members, cv=2).fit(images, Y)
    assert isinstance(mixed.named_estimators_["file"], OnnxDetector)
    assert mixed.estimators_[1] is not isotonic
    assert mixed.to_onnx().graph.name == "EnsembleDetector"


@pytest.mark.parametrize("opset", [13, 17, 18])
def test_a_member_that_runs_alone_makes_the_ensemble_run_alone(images, opset):
    axes = "ReduceMean <axes = [1, 2, 3], keepdims = 0> (images)"
    if opset == 18:
        axes = "ReduceMean <keepdims = 0> (images, axes)"
    graph = onnx.parser.parse_graph(
        f"""
        tiny (float[1, 3, 8, 8] images) => (float[1, 1] logit) {{
            axes = Constant <value_ints = [1, 2, 3]> ()
            mean = {axes}
            shape = Constant <value_ints = [1, 1]> ()
            logit = Reshape (mean, shape)
        }}"""
    )
    opsets = [onnx.helper.make_opsetid("", opset)]
    content = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    alone = OnnxDetector(content.SerializeToString(), network_input=NetworkInput((8, 8)))
    ensemble = EnsembleDetector([("alone", alone), ("hog", hog())], cv=2).fit(images, Y)
    assert ensemble.record_.run_size == 1
    model = ensemble.to_onnx()  # with one version of the operators for all members
    assert [one.version for one in model.opset_import if not one.domain] == [max(opset, 17)]
    loaded = OnnxDetector(model.SerializeToString()).fit(images)
    np.testing.assert_allclose(
        loaded.decision_function(images), ensemble.decision_function(images), atol=1e-4
    )


def test_weights_of_images_reach_the_members_and_the_combination(images, capsys):
    """Images of no weight may have any label."""
    is_wrong = np.arange(40) % 8 < 2
    ensemble = EnsembleDetector(SAME, cv=2, verbose=True)
    ensemble.fit(images, np.where(is_wrong, 1 - Y, Y), sample_weight=1.0 - is_wrong)
    assert np.mean(ensemble.predict(images) == Y) > 0.9
    assert "Fold 2 of 2: dct" in capsys.readouterr().err


def test_a_member_without_probabilities_counts_by_its_decision_function(images):
    svc = make_pipeline(HoGTransformer(image_size=(32, 32)), LinearSVC()).fit(images, Y)
    ensemble = EnsembleDetector([("svc", svc)], cv="prefit").fit(images, Y)
    found = ensemble.member_scores(images)[:, 0]
    np.testing.assert_allclose(found, expit(svc.decision_function(images)))


def test_one_group_of_a_class_is_too_few(images):
    with pytest.raises(ValueError, match="only one image or group of one class"):
        EnsembleDetector(SAME).fit(images, Y, groups=Y)


class Constant(ClassifierMixin, BaseEstimator):
    """Has one probability for all images."""

    classes_ = np.array([0, 1])

    def __init__(self, probability):
        self.probability = probability

    def fit(self, X, y):  # noqa: ARG002
        self.fitted_ = True
        return self

    def predict_proba(self, X):
        return np.tile([1 - self.probability, self.probability], (len(X), 1))


@pytest.mark.parametrize(
    ("probabilities", "conflict"),
    [
        ([0.9, 0.9, 0.9], 0),
        ([1.0, 1.0], 0),
        ([0.5, 0.5], 0),
        ([0.0, 1.0], 1),
        ([0.0, 0.0, 1.0], 0.918296),  # the entropy of one in three, in bits
        ([0.5, 1.0], 0.811278 - 0.5),
    ],
)
def test_conflict_is_the_jensen_shannon_divergence_in_bits(probabilities, conflict, images):
    members = [(f"p{number}", Constant(p).fit(0, 0)) for number, p in enumerate(probabilities)]
    ensemble = EnsembleDetector(members, combination="soft", cv="prefit").fit(images, Y)
    found = ensemble.conflict(images[:3])
    np.testing.assert_allclose(found, conflict, atol=1e-4)
    assert (found >= 0).all()
    assert (found <= 1).all()
    np.testing.assert_allclose(ensemble.member_scores(images[:1])[0], probabilities, atol=1e-5)


def test_pipelines_are_members_but_not_graphs(images, paths):
    pipeline = make_pipeline(HoGTransformer(image_size=(32, 32)), LogisticRegression())
    ensemble = EnsembleDetector([("pipe", pipeline), ("hog", hog())], cv=2).fit(paths, Y)
    expected = ensemble.estimators_[0].predict_proba(
        [cv2.imread(path)[..., ::-1] for path in paths]
    )
    np.testing.assert_allclose(ensemble.member_scores(paths)[:, 0], expected[:, 1], atol=1e-9)
    with pytest.raises(ModelFileError, match=r"'pipe', a Pipeline,.*export_pipeline"):
        ensemble.to_onnx()
    assert not hasattr(ensemble, "record_")
    assert OcclusionSaliency(ensemble, window_shape=(30, 30)).transform(images[:1]).shape[0] == 1
    with pytest.raises(ValueError, match="'pipe' does not take sample_weight"):
        ensemble.fit(images, Y, sample_weight=np.ones(40))


def test_parameters_of_members(images):
    ensemble = EnsembleDetector(SAME, cv=2)
    clone(ensemble).set_params(hog__C=3.0, dct="drop").fit(images, Y)
    assert ensemble.get_params()["hog__C"] == 0.01  # the clone was changed
    changed = clone(ensemble).set_params(hog__C=3.0, dct="drop").fit(images, Y)
    assert list(changed.named_estimators_) == ["hog"]
    assert changed.estimators_[0].C == 3.0
    fixed = clone(ensemble).set_params(weights=[3, 1]).fit(images, Y).combination_.weights
    assert fixed[0] == pytest.approx(3 * fixed[1])


def test_gradient_of_members_that_see_the_same_pixels(fitted, images):
    maps = GradientSaliency(fitted["same"]).transform(images[:2])
    assert maps.shape == (2, 60, 50)
    assert maps.any()
    with pytest.raises(ModelFileError, match="OcclusionSaliency"):
        GradientSaliency(fitted["different"]).transform(images[:1])
    occlusion = OcclusionSaliency(fitted["different"], window_shape=(30, 30))
    assert occlusion.transform(images[:1]).shape == (1, 60, 50)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"estimators": []}, "at least one member"),
        ({"estimators": [hog()]}, "list of .name, estimator. tuples"),
        ({"estimators": [("a__b", hog())]}, "must not contain __"),
        ({"estimators": [("a", hog()), ("a", hog())]}, "not unique"),
        ({"estimators": [("a", "no such detector")]}, "neither a file nor one of the shipped"),
        ({"estimators": [("a", HoGTransformer())]}, "the member 'a' is HoGTransformer"),
        ({"combination": "vote"}, "combination='vote'"),
        ({"combination": "stacking", "weights": [1, 1]}, "weights="),
        ({"weights": [1]}, "2 numbers"),
        ({"cv": "fitted"}, "cv='fitted'"),
        ({"cv": "prefit"}, "not fitted"),
    ],
)
def test_wrong_parameters(change, message, images):
    with pytest.raises(ValueError, match=message):
        EnsembleDetector(SAME).set_params(**change).fit(images, Y)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("members",), "hog", "members is 'hog'; a list of objects"),
        (("members", 0, "input"), "images", r"members\[0\].input is 'images'"),
        (("members", 1, "name"), "hog", "members is .*different names"),
        (("members", 1, "record", "threshold"), None, r"members\[1\].record.threshold is None"),
        (("members", 1, "record", "members"), [], "ensembles are not nested"),
        (("members", 1, "record", "members"), [{}], "ensembles are not nested"),
    ],
)
def test_a_damaged_list_of_members_is_named(fitted, path, value, message):
    content = json.loads(fitted["different"].record_.to_json())
    part = content
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(ModelFileError, match=message):
        ModelRecord.from_json(json.dumps(content), "model.onnx")


def test_inputs_must_be_those_of_the_record(fitted):
    model = fitted["different"].to_onnx()
    (text,) = (one for one in model.metadata_props if one.key == "detectorkit")
    text.value = text.value.replace("pixels_3", "pixels_4")
    with pytest.raises(ModelFileError, match=r"members with the inputs .*pixels_4"):
        GraphRunner(model.SerializeToString())


def test_inputs_must_have_the_shapes_of_the_record(fitted, images):
    model = fitted["different"].to_onnx()
    (text,) = (one for one in model.metadata_props if one.key == "detectorkit")
    content = json.loads(text.value)
    hog, native = (content["members"][number]["record"] for number in (0, 1))

    def run():
        text.value = json.dumps(content)
        GraphRunner(model.SerializeToString()).score(ImageSequence(list(images[:2])))

    run()
    native["features"][0] = {"name": "smoothness"}
    with pytest.raises(ModelFileError, match="cannot be run: "):
        run()
    (found,) = (one for one in model.graph.input if one.name == "features_2")
    found.type.tensor_type.shape.dim[1].dim_param = "any"
    with pytest.raises(ModelFileError, match=r"features_2' of shape .*; expected \(n, number\)"):
        run()
    hog["preprocessing"]["image_size"] = [9, 9]
    content["members"][3]["record"]["preprocessing"]["image_size"] = [9, 9]
    with pytest.raises(ModelFileError, match=r"its member prepares images of \(9, 9\)"):
        run()


def crops_detector():
    """A network that scores four crops of an image by their brightness."""
    graph = onnx.parser.parse_graph(
        """
        tiny (float[n, 3, 8, 8] images) => (float[n, 1] logit) {
            mean = GlobalAveragePool (images)
            rows = Flatten (mean)
            axes = Constant <value_ints = [1]> ()
            logit = ReduceSum (rows, axes)
        }"""
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    content = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    taken = NetworkInput((8, 8), n_crops=4)
    return OnnxDetector(content.SerializeToString(), network_input=taken)


def test_scores_of_crops_are_averaged(images, tmp_path):
    members = [("crops", crops_detector()), ("hog", hog())]
    ensemble = EnsembleDetector(members, cv=2).fit(images, Y)
    ensemble.save(tmp_path / "m.onnx")
    mixed = [*images[:5], np.zeros((7, 90, 3), np.uint8)]
    expected = ensemble.decision_function(mixed)
    np.testing.assert_allclose(
        load_detector(tmp_path / "m.onnx").decision_function(mixed), expected, atol=1e-4
    )
    crops = ensemble.named_estimators_["crops"]
    scores = crops.decision_function(images)
    crops.calibration_ = fit_calibration(scores, Y, method="isotonic")
    with pytest.raises(ModelFileError, match="'crops' has crops and an isotonic calibration"):
        ensemble.to_onnx()


def test_an_ensemble_is_not_a_member_of_a_file(fitted, images):
    nested = EnsembleDetector([("a", fitted["same"])], cv="prefit").fit(images, Y)
    with pytest.raises(ModelFileError, match="is an ensemble itself"):
        nested.to_onnx()
