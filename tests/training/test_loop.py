from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

torch = pytest.importorskip("torch")

from detectorkit import CNNDetector
from detectorkit.base import FitInputs
from detectorkit.detectors._trained import balanced_chances, split_validation
from detectorkit.graph.inputs import NetworkInput
from detectorkit.images.crops import cut_crops
from detectorkit.images.sequence import check_images
from detectorkit.training import Augmentation
from detectorkit.training.architectures import ModifiedCNN, ResNet18, attach_head
from detectorkit.training.loop import Schedule, TrainingSet, fit_network, score_images

pytestmark = pytest.mark.usefixtures("fast_export")

SCHEDULE = Schedule(
    learning_rate=1e-3, batch_size=8, max_epochs=4, patience=9, device="cpu", n_threads=1, seed=5
)


@pytest.fixture
def data():
    """40 images of 18 x 20 pixels, of which the generated ones are brighter."""
    random = np.random.default_rng(0)
    codes = np.arange(40) % 2
    images = random.integers(0, 200, (40, 18, 20, 3)) + 50 * codes[:, None, None, None]
    return TrainingSet(
        images=check_images(images.astype(np.uint8)),
        y=codes,
        weight=np.ones(40),
        train=np.arange(30),
        val=np.arange(30, 40),
        chances=None,
        network_input=NetworkInput((16, 16)),
        augmentation=Augmentation(),
    )


def make_network(**settings):
    torch.manual_seed(0)
    return ModifiedCNN((16, 16), n_conv=1, **settings)


def train(data, schedule=SCHEDULE, network=None, **options):
    network = network or make_network()
    return network, fit_network(network, data, schedule, **options)


def assert_same(first, second):
    state = second.state_dict()
    for name, tensor in first.state_dict().items():
        assert_array_equal(tensor, state[name], err_msg=name)


def figures(history):
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in history]


@pytest.mark.parametrize("stop", [1, 3])
def test_a_stopped_training_goes_on_to_the_same_end(data, tmp_path, stop):
    whole, history = train(data)
    checkpoint = tmp_path / "training.pt"
    train(data, replace(SCHEDULE, max_epochs=stop), checkpoint=checkpoint)
    resumed, continued = train(data, checkpoint=checkpoint)
    assert_same(whole, resumed)
    assert figures(continued) == figures(history)
    assert [path.name for path in tmp_path.iterdir()] == ["training.pt"]


def test_a_detector_goes_on_to_the_same_file(data, tmp_path):
    X, y = data.images.items, data.y
    settings = {"image_size": (16, 16), "n_conv": 1, "batch_size": 8, "random_state": 0}
    whole = CNNDetector(max_epochs=3, **settings).fit(X, y)
    checkpoint = tmp_path / "training.pt"
    CNNDetector(max_epochs=1, checkpoint=checkpoint, **settings).fit(X, y)
    resumed = CNNDetector(max_epochs=3, checkpoint=checkpoint, **settings).fit(X, y)
    assert_array_equal(whole.decision_function(X), resumed.decision_function(X))
    assert whole.onnx_model_ == resumed.onnx_model_


