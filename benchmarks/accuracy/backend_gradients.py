"""Gradients of the cases of `onnx.backend.test` against finite differences.

    python -m benchmarks gradients [--operator NAME ...] [-o FILE]

Of each case with a floating-point input and a floating-point output, a graph from pixels to a score
is made: the pixels are the input, and the score is the sum of all floating-point outputs with
random weights. Each floating-point input is one row. The gradient is compared with central
differences of the same case, at the input of the case and at one beside it: in double precision by
onnxruntime or the reference implementation of ONNX, and in single precision where these do not
give the outputs of the case. At a kink, such as the tie of a maximum, everything between the
derivatives of the two sides counts as right; where the value jumps, there is no derivative to
compare with.

right           equal to the differences
constant        the error says that the score does not depend on the pixels, and it does not
wrong           anything else without an error, or a false "does not depend"
refused         a `ModelFileError` that names the operator
crashed         any other exception
not applicable  onnxruntime cannot run the case, or it is random, or it has no finite differences

The result is benchmarks/results/backend_gradients.json.
"""

from __future__ import annotations

import argparse
import re
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from benchmarks.arguments import add_output
from benchmarks.files import RESULTS, write_json
from benchmarks.machine import find_versions
from detectorkit.exceptions import ModelFileError
from detectorkit.graph.gradients import gradient_graph
from detectorkit.graph.runner import make_session

RESULT = RESULTS / "backend_gradients.json"
VERDICTS = ("right", "constant", "wrong", "refused", "crashed", "not applicable")
FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomUniform"}
SAME = 1e-3  # of the sum of the weighted outputs
SLOW = 0.03  # seconds; the reference implementation is not asked hundreds of times if it takes more
N_PLACES = 24  # entries of an input whose derivatives are compared; of a larger one, random ones


class NotApplicableError(Exception):
    """There is nothing to compare a gradient with."""


@dataclass(frozen=True)
class Way:
    """A way to compute the score of a case.

    Attributes
    ----------
    score : callable
        From an input, in double precision, to the score.
    step : float
        Step of the differences.
    tolerance : float
        How far a gradient may be off, as a share of the largest derivative.
    """

    score: Callable[[NDArray[Any]], float]
    step: float
    tolerance: float


@dataclass(frozen=True)
class Row:
    """One floating-point input of one case.

    Attributes
    ----------
    case : onnx.backend.test.case.test_case.TestCase
        The case.
    place : int
        Which input of the graph.
    """

    case: Any
    place: int

    @property
    def name(self) -> str:
        """Name of the case and of its input."""
        return f"{self.case.name}:{self.case.model.graph.input[self.place].name}"


def collect_rows(operator: str | None = None) -> list[Row]:
    """Collect the cases of an operator, or of all; a case that is expanded into others is one more.

    Parameters
    ----------
    operator : str, default=None
        Its name; None takes all.

    Returns
    -------
    rows : list of Row
        Those with a floating-point input and output.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases overflow and divide by zero on purpose
        from onnx.backend.test.case.node import collect_testcases  # noqa: PLC0415 - it warns

        cases = collect_testcases(operator)
    return [
        Row(case, place)
        for case in cases
        if any(_elem_type(one) in FLOATS for one in case.model.graph.output)
        for place, one in enumerate(case.model.graph.input)
        if _elem_type(one) in FLOATS
    ]


def operators_of(rows: list[Row]) -> dict[str, str]:
    """Return the operator that each case is about; of an expanded case, that of its origin."""
    cases = {row.case.name: row.case.model.graph.node for row in rows}
    whole = {name: nodes[-1].op_type for name, nodes in cases.items() if "_expanded" not in name}
    return {
        name: whole.get(re.sub(r"_expanded.*", "", name), nodes[-1].op_type)
        for name, nodes in cases.items()
    }


def judge(row: Row, *, n_places: int = N_PLACES) -> tuple[str, str]:
    """Compare the gradient of a case by one of its inputs with finite differences.

    Parameters
    ----------
    row : Row
        The case and its input.
    n_places : int, default=N_PLACES
        Number of entries whose derivatives are compared.

    Returns
    -------
    verdict : str
        One of `VERDICTS`.
    reason : str
        What is wrong, or what the error says.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            content, ways, points = _prepare(row)
        except NotApplicableError as error:
            return "not applicable", str(error)
        try:
            gradient = _gradient(content)
            found = [gradient(point) for point in points]
        except ModelFileError as error:
            if "does not depend on" not in str(error):
                return ("refused" if _names_operator(row, str(error)) else "crashed"), str(error)
            gradient, found = None, [np.zeros(point.shape) for point in points]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
            return "crashed", f"{type(error).__name__}: {str(error).splitlines()[0]}"
        verdict, reason = _compare(found, points, ways, n_places)
        return ("constant" if verdict == "right" and gradient is None else verdict), reason


