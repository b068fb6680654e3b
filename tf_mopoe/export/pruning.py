"""Removes the operations of a SavedModel that were traced but are never needed: about a quarter of its graph."""

import re

from tensorflow.core.protobuf import saved_model_pb2


def prune(path):
    """Rewrite `<path>/saved_model.pb` without the operations that no output and no side effect of their function needs.

    A distribution works out its own shapes, for one, wherever it is made, whether they are asked for or not. TensorFlow
    does not run such operations; they only take room.

    Args:
        path: `pathlib.Path` of a SavedModel that nobody reads yet.
    """
    file = path / "saved_model.pb"
    content = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for meta_graph in content.meta_graphs:
        for function in meta_graph.graph_def.library.function:
            needed = needed_by(function)
            kept = [node for node in function.node_def if node.name in needed]
            del function.node_def[:]
            function.node_def.extend(kept)
            for node in function.node_def:  # a reader warns of gradients that were not saved
                node.attr.pop("_gradient_op_type", None)
    file.write_bytes(content.SerializeToString(deterministic=True))
    (path / "fingerprint.pb").unlink(missing_ok=True)  # optional, and it was that of the file as it was


def needed_by(function):
    """Return the names of the nodes that a `FunctionDef` needs for its outputs and side effects."""
    sources = {node.name: [*node.input, *colocations(node)] for node in function.node_def}
    todo, needed = [*function.ret.values(), *function.control_ret.values()], set()
    while todo:
        name = re.match(r"\^?([^:]*)", todo.pop())[1]  # "node", "node:output:0", "^node" or an argument
        if name in sources and name not in needed:
            needed.add(name)
            todo += sources[name]
    return needed


def colocations(node):
    return [name.decode().removeprefix("loc:@") for name in node.attr["_class"].list.s] if "_class" in node.attr else []
