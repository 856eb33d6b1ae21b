"""Appends rows to the token embedding inside an ONNX text encoder, found by what the graph does with `input_ids`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from latentpress.errors import BundleError
from latentpress.files import folder_beside, replacing

# What may lie between the input and the Gather without changing which row an id picks (Max: of an id and -1 - id).
_TRANSPARENT = {"Cast", "Max", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}


def append_rows(path: Path, rows: NDArray[np.float32]) -> int:
    """Append `rows` (n, D) to the embedding of the text encoder at `path`; returns how many it had before.

    The file (and its external data) is replaced, not written in place.
    """
    model = onnx.load(path)
    initializer = find_embedding(model, path.name)
    table = numpy_helper.to_array(initializer)
    if table.ndim != 2 or table.shape[1] != rows.shape[1]:
        raise BundleError(f"{path.name}: the embedding has shape {table.shape}, the rows {rows.shape}; export again")
    grown = np.concatenate([table, rows.astype(table.dtype)])
    initializer.CopyFrom(numpy_helper.from_array(grown, initializer.name))
    for value in (*model.graph.value_info, *model.graph.input):
        if value.name == initializer.name:
            value.type.tensor_type.shape.dim[0].dim_value = grown.shape[0]
    data = path.with_name(path.name + ".data")
    with folder_beside(path) as folder:  # in which the data file has the name that the graph knows it by
        external = data.exists()
        onnx.save(model, folder / path.name, save_as_external_data=external, location=data.name)
        for written in (data, path) if external else (path,):
            with replacing(written) as fresh:
                (folder / written.name).rename(fresh)
    return int(table.shape[0])


def find_embedding(model: Any, where: str) -> Any:
    """The initializer that a Gather indexes by the graph input `input_ids`; raises BundleError if there is none."""
    carriers = {"input_ids"}
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: Iterable[Any] = model.graph.node  # in topological order, as ONNX demands
    for node in nodes:
        if node.op_type in _TRANSPARENT and node.input[0] in carriers:
            carriers.update(node.output)
        elif node.op_type == "Gather" and node.input[1] in carriers and node.input[0] in initializers:
            return initializers[node.input[0]]
    raise BundleError(f"{where}: no embedding is indexed by input_ids; concepts cannot be baked into this text encoder")