def _names_operator(row: Row, message: str) -> bool:
    """Say whether an error names an operator of the case, or of what it is expanded into."""
    graph = row.case.model.graph
    known = {node.op_type for node in graph.node}
    is_expanded = any(schema.name in message.split() for schema in onnx.defs.get_all_schemas())
    return is_expanded or any(one in message for one in known)


def _elem_type(value: onnx.ValueInfoProto) -> int:
    return value.type.tensor_type.elem_type if value.type.HasField("tensor_type") else 0


def _prepare(row: Row) -> tuple[bytes, list[Way], list[NDArray[Any]]]:
    """Return the graph from pixels to a score, the ways to compute it, and where to compare."""
    model = row.case.model
    if any(node.op_type in RANDOM for node in model.graph.node):
        raise NotApplicableError("it is random")
    inputs, outputs = (list(map(_as_array, part)) for part in row.case.data_sets[0])
    start = inputs[row.place].astype(np.float64)
    if not start.size or not np.isfinite(start).all():
        raise NotApplicableError("the input is empty or not finite")
    random = np.random.default_rng(0)
    weights = [
        random.uniform(0.5, 1.5, one.shape) * random.choice([-1, 1], one.shape)
        if _elem_type(value) in FLOATS
        else None
        for value, one in zip(model.graph.output, outputs, strict=True)
    ]
    content = adapt(model, inputs, row.place, weights).SerializeToString()
    terms = [
        one.astype(np.float64) * weight
        for one, weight in zip(outputs, weights, strict=True)
        if weight is not None
    ]
    expected, size = float(sum(map(np.sum, terms))), float(sum(np.abs(one).sum() for one in terms))
    if not np.isfinite(expected):
        raise NotApplicableError("an output is not finite")
    try:
        session = make_session(content, "case")
        given = session.run(["score"], {"pixels": start[np.newaxis].astype(np.float32)})[0][0]
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise NotApplicableError(f"onnxruntime cannot run it: {reason}") from error
    room = SAME * max(size, 1e-3)
    if not abs(given - expected) <= room:
        raise NotApplicableError("onnxruntime gives other outputs")
    ways: list[Way] = []
    for way in _ways(model, inputs, row.place, weights, session):
        if len(ways) < 2 and _agrees(way, start, expected, room) and _is_steady(way, start):
            ways.append(way)
    if not ways:
        raise NotApplicableError("nothing gives the outputs of the case")
    beside = start + 0.02 * max(start.std(), 0.1) * random.normal(size=start.shape)
    return content, ways, [start, beside]


def _as_array(value: Any) -> NDArray[Any]:
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    if value is None or isinstance(value, (list, dict)):
        raise NotApplicableError("it has inputs or outputs that are not tensors")
    return np.asarray(value)


def _agrees(way: Way, start: NDArray[Any], expected: float, room: float) -> bool:
    """Say whether a way gives the outputs of the case, and soon enough."""
    seconds = []
    for _ in range(2):
        before = time.perf_counter()
        try:
            found = way.score(start)
        except Exception:  # noqa: BLE001 - an implementation that cannot run it is not asked
            return False
        seconds.append(time.perf_counter() - before)
    return min(seconds) <= SLOW and abs(found - expected) <= room