@pytest.mark.parametrize(
    "other",
    [
        {"y": np.arange(40) % 3 % 2},
        {"images": check_images(np.zeros((40, 18, 20, 3), np.uint8))},
        {"weight": np.full(40, 2.0)},
        {"train": np.arange(1, 30)},
        {"augmentation": None},
        {"network_input": NetworkInput((16, 16), n_crops=1)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_checkpoint_of_another_training_is_refused(data, tmp_path, other):
    checkpoint, schedule = tmp_path / "training.pt", replace(SCHEDULE, max_epochs=1)
    train(data, schedule, checkpoint=checkpoint)
    with pytest.raises(ValueError, match=r"training\.pt' belongs to a training with other images"):
        train(replace(data, **other), schedule, checkpoint=checkpoint)


@pytest.mark.parametrize("other", [{"learning_rate": 1e-2}, {"batch_size": 4}, {"seed": 1}])
def test_a_checkpoint_of_other_settings_is_refused(data, tmp_path, other):
    checkpoint, schedule = tmp_path / "training.pt", replace(SCHEDULE, max_epochs=1)
    train(data, schedule, checkpoint=checkpoint)
    with pytest.raises(ValueError, match=r"training\.pt' belongs to a training .* settings"):
        train(data, replace(schedule, **other), checkpoint=checkpoint)
    with pytest.raises(ValueError, match=r"training\.pt' belongs to a training .* settings"):
        train(data, schedule, ModifiedCNN((16, 16), n_conv=2), checkpoint=checkpoint)


def test_a_finished_training_is_not_begun_again(data, tmp_path):
    checkpoint = tmp_path / "training.pt"
    first, history = train(data, checkpoint=checkpoint)
    second, same = train(data, checkpoint=checkpoint)
    assert_same(first, second)
    assert same == history  # also the seconds


def test_the_best_epoch_is_kept_and_says_when_to_stop(data):
    schedule = replace(SCHEDULE, learning_rate=0.03, max_epochs=30, patience=3)
    network, history = train(data, schedule)
    losses = [entry["val_loss"] for entry in history]
    best = int(np.argmin(losses))
    assert len(history) == best + 1 + 3 < 30
    scores = score_images(network, data, data.val, schedule)
    target = data.y[data.val]
    loss = np.mean(np.log1p(np.exp(np.where(target == 1, -scores, scores))))
    assert_allclose(loss, losses[best], rtol=1e-5)
    assert_allclose(np.mean((scores > 0) == target), history[best]["val_accuracy"])


def test_without_a_validation_part_the_last_epoch_is_kept(data):
    data = replace(data, val=np.arange(0))
    last, history = train(data, replace(SCHEDULE, patience=1))
    assert [set(entry) for entry in history] == [{"loss", "seconds"}] * 4
    one, _ = train(data, replace(SCHEDULE, max_epochs=1))
    assert any((a != b).any() for a, b in zip(last.parameters(), one.parameters(), strict=True))


def test_every_image_is_drawn_once_in_an_epoch(data):
    batches = data.draw(SCHEDULE, 0)
    assert [len(batch) for batch in batches] == [8, 8, 8, 6]
    assert_array_equal(np.sort(np.concatenate(batches)), data.train)
    assert any((a != b).any() for a, b in zip(batches, data.draw(SCHEDULE, 1), strict=True))


def test_no_image_stands_alone_in_a_batch(data):
    data = replace(data, train=np.arange(33), val=np.arange(33, 40))
    assert [len(batch) for batch in data.draw(SCHEDULE, 0)] == [8, 8, 8, 9]
    network = attach_head(ResNet18(), 512, (), 0)  # would normalise that one to nothing
    train(data, replace(SCHEDULE, max_epochs=1), network)


def test_chances_make_classes_and_origins_alike(data):
    codes = np.repeat([0, 1], [900, 100])
    origin = np.repeat(["camera", "web", "gan", "diffusion"], [800, 100, 90, 10])
    chances = balanced_chances(codes, origin)
    assert_allclose(chances.sum(), 1)
    everything = replace(data, y=codes, train=np.arange(1000), chances=chances)
    drawn = np.concatenate([np.concatenate(everything.draw(SCHEDULE, i)) for i in range(10)])
    assert_allclose(np.mean(codes[drawn]), 0.5, atol=0.02)
    for name in np.unique(origin):
        assert_allclose(np.mean(origin[drawn] == name), 0.25, atol=0.02)


def test_threads_do_not_change_the_result(data):
    one, history = train(data)
    several, same = train(data, replace(SCHEDULE, n_threads=3))
    assert_same(one, several)
    assert figures(same) == figures(history)


def test_weights_count_like_repeated_images(data):
    data = replace(data, augmentation=None, train=np.arange(8), val=np.arange(0))
    schedule = replace(SCHEDULE, max_epochs=1, batch_size=12)
    weighted = replace(data, weight=np.where(np.arange(40) < 4, 2.0, 1.0))
    repeated = replace(data, train=np.array([*range(8), *range(4)]))
    networks = []
    for part in (weighted, repeated):
        network = make_network(batch_norm=False)  # which counts images, not weights
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0
        networks.append(train(part, schedule, network)[0])
    # Adam's first step is as long for the smallest gradient as for the largest, so of one that is
    # nearly 0 rounding decides: of half a million weights, one may differ, by less than a step.
    for first, second in zip(*(n.parameters() for n in networks), strict=True):
        assert_allclose(first.detach(), second.detach(), atol=schedule.learning_rate)
        assert np.isclose(first.detach(), second.detach(), atol=1e-5).mean() > 0.9999


def test_crops_of_images_of_several_sizes_are_averaged(data):
    taken = NetworkInput((16, 16), n_crops=4)
    items = [*data.images.items[:3], np.zeros((16, 16, 3), np.uint8), data.images.items[4]]
    data = replace(data, images=check_images(items), network_input=taken)
    network = make_network().eval()
    expected = []
    for image in items:
        crops = cut_crops(image, (16, 16), 4)
        with torch.inference_mode():
            logits = network(torch.from_numpy(taken.scale(crops)))
        expected.append(float((logits[:, 1] - logits[:, 0]).mean()))
    found = score_images(network, data, np.arange(5), SCHEDULE)
    assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def headed(**settings):
    torch.manual_seed(0)
    return attach_head(ResNet18(), ResNet18.n_features, (), 0.0, **settings)


def test_the_head_learns_first_and_alone(data):
    network, untouched = headed(keeps_statistics=True), headed()
    schedule = replace(SCHEDULE, head_epochs=9, max_epochs=1, learning_rate=1e-12)
    data = replace(data, augmentation=None)
    train(data, schedule, network)
    for first, second in zip(network[0].parameters(), untouched[0].parameters(), strict=True):
        assert_allclose(first.detach(), second.detach(), atol=1e-6)
    assert not np.allclose(network[-1].weight.detach(), untouched[-1].weight.detach(), atol=1e-4)
    losses = []
    for part in (network, untouched):
        scores = torch.from_numpy(score_images(part, data, data.train, schedule))
        target = torch.from_numpy(data.y[data.train]).float()
        losses.append(torch.nn.functional.binary_cross_entropy_with_logits(scores, target))
    assert losses[0] < losses[1]


def test_the_head_alone_is_kept_where_the_whole_network_does_worse(data):
    ruined = [headed(keeps_statistics=True) for _ in range(2)]
    for network, rate in zip(ruined, (5.0, 10.0), strict=True):
        schedule = replace(SCHEDULE, head_epochs=9, max_epochs=1, learning_rate=rate)
        _, history = train(data, schedule, network)
        assert len(history) == 1
    assert_same(*ruined)


def test_statistics_of_a_backbone_can_be_kept(data):
    network, other = headed(keeps_statistics=True), headed()
    before = network[0].bn1.running_mean.clone()
    for part in (network, other):
        train(data, replace(SCHEDULE, max_epochs=1), part)
    assert_array_equal(network[0].bn1.running_mean, before)
    assert not np.allclose(other[0].bn1.running_mean, before)
    assert not np.allclose(network[1].running_mean, 0)  # of the head, it learns


def test_a_training_after_the_head_goes_on_to_the_same_end(data, tmp_path):
    schedule = replace(SCHEDULE, head_epochs=2, max_epochs=2)
    whole, history = train(data, schedule, headed())
    checkpoint = tmp_path / "training.pt"
    train(data, replace(schedule, max_epochs=1), headed(), checkpoint=checkpoint)
    resumed, continued = train(data, schedule, headed(), checkpoint=checkpoint)
    assert_same(whole, resumed)
    assert figures(continued) == figures(history)


def test_the_seed_says_all(data):
    X, y = data.images.items, data.y
    settings = {"image_size": (16, 16), "n_conv": 1, "max_epochs": 2, "batch_size": 8}
    torch.manual_seed(1)
    first = CNNDetector(**settings, random_state=0).fit(X, y)
    before = torch.random.get_rng_state()
    second = CNNDetector(**settings, random_state=0, n_jobs=2).fit(X, y)
    assert_array_equal(torch.random.get_rng_state(), before)  # of the caller
    other = CNNDetector(**settings, random_state=1).fit(X, y)
    assert first.onnx_model_ == second.onnx_model_
    assert first.onnx_model_ != other.onnx_model_


def training(codes, groups=None):
    return FitInputs(
        check_images(np.zeros((len(codes), 5, 5), np.uint8)), [0, 1], codes, None, groups
    )


def split(codes, *, groups=None, origin=None, share=0.2):
    return split_validation(
        training(codes, groups),
        origin,
        proportion=share,
        by_origin=origin is not None,
        random_state=np.random.RandomState(0),
    )


def test_a_generator_and_a_source_are_left_out_whole():
    codes = np.repeat([0, 1], 30)
    origin = np.repeat(["camera", "web", "film", "gan", "diffusion", "flow"], 10)
    train, val = split(codes, origin=origin)
    assert_array_equal(np.sort(np.concatenate([train, val])), np.arange(60))
    assert not set(origin[train]) & set(origin[val])
    assert set(codes[train]) == set(codes[val]) == {0, 1}


def test_images_of_one_group_are_on_one_side():
    codes = np.arange(60) % 2
    groups = np.arange(60) // 4
    train, val = split(codes, groups=groups)
    assert len(val) == 12
    assert not set(groups[train]) & set(groups[val])


def test_images_of_no_group_are_groups_of_their_own():
    codes = np.arange(60) % 2
    assert len(split(codes, groups=np.full(60, ""))[1]) == 12


def test_few_images_leave_nothing_to_set_aside():
    for codes, share in [(np.array([0, 0, 1]), 0.2), (np.arange(60) % 2, 0)]:
        train, val = split(codes, share=share)
        assert_array_equal(train, np.arange(len(codes)))
        assert len(val) == 0
    train, val = split(np.array([0, 0, 1, 1]), share=0.1)
    assert len(train) == len(val) == 2
