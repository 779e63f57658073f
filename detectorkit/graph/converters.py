"""Converters with which skl2onnx writes our transformers of images."""

from __future__ import annotations

from typing import Any

from onnx import TensorProto, helper

from detectorkit.calibration.maps import SigmoidCalibration
from detectorkit.features.stack import FAMILIES, FeatureStack
from detectorkit.graph.builder import OPSETS, GraphBuilder
from detectorkit.graph.features import add_families, is_writable
from detectorkit.graph.record import ModelRecord
from detectorkit.images.preprocessing import Preprocessing

__all__ = ["register_converters"]


def register_converters() -> None:
    """Teach skl2onnx to write the transformers of `detectorkit.features`.

    Afterwards `skl2onnx.to_onnx` takes pipelines that begin with them, from pixels of one size:
    ``initial_types=[("pixels", UInt8TensorType([None, height, width, 3]))]`` in RGB, or
    ``[None, height, width]`` in grey. They must already have the size and colours that the
    transformer works with, as a graph does not resize.

    .. versionadded:: 0.1

    See Also
    --------
    export_pipeline : Write a pipeline with its record, compared with scikit-learn.

    Notes
    -----
    `HoGTransformer`, `LBPTransformer` with a square neighbourhood and `BlockDCTTransformer` can be
    written, in grey or RGB, without crops and tiles. Others raise an error.

    Examples
    --------
    >>> from skl2onnx import to_onnx
    >>> from skl2onnx.common.data_types import UInt8TensorType
    >>> from detectorkit.datasets import make_upsampling_images
    >>> from detectorkit.features import HoGTransformer
    >>> from detectorkit.graph import register_converters
    >>> register_converters()
    >>> hog = HoGTransformer(image_size=(64, 64))
    >>> hog = hog.fit(make_upsampling_images(n_samples=2, random_state=0).data)
    >>> model = to_onnx(hog, initial_types=[("pixels", UInt8TensorType([None, 64, 64]))])
    >>> model.graph.input[0].name
    'pixels'
    """
    from skl2onnx import update_registered_converter

    for family, kind in FAMILIES.items():
        update_registered_converter(kind, f"detectorkit_{family}", _set_shape, _convert)


def _set_shape(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType

    n_features = operator.raw_operator.n_features_out_
    operator.outputs[0].type = FloatTensorType([None, n_features])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.helpers.integration import add_onnx_graph

    transformer, shape = operator.raw_operator, tuple(operator.inputs[0].type.shape[1:])
    graph = GraphBuilder()
    (features,) = add_families(graph, _make_record(transformer, shape))
    start = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", *shape])
    end = helper.make_tensor_value_info(
        features, TensorProto.FLOAT, ["n", transformer.n_features_out_]
    )
    parts = helper.make_graph(graph.nodes, "features", [start], [end], graph.constants)
    opsets = [helper.make_opsetid("", OPSETS[""])]
    add_onnx_graph(scope, operator, container, helper.make_model(parts, opset_imports=opsets))


def _make_record(transformer: Any, shape: tuple[int, ...]) -> ModelRecord:
    """Return the record of a transformer for pixels of one shape."""
    name, size = type(transformer).__name__, shape[:2]
    wanted = transformer.image_size
    if len(shape) not in {2, 3} or not all(isinstance(side, int) for side in shape):
        raise ValueError(f"{name} takes pixels of shape (None, height, width[, 3]), got {shape}.")
    if wanted is not None and tuple(wanted) != size:
        raise ValueError(f"{name}: pixels of {size} do not have image_size={tuple(wanted)}.")
    features = [one | {"image_size": None} for one in FeatureStack([transformer]).to_record()]
    space: Any = "gray" if len(shape) == 2 else "rgb"
    record = ModelRecord(
        detector=name,
        preprocessing=Preprocessing((size[0], size[1]), space),
        features=features,
        classes=[0, 1],
        threshold=0.0,
        calibration=SigmoidCalibration(1.0),
    )
    if not is_writable(record):
        raise ValueError(f"{transformer} cannot be written in ONNX for pixels of shape {shape}.")
    return record