def _is_steady(way: Way, start: NDArray[Any]) -> bool:
    """Say whether a way computes in the precision that its step needs all along."""
    random = np.random.default_rng(2)
    for _ in range(4):
        direction = random.normal(size=start.shape)
        try:
            here = way.score(start)
            near, far = (
                (way.score(start + h * direction) - here) / h for h in (way.step, 10 * way.step)
            )
        except Exception:  # noqa: BLE001 - outside of the range of the operator
            return True
        jumps = abs(near) > 3 * abs(far) or not np.isfinite([near, far]).all()
        if not jumps and abs(near - far) > 0.02 * max(abs(far), 0.1):
            return False
    return True


def adapt(
    model: onnx.ModelProto, inputs: list[NDArray[Any]], place: int, weights: list[Any]
) -> onnx.ModelProto:
    """Build the graph from "pixels" to "score" that holds a case.

    Parameters
    ----------
    model : onnx.ModelProto
        The case.
    inputs : list of ndarray
        Its inputs.
    place : int
        Which of them the pixels are.
    weights : list of (ndarray or None)
        For each output its weights in the score.

    Returns
    -------
    adapted : onnx.ModelProto
        Pixels have a first axis in front, of the images, over which they are added.
    """
    adapted = onnx.ModelProto()
    adapted.CopyFrom(model)
    graph = adapted.graph
    version_ = next((one.version for one in adapted.opset_import if not one.domain), None)
    if version_ is None:
        version_ = 17
        adapted.opset_import.append(helper.make_opsetid("", version_))
    names = [one.name for one in graph.input]
    for k, (name, value) in enumerate(zip(names, inputs, strict=True)):
        if k != place:
            graph.initializer.append(_tensor(value, name, _elem_type(graph.input[k])))
    axes = numpy_helper.from_array(np.array([0]), "detectorkit/axes")
    axis = {"inputs": ["pixels", axes.name]} if version_ >= 13 else {"inputs": ["pixels"]}
    options = {} if version_ >= 13 else {"axes": [0]}
    before = [
        helper.make_node("ReduceSum", outputs=["detectorkit/x"], keepdims=0, **axis, **options),
        helper.make_node(
            "Cast", ["detectorkit/x"], [names[place]], to=_elem_type(graph.input[place])
        ),
    ]
    graph.initializer.append(axes)
    after, terms = [], []
    for value, weight in zip(graph.output, weights, strict=True):
        if weight is None:
            continue
        key = f"detectorkit/{value.name}"
        graph.initializer.append(numpy_helper.from_array(weight.astype(np.float32), key))
        after += [
            helper.make_node("Cast", [value.name], [f"{key}/float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{key}/float", key], [f"{key}/term"]),
            helper.make_node("ReduceSum", [f"{key}/term"], [f"{key}/sum"], keepdims=0),
        ]
        terms.append(f"{key}/sum")
    one = numpy_helper.from_array(np.array([-1]), "detectorkit/one")
    graph.initializer.append(one)
    after += [
        helper.make_node("Sum", terms, ["detectorkit/total"]),
        helper.make_node("Reshape", ["detectorkit/total", one.name], ["score"]),
    ]
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    shape = ["n", *inputs[place].shape]
    graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape))
    graph.output.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, None))
    return adapted


def _tensor(value: NDArray[Any], name: str, elem_type: int) -> TensorProto:
    tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
    if tensor.data_type != elem_type:
        tensor = helper.make_tensor(name, elem_type, value.shape, np.ravel(value).tolist())
    return tensor


