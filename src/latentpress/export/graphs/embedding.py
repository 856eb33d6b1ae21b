"""Appends rows to the token embedding inside an ONNX text encoder, found by what the graph does with `input_ids`."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from latentpress.bundle.graph_content import find_embedding
from latentpress.errors import BundleError
from latentpress.files import replacing
from latentpress.folders import folder_beside


def append_rows(path: Path, rows: NDArray[np.float32], target: Path | None = None) -> int:
    """Append `rows` (n, D) to the embedding of the text encoder at `path`; returns how many it had before.

    The file (and its external data) is replaced, not written in place; with a `target` that is written instead.
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
    external = path.with_name(path.name + ".data").exists()
    target = target or path
    data = target.with_name(target.name + ".data")
    with folder_beside(target) as folder:  # in which the data file has the name that the graph knows it by
        onnx.save(model, folder / target.name, save_as_external_data=external, location=data.name)
        for written in (data, target) if external else (target,):
            with replacing(written) as fresh:
                (folder / written.name).rename(fresh)
    return int(table.shape[0])
