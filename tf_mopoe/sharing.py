"""Configs of several parts in which a layer that they share is written once, and comes back as one object.

Keras keeps the identity of a shared layer inside one functional model only. Here a model's config has a list "shared" of the
layers that its parts have in common; where such a layer is used stands a reference to it.
"""

import collections
import contextlib
import contextvars
import functools

import keras

TAG = "layer_number"
LOADED = contextvars.ContextVar("layers of the config that is being read", default=None)


@keras.saving.register_keras_serializable(package="tf_mopoe")
class SharedLayer:
    """In a config, the place of a layer that stands in the list "shared"; it comes back as that layer."""

    def __init__(self, index):
        self.index = index

    def get_config(self):
        return {"index": self.index}

    @classmethod
    def from_config(cls, config):
        return LOADED.get()[config["index"]]


def layers_of(part):
    """Return a layer and all the layers in it, however deep; nothing for what is no layer."""
    return part._flatten_layers() if isinstance(part, keras.layers.Layer) else []


def serialize(parts):
    """Serialize parts {argument: layer, other Keras object, or a dict of these}, with "shared" if they share layers."""
    layers = {id(layer): layer for part in flat(parts).values() for layer in layers_of(part) if layer.variables}
    with tagged(layers.values()):
        config = keras.saving.serialize_keras_object(parts)
    counts, shared = collections.Counter(tags(config, set())), []
    config = extracted(config, {tag for tag, count in counts.items() if count > 1}, shared, {})
    return config | ({"shared": shared} if shared else {})


def flat(parts):
    """Return {"encoders['image']": encoder, ..., "joint_posterior": layer, ...}."""
    result = {}
    for argument, part in parts.items():
        result |= {f"{argument}[{n!r}]": p for n, p in part.items()} if isinstance(part, dict) else {argument: part}
    return result


@contextlib.contextmanager
def tagged(layers):
    """A scope in which each layer's config has the layer's number."""

    def with_tag(get_config, number):
        @functools.wraps(get_config)  # Keras marks its default one, and looks for the mark
        def tagged_config():
            return get_config() | {TAG: number}

        return tagged_config

    layers = list(layers)
    for number, layer in enumerate(layers):
        layer.get_config = with_tag(layer.get_config, number)
    try:
        yield
    finally:
        for layer in layers:
            del layer.get_config


def tag_of(node):
    config = node.get("config") if "class_name" in node else None
    return config.get(TAG) if isinstance(config, dict) else None


def tags(node, seen):
    """Return the numbers of the layers in a config, as often as they are used; what is in a layer counts once."""
    if isinstance(node, dict):
        tag = tag_of(node)
        if tag is not None:
            yield tag
            if tag in seen:
                return
            seen.add(tag)
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from tags(child, seen)


def extracted(node, common, shared, places):
    """Return the config with references to the layers whose numbers are in `common`, which move to the list `shared`."""
    if isinstance(node, (list, tuple)):
        return type(node)(extracted(child, common, shared, places) for child in node)
    if not isinstance(node, dict):
        return node
    tag = tag_of(node)
    if tag in common:
        # A functional network notes the layer's name and calls beside its config.
        own = ("module", "class_name", "config", "registered_name", "build_config", "shared_object_id")
        if tag not in places:
            layer = {key: node[key] for key in own[:-1] if key in node}
            layer["config"] = extracted(layer["config"], common, shared, places)
            places[tag] = len(shared)
            shared.append(layer)
        return config_of(SharedLayer, {"index": places[tag]}) | {
            key: value for key, value in node.items() if key not in own
        }
    return {key: extracted(value, common, shared, places) for key, value in node.items() if key != TAG}


def config_of(cls, config):
    """Build the config that Keras writes of this class: by hand, as Keras takes objects at one address for one object."""
    registered = keras.saving.get_registered_name(cls)
    return {"module": cls.__module__, "class_name": cls.__name__, "config": config, "registered_name": registered}


@contextlib.contextmanager
def loading():
    """A scope in which `deserialize` reads configs, and models are created from the result."""
    token = LOADED.set([])
    try:
        yield
    finally:
        LOADED.reset(token)


def is_loading():
    return LOADED.get() is not None


def deserialize(config, custom_objects=None, safe_mode=True):
    """Restore parts from the result of `serialize` (or an earlier version, one part at a time): {argument: part or dict}."""

    def deserialized(config):
        return keras.saving.deserialize_keras_object(with_all_calls(config), custom_objects, safe_mode)

    config = dict(config)
    for layer in config.pop("shared", ()):
        LOADED.get().append(deserialized(layer))
    return {
        argument: {name: deserialized(child) for name, child in part.items()}
        if "class_name" not in part
        else deserialized(part)
        for argument, part in config.items()
    }


def with_all_calls(config):
    """Return the config, in which functional networks number the calls of shared layers as they will be.

    They note a layer's output by the number of its call, among their own. A shared layer may have been called before.
    """
    if isinstance(config, (list, tuple)):
        return type(config)(map(with_all_calls, config))
    if not isinstance(config, dict):
        return config
    config = {key: with_all_calls(value) for key, value in config.items()}
    if "output_layers" in config:
        before = {
            layer["name"]: len(LOADED.get()[layer["config"]["index"]]._inbound_nodes)
            for layer in config["layers"]
            if layer["class_name"] == SharedLayer.__name__
        }
        for key in ("input_layers", "output_layers"):
            config[key] = renumbered(config[key], before)
        config["layers"] = [
            layer | {"inbound_nodes": renumbered(layer["inbound_nodes"], before)} for layer in config["layers"]
        ]
    return config


def renumbered(node, before):
    """Renumber [name, number of the call, number of the output] to count the calls `before` too: {name: how many}."""
    if isinstance(node, dict):
        return {key: renumbered(value, before) for key, value in node.items()}
    if not isinstance(node, (list, tuple)):
        return node
    if len(node) == 3 and isinstance(node[0], str) and node[0] in before:
        return [node[0], node[1] + before[node[0]], node[2]]
    return [renumbered(child, before) for child in node]
