"""Whether a model's parts come back from their configs: checked when the model is made, not when a file is read."""

import json
import types
import warnings

import keras

from tf_mopoe import sharing

OWN = ("keras", "tf_mopoe")  # packages whose classes are known to come back


def check_objective(objective):
    """Raises a ValueError unless Keras makes an equal objective of the config of this one, as a file has it."""
    try:
        config = through_json(objective)
        with keras.saving.custom_object_scope(custom_objects(objective)):
            copy = keras.saving.deserialize_keras_object(config)
        again = through_json(copy)
    except Exception as error:  # of any class: it is the user's code that runs
        raise ValueError(
            f"`objective` must be made again by its class from its config: give it `get_config`, or constructor arguments "
            f"that are its attributes (no lambdas). Received: {objective!r}, {describe(error)}"
        ) from error
    if again != config or public(copy) != public(objective):
        raise ValueError(
            "`objective` must be made again by its class from its config, with the same config and attributes. "
            f"Received: {objective!r}, with {config} and {public(objective)}, and then {again} and {public(copy)}"
        )


def public(thing):
    """The names of its own attributes."""
    return sorted(name for name in getattr(thing, "__dict__", ()) if not name.startswith("_"))


def check_parts(parts, make):
    """Raises a ValueError if layers of the user's own, or layers in several parts, do not come back from the config.

    Args:
        parts: {argument: layer or {name: layer}} of a model.
        make: function of such parts -> a model, which builds them.
    """
    layers = sharing.flat(parts)
    shared = [pair for pair in pairs(layers) if common(*(layers[argument] for argument in pair))]
    if sharing.is_loading() or not (shared or any(map(is_foreign, layers.values()))):
        return
    classes = {name: value for layer in layers.values() for name, value in custom_objects(layer).items()}
    with sharing.loading(), keras.saving.custom_object_scope(classes):
        try:
            copies = sharing.deserialize(json.loads(json.dumps(sharing.serialize(parts))))
            make(copies)
        except Exception as error:  # of any class: it is the user's code that runs
            bad = [argument for argument, layer in layers.items() if fails(layer)][:1] or list(
                shared[0] if shared else layers
            )
            raise ValueError(
                f"{' and '.join(bad)} must be made again from the config, or a saved "
                "model cannot be loaded: give layers of your own `get_config` and `from_config` (Keras' guide: Serialization). "
                f"Received: {describe(error)}"
            ) from error
    copies = sharing.flat(copies)
    for argument, layer in layers.items():
        if shapes(layer) != shapes(copies[argument]):
            raise ValueError(
                f"{argument} must be made again from the config with the same variables, or a saved model cannot be loaded. "
                f"Received: variables of shapes {shapes(layer)}, and then {shapes(copies[argument])}"
            )
    for one, other in shared:
        if len(common(layers[one], layers[other])) != len(common(copies[one], copies[other])):
            names = [variable.path for variable in common(layers[one], layers[other])]
            raise ValueError(
                f"{one} and {other} may share layers that their configs hold, not single variables or what a constructor "
                f"made. Received: both have {names}"
            )


def warn_of_unregistered(parts):
    """Warns of classes and functions without which Keras cannot read a file of these parts."""
    for argument, part in sharing.flat(parts).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of lambdas: Keras warns again
            names = sorted(set(unregistered(keras.saving.serialize_keras_object(part))))
        if names:
            warnings.warn(
                f"{argument} is of classes or functions that are not registered: {names}. The saved model can be loaded only "
                "where they are named, keras.models.load_model(path, custom_objects={name: class}), or registered by the "
                "decorator @keras.saving.register_keras_serializable()",
                stacklevel=3,
            )


def unregistered(node):
    if isinstance(node, dict):
        module, name = node.get("module"), node.get("registered_name")
        if module and "class_name" in node and not module.startswith("keras") and module != "builtins":
            if keras.saving.get_registered_object(name) is None:
                yield name if node["class_name"] == "function" else node["class_name"]
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from unregistered(child)


def custom_objects(part):
    """{name: class or function} of what a part is of, by the names that stand in configs of those not registered."""
    found, seen, left = {}, set(), sharing.layers_of(part) or [part]
    while left:
        thing = left.pop()
        if isinstance(thing, type) or id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, (list, tuple, dict)):
            left += thing.values() if isinstance(thing, dict) else thing
        elif isinstance(thing, types.FunctionType):
            found[thing.__name__] = thing
        elif isinstance(thing, keras.layers.Layer) or hasattr(thing, "get_config"):
            found[type(thing).__name__] = type(thing)
            if not isinstance(thing, keras.KerasTensor):
                own = vars(thing).items() if hasattr(thing, "__dict__") else ()
                left += [value for name, value in own if not (name.startswith("_") and sharing.layers_of(thing))]
    return found


def is_foreign(layer):
    return any(type(part).__module__.split(".")[0] not in OWN for part in sharing.layers_of(layer))


def fails(layer):
    try:
        with sharing.loading():
            sharing.deserialize(json.loads(json.dumps(sharing.serialize({"part": layer}))))
    except Exception:  # of any class, as above
        return True
    return False


def pairs(layers):
    names = list(layers)
    return [(one, other) for number, one in enumerate(names) for other in names[number + 1 :]]


def common(one, other):
    """The variables that two layers have in common."""
    variables = {id(variable) for variable in other.variables}
    return [variable for variable in one.variables if id(variable) in variables]


def shapes(layer):
    return [tuple(variable.shape) for variable in layer.variables]


def through_json(part):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras, of lambdas: their error follows
        return json.loads(json.dumps(keras.saving.serialize_keras_object(part)))


def describe(error):
    return f"which fails with {type(error).__name__}: {error}"
