"""Whether a model's parts come back from their configs: checked when the model is created, not when a file is read."""

import itertools
import json
import types
import warnings

import keras

from tf_mopoe import sharing

OWN = ("keras", "tf_mopoe")  # packages whose classes are known to come back


def check_objective(objective):
    """Raise a ValueError unless Keras creates an equal objective from this one's config, as a file has it."""
    if sharing.is_loading():  # it was
        return
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
    """Return the names of its public attributes."""
    return sorted(name for name in getattr(thing, "__dict__", ()) if not name.startswith("_"))


def fault_of_parts(parts, make):
    """Return why a user's layers, or layers in several parts, do not come back from the config: a sentence, or None.

    Args:
        parts: {argument: layer or {name: layer}} of a model.
        make: function of such parts -> a model, which builds them.

    Raises:
        ValueError: for parts that share variables which no config holds.
    """
    layers = sharing.flat(parts)
    shared = common(layers)
    if sharing.is_loading() or not (shared or any(map(is_foreign, layers.values()))):
        return None
    classes = {name: value for layer in layers.values() for name, value in custom_objects(layer).items()}
    with sharing.loading(), keras.saving.custom_object_scope(classes):
        try:
            copies = copied(parts)
            make(copies)
        except Exception as error:  # of any class: it is the user's code that runs
            bad = [argument for argument, layer in layers.items() if fails(copied, {"part": layer})]
            bad = bad[:1] or next(iter(shared), list(layers))
            return (
                f"{' and '.join(bad)} must be made again from the config for the model to be saved: give layers of your own "
                "`get_config` and `from_config` (see Keras' guide to serialization), or save the weights only. "
                f"Received: {describe(error)}"
            )
    copies = sharing.flat(copies)
    for argument, layer in layers.items():
        if shapes(layer) != shapes(copies[argument]):
            return (
                f"{argument} must be made again from the config with the same variables for the model to be saved. "
                f"Received: variables of shapes {shapes(layer)}, and then {shapes(copies[argument])}"
            )
    for (one, other), variables in shared.items():
        if len(variables) != len(common(copies).get((one, other), ())):
            raise ValueError(
                f"{one} and {other} may share layers that their configs hold, not single variables or what a constructor "
                f"made. Received: both have {[variable.path for variable in variables]}"
            )
    return None


def warn_of_unregistered(model, parts):
    """Warn of classes and functions without which Keras cannot read a file of this model of these parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lambdas: Keras warns again
        configs = {name: keras.saving.serialize_keras_object(part) for name, part in sharing.flat(parts).items()}
    configs["the model"] = sharing.config_of(type(model), {})
    names = {argument: sorted(set(unregistered(config))) for argument, config in configs.items()}
    names = {argument: found for argument, found in names.items() if found}
    if names:
        warnings.warn(
            "The saved model has classes or functions that are not registered. It can be loaded only where they are named, "
            "keras.models.load_model(path, custom_objects={name: class}), or registered by the decorator "
            f"@keras.saving.register_keras_serializable(). They are {names}",
            stacklevel=3,
        )


def unregistered(node):
    """Return the names of such classes and functions in a config."""
    if isinstance(node, dict):
        kind, module = node.get("class_name"), node.get("module")
        if kind == "function" and fails(keras.saving.deserialize_keras_object, node):
            yield node["config"]
        own = kind and module and module.split(".")[0] not in ("keras", "builtins")
        if own and kind != "function" and keras.saving.get_registered_object(node["registered_name"]) is None:
            yield kind
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from unregistered(child)


def custom_objects(part):
    """Return {name: class or function} of a part's components, by the names in configs of those not registered."""
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


def fails(action, argument):
    try:
        action(argument)
    except Exception:  # of any class, as above
        return True
    return False


def copied(parts):
    with sharing.loading():
        # The user's own objects, with what lambdas they have: Keras warns of these at `save`.
        return sharing.deserialize(json.loads(json.dumps(sharing.serialize(parts))), safe_mode=False)


def common(layers):
    """Return {(argument, argument): variables} of the pairs of layers that have variables in common."""
    variables = {
        argument: {id(variable): variable for variable in layer.variables} for argument, layer in layers.items()
    }
    both = {
        (one, other): [variables[one][key] for key in variables[one] if key in variables[other]]
        for one, other in itertools.combinations(layers, 2)
    }
    return {pair: found for pair, found in both.items() if found}


def shapes(layer):
    return [tuple(variable.shape) for variable in layer.variables]


def through_json(part):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras, of lambdas: their error follows
        return json.loads(json.dumps(keras.saving.serialize_keras_object(part)))


def describe(error):
    return f"which fails with {type(error).__name__}: {error}"