def _ways(
    model: onnx.ModelProto,
    inputs: list[NDArray[Any]],
    place: int,
    weights: list[Any],
    session: Any,
) -> Iterator[Way]:
    """Say how a score can be computed, the most exact way first."""
    wide = widen(model)
    feeds = {
        one.name: value.astype(np.float64) if _elem_type(one) in FLOATS else value
        for one, value in zip(model.graph.input, inputs, strict=True)
    }
    name = model.graph.input[place].name

    def total(found: list[Any]) -> float:
        parts = [
            one * weight for one, weight in zip(found, weights, strict=True) if weight is not None
        ]
        if any(part.dtype != np.float64 for part in parts) or any(
            one.dtype != np.float64
            for one, weight in zip(found, weights, strict=True)
            if weight is not None
        ):
            raise NotApplicableError("it does not compute in double precision")
        return float(sum(part.sum() for part in parts))

    try:
        double = make_session(wide.SerializeToString(), "case in double precision")
        yield Way(lambda x: total(double.run(None, feeds | {name: x})), 1e-6, 1e-3)
    except Exception:  # noqa: BLE001, S110 - the next way may give them
        pass

    try:
        evaluator = ReferenceEvaluator(wide)
        yield Way(lambda x: total(evaluator.run(None, feeds | {name: x})), 1e-6, 1e-3)
    except Exception:  # noqa: BLE001, S110 - the next way may give them
        pass

    halves = {TensorProto.FLOAT16, TensorProto.BFLOAT16}
    if any(_elem_type(one) in halves for one in (*model.graph.input, *model.graph.output)):
        return  # differences of half precision are noise

    def single(x: NDArray[Any]) -> float:
        pixels = x[np.newaxis].astype(np.float32)
        return float(session.run(["score"], {"pixels": pixels})[0][0])

    yield Way(single, 2e-3, 3e-2)


