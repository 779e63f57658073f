"""Results as tables of pandas, as charts and as HTML."""

import sys

import numpy as np
import pytest

from detectorkit.datasets.audit import Audit, Finding
from detectorkit.datasets.audit.metadata_auc import MetadataAuc
from detectorkit.evaluation import Evaluation, RobustnessReport, SourceEvaluation
from detectorkit.evaluation.cross_generator import CrossGeneratorReport
from detectorkit.evaluation.protocols import Trial
from detectorkit.evaluation.source_curve import SourceLearningCurve
from detectorkit.evaluation.trials import TrialResult
from detectorkit.metrics.estimates import Estimate, proportion

RANDOM = np.random.RandomState(0)
Y = np.repeat([0, 1], 20)
SCORES = RANDOM.normal(size=40) + Y
ORIGIN = np.repeat(["web<b>", "$a_1$", "gan", "diffusion_2"], 10).astype(object)
EVALUATION = Evaluation(Y, SCORES, 0.5, None, ORIGIN, n_resamples=20)
BY_SOURCE = SourceEvaluation(
    Y, SCORES, np.zeros(40), np.tile(np.array(["a", "b", "c", "d"]), 10), ORIGIN, ORIGIN
)
NONE = np.zeros(0, np.intp)
TRIAL = TrialResult(
    Trial("without gan", NONE, NONE, {}),
    None,
    EVALUATION,
    {"self": EVALUATION, "foreign": EVALUATION.at(0.1)},
    {},
    0.0,
)
AREA = proportion(7, 10)
RESULTS = {
    "evaluation": EVALUATION,
    "sources": BY_SOURCE,
    "curve": SourceLearningCurve(np.array([2.0, 3]), np.array([20.0, 30]), [BY_SOURCE, BY_SOURCE]),
    "cross-generator": CrossGeneratorReport([TRIAL, TRIAL]),
    "robustness": RobustnessReport(("clean", "blur"), Y, np.stack([SCORES, SCORES - 1]), 0.5),
    "audit": Audit(
        (),
        (),
        (),
        {},
        Estimate(np.nan, np.nan, np.nan),
        MetadataAuc(AREA, AREA, {"bytes_per_pixel": AREA}),
        0.6,
        (Finding("fail", "container", "format & size <differ>"),),
    ),
}
every_result = pytest.mark.parametrize("name", RESULTS)


def test_an_estimate_has_its_interval_beside_it():
    frame = EVALUATION.to_frame("origins").set_index("origin")
    rate = EVALUATION.origins[0].called_generated
    row = frame.loc[EVALUATION.origins[0].name]
    assert tuple(row[["called_generated", "called_generated_low", "called_generated_high"]]) == rate
    assert (frame["n"] == 10).all()
    assert list(frame["kind"]) == ["photographs"] * 2 + ["generator"] * 2


def test_the_first_table_is_the_default():
    frame = EVALUATION.to_frame().set_index("metric")
    assert frame.loc["roc_auc", "value"] == EVALUATION.metrics["roc_auc"].value
    assert frame.loc["macro balanced accuracy", "value_high"] <= 1
    with pytest.raises(ValueError, match=r"Evaluation.to_frame: table='x' must be .*'origins'"):
        EVALUATION.to_frame("x")


@pytest.mark.parametrize(
    ("name", "table", "n_rows", "columns"),
    [
        ("sources", None, len(BY_SOURCE.metrics), {"metric", "value", "value_low"}),
        ("sources", "false_positive_rates", 4, {"source", "false_positive_rate"}),
        ("curve", None, 2, {"n_units", "roc_auc", "roc_auc_high", "recall@fpr_5"}),
        ("cross-generator", None, 2, {"left_out", "self_roc_auc", "foreign_recall_low"}),
        ("robustness", None, 2, {"perturbation", "flips_real", "relative_shift_generated_low"}),
        ("audit", None, 1, {"severity", "topic", "text"}),
        ("audit", "facts", 4, {"fact", "roc_auc", "roc_auc_low", "roc_auc_high"}),
    ],
)
def test_every_result_is_a_table(name, table, n_rows, columns):
    frame = RESULTS[name].to_frame(table)
    assert len(frame) == n_rows
    assert columns <= set(frame.columns)


@every_result
def test_every_result_is_printed_as_its_text(name):
    result = RESULTS[name]
    assert repr(result) == str(result) == result.to_text()
    assert len(repr(result)) < 3000
    assert "array(" not in repr(result)


def test_a_trial_is_printed_without_its_images_and_scores():
    assert repr(TRIAL).startswith("TrialResult(trial=Trial(name='without gan'), detector=None, ")
    assert len(repr(TRIAL)) < 120


@every_result
def test_every_result_is_a_chart(name):
    plt = pytest.importorskip("matplotlib.pyplot")
    try:
        axes = RESULTS[name].plot()
        axes.figure.canvas.draw()
        assert axes.has_data()
        again = plt.figure().add_subplot()
        assert RESULTS[name].plot(ax=again) is again
    finally:
        plt.close("all")


def test_the_chart_has_the_values_of_the_table():
    plt = pytest.importorskip("matplotlib.pyplot")
    axes = RESULTS["robustness"].plot()
    frame = RESULTS["robustness"].to_frame()
    for container, name in zip(axes.containers, axes.get_legend().get_texts(), strict=True):
        np.testing.assert_allclose(
            container.lines[0].get_xdata(), frame[name.get_text().replace(" ", "_")]
        )
    assert [one.get_text() for one in axes.get_yticklabels()] == ["clean", "blur"]
    plt.close(axes.figure)


@every_result
def test_html_is_escaped_and_takes_the_colours_of_the_notebook(name):
    html = RESULTS[name]._repr_html_()
    assert html.startswith("<div>")
    assert html.count("<table") == html.count("</table>") > 0
    assert "<b>" not in html
    assert "<differ>" not in html
    assert "#" not in html.replace("&#", "")  # no colour of its own
    assert "currentColor" in html
    assert "nan" not in html


@pytest.mark.parametrize(("package", "call"), [("pandas", "to_frame"), ("matplotlib", "plot")])
def test_without_a_package_the_error_says_how_to_install_it(package, call, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"Evaluation.{call} needs {package}.* pip install"):
        getattr(EVALUATION, call)()
