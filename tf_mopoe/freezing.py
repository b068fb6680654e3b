"""The frozen layers and variables of a model, as a part of its config.

Keras writes `trainable` into each layer's config, but layers that a constructor makes have no config: they come back
trainable. So the model lists what is frozen.
"""

from tf_mopoe.sharing import layers_of


def frozen(model):
    """Return {"layers": numbers, "variables": numbers} of the frozen ones in `model`, in an order that its config fixes."""
    return {kind: [i for i, part in enumerate(parts) if not part.trainable] for kind, parts in parts_of(model).items()}


def freeze(model, frozen):
    """Freeze the layers and variables of these numbers, and no others."""
    for kind, parts in parts_of(model).items():
        flags = [number not in frozen[kind] for number in range(len(parts))]
        # A layer hands its flag down to the layers in it, of which some may have another: once more for these.
        for _ in parts:
            wrong = [(part, flag) for part, flag in zip(parts, flags) if part.trainable != flag]
            for part, flag in wrong:
                part.trainable = flag
            if not wrong:
                break


def parts_of(model):
    return {"layers": layers_of(model), "variables": model.variables}


def hand_down(layer):
    """Freeze a layer's components, if it is created with `trainable=False`: Keras does so at an assignment only."""
    if not layer.trainable:
        layer.trainable = True  # what an attribute is already is no assignment
        layer.trainable = False
