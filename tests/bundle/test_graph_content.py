"""What counts in a graph's hash, and what does not: stored otherwise it is the same, and it changes with every number.

The graphs are made by hand, and those called equal are run by ONNX's own reference evaluator, which agrees.
"""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from latentpress.bundle.graph_content import graph_content
from latentpress.errors import BundleError

WEIGHT = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
BIAS = np.asarray([0.5, -1, 2], np.float32)


def built(*, weight=WEIGHT, bias=BIAS, nodes=None, tensors=None, names="wb", opset=20, inputs=("batch",)):
    """x (batch, 4) -> Softmax(x @ weight + bias) (batch, 3)."""
    w, b = names
    if nodes is None:
        nodes = [
            helper.make_node("MatMul", ["x", w], ["product"]),
            helper.make_node("Add", ["product", b], ["sum"]),
            helper.make_node("Softmax", ["sum"], ["y"], axis=1),
        ]
    given = [numpy_helper.from_array(weight, w), numpy_helper.from_array(bias, b)] if tensors is None else tensors
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [*inputs, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [*inputs, 3])
    graph = helper.make_graph(nodes, "g", [x], [y], given)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def content(folder, model, **save):
    folder.mkdir(exist_ok=True)
    onnx.save(model, folder / "unet.onnx", **save)
    return graph_content(folder / "unet.onnx")


def external(folder, model, order):
    """Saved with the data of its initializers in one file, in `order`, with holes between."""
    folder.mkdir()
    offset = 0
    with (folder / "unet.onnx.data").open("wb") as stream:
        for tensor in (model.graph.initializer[index] for index in order):
            stream.write(b"\xff" * 16)
            entries = {"location": "unet.onnx.data", "offset": offset + 16, "length": len(tensor.raw_data)}
            stream.write(tensor.raw_data)
            offset += 16 + len(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in entries.items():
                tensor.external_data.add(key=key, value=str(value))
    (folder / "unet.onnx").write_bytes(model.SerializeToString())
    return graph_content(folder / "unet.onnx")


def dressed(model):
    """With all that no engine reads."""
    model.producer_name, model.producer_version, model.doc_string, model.ir_version = "pytorch", "9.9", "hello", 9
    model.metadata_props.add(key="made", value="today")
    model.opset_import.add(domain="com.microsoft", version=1)
    model.graph.name, model.graph.doc_string = "main", "a graph"
    model.graph.value_info.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n", 3]))
    model.graph.node.append(helper.make_node("Relu", ["sum"], ["unused"]))
    model.graph.initializer.append(numpy_helper.from_array(BIAS, "also unused"))
    for node in model.graph.node:
        node.name, node.doc_string = f"node_{node.op_type}", "/home/me/model.py:12"
        node.metadata_props.add(key="trace", value="line 12")
    return model


def renamed():
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["val_1"]),
        helper.make_node("Add", ["val_1", "c"], ["val_2"]),
        helper.make_node("Softmax", ["val_2"], ["y"], axis=1),
    ]
    return built(nodes=nodes, names="vc", inputs=("rows",))


def in_fields():
    return built(
        tensors=[
            helper.make_tensor("b", TensorProto.FLOAT, [3], BIAS.tolist()),
            helper.make_tensor("w", TensorProto.FLOAT, [4, 3], WEIGHT.ravel().tolist()),
        ]
    )


def with_constant():
    nodes = [helper.make_node("Constant", [], ["b"], value=numpy_helper.from_array(BIAS, "value")), *built().graph.node]
    return built(nodes=nodes, tensors=[numpy_helper.from_array(WEIGHT, "w")])


def test_how_a_graph_is_stored_and_named_counts_for_nothing(tmp_path):
    plain = content(tmp_path / "plain", built())
    same = {
        "dressed": dressed(built()),
        "renamed": renamed(),
        "fields": in_fields(),
        "constant": with_constant(),
    }
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    expected = ReferenceEvaluator(built()).run(None, {"x": x})[0]
    for name, model in same.items():
        assert content(tmp_path / name, model) == plain, name
        assert (tmp_path / name / "unet.onnx").read_bytes() != (tmp_path / "plain" / "unet.onnx").read_bytes()
        np.testing.assert_array_equal(ReferenceEvaluator(model).run(None, {"x": x})[0], expected)
    assert external(tmp_path / "one", built(), (0, 1)) == plain
    assert external(tmp_path / "two", built(), (1, 0)) == plain


