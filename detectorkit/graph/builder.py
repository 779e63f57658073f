"""Write ONNX graphs node by node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from detectorkit._version import __version__
from detectorkit.graph.record import RECORD_KEY, ModelRecord

__all__ = ["GraphBuilder"]

_OPSET = 17
_IR_VERSION = 8  # read by every onnxruntime since 1.12


class GraphBuilder:
    """Collects nodes and constants and names them.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.graph.builder import GraphBuilder
    >>> graph = GraphBuilder()
    >>> doubled = graph.add("Mul", "pixels", graph.constant(np.float32(2)))
    >>> doubled
    'Mul_1'
    """

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """Add a constant.

        Parameters
        ----------
        value : ndarray
            Its value; its dtype is kept.

        Returns
        -------
        name : str
            The name to use as an input.
        """
        name = f"constant_{len(self._constants) + 1}"
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, operator: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node with one output.

        Parameters
        ----------
        operator : str
            Name of the ONNX operator.
        *inputs : str
            Names of its inputs.
        name : str, default=None
            Name of its output; None makes one up.
        **attributes : object
            Attributes of the operator.

        Returns
        -------
        name : str
            Name of its output.
        """
        name = name or f"{operator}_{len(self._nodes) + 1}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def slice(self, tensor: str, axis: int, start: int, stop: int) -> str:
        """Add a slice along one axis.

        Parameters
        ----------
        tensor : str
            Name of what is cut.
        axis : int
            The axis.
        start, stop : int
            As in Python.

        Returns
        -------
        name : str
            Name of the part.
        """
        limits = [self.constant(np.array([value])) for value in (start, stop, axis)]
        return self.add("Slice", tensor, *limits)

    def head(self, features: str, coef: NDArray[Any], intercept: float, slope: float) -> None:
        """Add a linear machine and its sigmoid: the outputs "score" and "probability".

        Parameters
        ----------
        features : str
            Name of the features, of shape (n, n_features).
        coef : ndarray of shape (n_features,)
            Weights.
        intercept : float
            Added to the weighted sum.
        slope : float
            Factor of the score in the sigmoid.
        """
        weights = self.constant(coef.astype(np.float32)[:, np.newaxis])
        product = self.add("MatMul", features, weights)
        product = self.add("Squeeze", product, self.constant(np.array([1])))
        score = self.add("Add", product, self.constant(np.float32(intercept)), name="score")
        scaled = self.add("Mul", score, self.constant(np.float32(slope)))
        self.add("Sigmoid", scaled, name="probability")

    def to_model(self, record: ModelRecord) -> onnx.ModelProto:
        """Close the graph from "pixels" to "score" and "probability".

        Parameters
        ----------
        record : ModelRecord
            Written to the metadata; it also says what shape the pixels have.

        Returns
        -------
        model : onnx.ModelProto
            Checked by `onnx.checker`.
        """
        shape: list[int | str | None] = ["n", *record.preprocessing.array_shape]
        graph = helper.make_graph(
            self._nodes,
            record.detector,
            [helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, shape)],
            [
                helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n"])
                for name in ("score", "probability")
            ],
            self._constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="detectorkit",
            producer_version=__version__,
        )
        helper.set_model_props(model, {RECORD_KEY: record.to_json()})
        onnx.checker.check_model(model, full_check=True)
        return model