def widen(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a case in double precision."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    _widen_graph(wide.graph)
    for function in wide.functions:
        _widen_nodes(function.node)
    return wide


def _widen_graph(graph: onnx.GraphProto) -> None:
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        if _elem_type(value) in FLOATS:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    _widen_nodes(graph.node)


def _widen_nodes(nodes: Any) -> None:
    for node in nodes:
        for one in node.attribute:
            if one.type == onnx.AttributeProto.GRAPH:
                _widen_graph(one.g)
            elif one.type == onnx.AttributeProto.TENSOR:
                _widen_tensor(one.t)
            elif one.name in {"to", "dtype", "stash_type", "softmax_precision"} and one.i in FLOATS:
                one.i = TensorProto.DOUBLE
            elif node.op_type == "Constant" and one.name in {"value_float", "value_floats"}:
                value = one.f if one.name == "value_float" else list(one.floats)
                tensor = numpy_helper.from_array(np.array(value, np.float64))
                one.CopyFrom(helper.make_attribute("value", tensor))


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type in FLOATS:
        value = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def _gradient(content: bytes) -> Callable[[NDArray[Any]], NDArray[Any]]:
    session = make_session(gradient_graph(content).SerializeToString(), "gradient")

    def gradient(x: NDArray[Any]) -> NDArray[Any]:
        pixels = x[np.newaxis].astype(np.float32)
        return session.run(["gradient"], {"pixels": pixels})[0][0].astype(np.float64)

    return gradient


def _compare(
    found: list[NDArray[Any]], points: list[NDArray[Any]], ways: list[Way], n_places: int
) -> tuple[str, str]:
    n_compared, reason = 0, ""
    for gradient, point in zip(found, points, strict=True):
        # What one way calls wrong may be its own rounding; then the next has to say so too.
        verdicts = [_compare_at(gradient, point, ways[0], n_places)]
        if verdicts[0][1] and len(ways) > 1:
            verdicts.append(_compare_at(gradient, point, ways[1], n_places))
        reasons = [text for _, text in verdicts]
        n_compared += max(n for n, _ in verdicts)
        if all(reasons):
            reason = reason or reasons[0]
    if reason:
        return "wrong", reason
    return ("right", "") if n_compared else ("not applicable", "it has no finite differences")


def _compare_at(
    gradient: NDArray[Any], point: NDArray[Any], way: Way, n_places: int
) -> tuple[int, str]:
    """Compare derivatives at a point; return how many were compared, and what is wrong."""
    random = np.random.default_rng(1)
    try:
        here = way.score(point)
    except Exception:  # noqa: BLE001 - outside of the range of the operator
        return 0, ""
    chosen = random.permutation(point.size)[:n_places]
    rows = []
    for flat in chosen:
        place = np.unravel_index(flat, point.shape)
        try:
            sides = _sides(way, point, place, here)
            if sides is not None:
                rows.append((place, *sides))
        except Exception:  # noqa: BLE001, S112 - outside of the range of the operator
            continue
    if not rows:
        return 0, ""
    largest = max([np.abs(row[1:]).max() for row in rows] + [1e-2])
    room = way.tolerance * largest
    for place, left, right in rows:
        low, high = min(left, right) - room, max(left, right) + room
        if not low <= gradient[place] <= high and not _jumps(way, point, place, here):
            return len(rows), f"{gradient[place]:.6g} at {tuple(map(int, place))}, not {left:.6g}"
    return len(rows), ""


def _sides(
    way: Way, point: NDArray[Any], place: Any, here: float, shrink: float = 1
) -> tuple[float, float] | None:
    """Return the derivatives of both sides, or None where there is none."""
    step = way.step * shrink
    moved = point.copy()
    sides = []
    for sign in (-1, 1):
        moved[place] = point[place] + sign * step
        sides.append(sign * (way.score(moved) - here) / step)
    left, right = sides
    if not np.isfinite(sides).all():
        return None
    if abs(left - right) <= way.tolerance * max(abs(left), abs(right), 1e-2):
        return (left + right) / 2, (left + right) / 2
    return left, right


def _jumps(way: Way, point: NDArray[Any], place: Any, here: float) -> bool:
    """Say whether the value jumps, so that the differences grow as the step shrinks."""
    sides, nearer = (_sides(way, point, place, here, shrink) for shrink in (1, 0.1))
    if sides is None or nearer is None:
        return True
    return max(map(abs, nearer)) > 3 * max(map(abs, sides))


def judge_all(rows: list[Row]) -> dict[str, Any]:
    """Judge all rows, and count the verdicts by operator."""
    operators = operators_of(rows)
    table: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: dict[str, dict[str, str]] = {verdict: {} for verdict in VERDICTS[2:]}
    for row in rows:
        verdict, reason = judge(row)
        table[operators[row.case.name]][verdict] += 1
        if verdict in reasons:
            reasons[verdict][row.name] = reason
    counts = {verdict: sum(one[verdict] for one in table.values()) for verdict in VERDICTS}
    return {
        "counts": counts,
        "operators": {name: dict(table[name]) for name in sorted(table)},
        "wrong": reasons["wrong"],
        "crashed": reasons["crashed"],
        "refused": count_reasons(reasons["refused"].values()),
        "not_applicable": count_reasons(reasons["not applicable"].values()),
    }


def count_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """Count reasons without the names of nodes and tensors, the most frequent first."""
    shortened = (re.sub(r" \(node [^)]*\)|'[^']*'|Node:.*|Name:.*", "", one) for one in reasons)
    return dict(Counter(one.strip()[:120] for one in shortened).most_common())


def print_table(result: dict[str, Any]) -> None:
    """Print the counts of each operator."""
    print(f"{'operator':28}" + "".join(f"{verdict:>15}" for verdict in VERDICTS))
    for name, counts in (*result["operators"].items(), ("all", result["counts"])):
        print(f"{name:28}" + "".join(f"{counts.get(verdict, 0):>15}" for verdict in VERDICTS))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--operator", nargs="+", help="names of operators; all by default")
    add_output(parser, RESULT)


def run(arguments: argparse.Namespace) -> None:
    """Judge all cases and write the result, or print that of the operators that are named."""
    rows = collect_rows()
    if arguments.operator:
        operators = operators_of(rows)
        rows = [row for row in rows if operators[row.case.name] in arguments.operator]
    result = {
        "command": "python -m benchmarks gradients",
        "versions": find_versions("detectorkit", "onnx", "onnxruntime", "numpy"),
        **judge_all(rows),
    }
    print_table(result)
    for verdict in ("wrong", "crashed"):
        for name, reason in result[verdict].items():
            print(f"{verdict}: {name}: {reason}")
    if not arguments.operator:
        write_json(arguments.output, result)