def changed(**other):
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in built().graph.node]
    for name, value in other.items():
        setattr(nodes[1] if name == "op_type" else nodes[2], name, value)
    return nodes


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"weight": np.nextafter(WEIGHT, 9, dtype=np.float32)}, id="the last bit"),
        pytest.param({"weight": WEIGHT.astype(np.float16)}, id="type"),
        pytest.param({"weight": WEIGHT.T.copy().T.reshape(3, 4)}, id="shape"),
        pytest.param({"bias": BIAS[::-1].copy()}, id="order of numbers"),
        pytest.param({"nodes": changed(op_type="Sub")}, id="operator"),
        pytest.param({"nodes": changed(domain="com.microsoft")}, id="domain"),
        pytest.param(
            {"nodes": [*built().graph.node[:2], helper.make_node("Softmax", ["sum"], ["y"], axis=0)]}, id="axis"
        ),
        pytest.param(
            {"nodes": [*built().graph.node[:2], helper.make_node("Softmax", ["product"], ["y"], axis=1)]}, id="wire"
        ),
        pytest.param(
            {"nodes": [helper.make_node("MatMul", ["w", "x"], ["product"]), *built().graph.node[1:]]}, id="sides"
        ),
        pytest.param({"opset": 21}, id="opset"),
        pytest.param({"inputs": (2,)}, id="a fixed size"),
    ],
)
def test_what_decides_a_number_counts(other, tmp_path):
    assert content(tmp_path / "other", built(**other)) != content(tmp_path / "plain", built())


def branching(value):
    """x (batch, 4) -> x + value or x - value, as its first element says: graphs within an If, which see x and `v`."""
    y = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    branches = [helper.make_graph([helper.make_node(op, ["x", "v"], ["out"])], op, [], [y]) for op in ("Add", "Sub")]
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["yes"], to=TensorProto.BOOL),
        helper.make_node("If", ["yes"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    return built(nodes=nodes, tensors=[numpy_helper.from_array(np.float32(value), "v")])


def test_graphs_within_graphs_count(tmp_path):
    assert content(tmp_path / "a", branching(1)) == content(tmp_path / "b", dressed_branches(branching(1)))
    assert content(tmp_path / "c", branching(2)) != content(tmp_path / "d", branching(1))


def dressed_branches(model):
    for attribute in model.graph.node[2].attribute:
        attribute.g.name = attribute.g.doc_string = "other"
        attribute.g.node[0].output[0] = attribute.g.output[0].name = "val_9"
    return model


def embedding(rows):
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["hidden_states"])]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", 77])
    out = helper.make_tensor_value_info("hidden_states", TensorProto.FLOAT, ["batch", 77, 2])
    graph = helper.make_graph(nodes, "g", [ids], [out], [numpy_helper.from_array(rows, "table")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_rows_of_concepts_are_left_out(tmp_path):
    rows = np.arange(14, dtype=np.float32).reshape(7, 2)
    files = {}
    for name, table in {"base": rows[:5], "more": rows, "other": np.concatenate([rows[:5], -rows[5:]])}.items():
        files[name] = tmp_path / f"{name}.onnx"
        onnx.save(embedding(table), files[name])
    base = graph_content(files["base"])
    assert graph_content(files["more"], {5, 6}) == base == graph_content(files["other"], {5, 6})
    assert graph_content(files["more"], {5}) != graph_content(files["more"], {6}) != base
    assert graph_content(files["more"]) != graph_content(files["other"])


def test_what_is_no_graph_is_refused(tmp_path):
    (tmp_path / "unet.onnx").write_bytes(b"hello")
    with pytest.raises(BundleError, match=r"unet\.onnx: not a graph that can be read .*; export the bundle again"):
        graph_content(tmp_path / "unet.onnx")
