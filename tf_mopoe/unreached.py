"""A weight that nothing of a batch reached stays as it is, and so does what the optimizer remembers of it.

To an optimizer with momentum a gradient of zero is one like any other: it goes on moving the weight, and forgets.
"""

import keras
import tensorflow as tf

from tf_mopoe.not_finite import values_of

ACCUMULATOR = "gradient_accumulator"  # Keras' name


def apply_gradients(model, q, gradients):
    """Update the weights of a model but those that no row reached, on any replica: these keep all they have.

    A row reaches the encoder and the decoder of each modality that it has, and every weight whose gradient is not zero in
    all its entries. Where the optimizer accumulates gradients, it is their sum that counts.

    Args:
        model: a compiled `MultimodalVAE`.
        q: the `Posterior` of the batch.
        gradients: one for each of the model's trainable variables, a tensor or `tf.IndexedSlices`.
    """
    optimizer, variables = model.optimizer, model.trainable_variables
    if not optimizer.built:
        optimizer.build(variables)
    slots = slots_of(optimizer, variables)
    present = present_parts(model, q)
    reached = [
        tf.reduce_any(values_of(gradient) != 0.0) | present.get(id(variable), False)
        for gradient, variable in zip(gradients, variables)
    ]
    for number, own in enumerate(slots):
        for slot in own:
            if slot.path.endswith(ACCUMULATOR):
                reached[number] |= tf.reduce_any(slot.value != 0.0)
    context = tf.distribute.get_replica_context()
    counts = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(tf.stack(reached), tf.float32))

    def update():
        optimizer.apply_gradients(zip(gradients, variables))

    def update_reached():
        kept = [(number, part.value) for number, own in enumerate(slots) for part in (variables[number], *own)]
        before = [tf.convert_to_tensor(part) for _, part in kept]
        update()
        flags = [counts[number] > 0.0 for number, _ in kept]
        context.merge_call(put_back, args=([part for _, part in kept], before, flags))

    if tf.distribute.has_strategy():  # whose updates wait for all replicas, and cannot in a branch
        update_reached()
    else:
        tf.cond(tf.reduce_all(counts > 0.0), update, update_reached)


def present_parts(model, q):
    """Return {id of a variable: bool []}, whether a row has a modality whose encoder or decoder holds it."""
    present = {}
    for name, available in q.available.items():
        some = tf.reduce_any(available)
        for layer in (model.encoders[name], model.decoders[name]):
            for variable in layer.trainable_variables:
                present[id(variable)] = present.get(id(variable), False) | some
    return present


def put_back(strategy, variables, before, reached):
    for variable, value, flag in zip(variables, before, reached):
        strategy.extended.update(variable, assign_where, args=(value, flag), group=False)


def assign_where(variable, value, reached):
    variable.assign(tf.where(reached, variable, value))


def slots_of(optimizer, variables):
    """Return, for each of the variables, the optimizer's own that are named after it.

    Variables may share a name. Slots of one name are then theirs in turn, in the order in which the optimizer was built. A
    slot that is named after none, as Adafactor's two of a matrix, is left out.
    """
    slots = [[] for _ in variables]
    numbers = {id(variable): number for number, variable in enumerate(variables)}
    built = optimizer.inner_optimizer if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else optimizer
    by_name = {}
    for variable in built._trainable_variables:
        by_name.setdefault(variable.path.replace("/", "_"), []).append(variable)
    seen = {}
    for slot in built.variables:
        name = slot.path.rsplit("/", 1)[-1]
        fitting = [prefix for prefix in by_name if name.startswith(f"{prefix}_")]
        if not fitting:
            continue
        owners = by_name[max(fitting, key=len)]
        turn = seen.setdefault(slot.path, 0)
        seen[slot.path] += 1
        number = numbers.get(id(owners[turn])) if turn < len(owners) else None
        if number is not None:
            slots[number].append(slot)
    return slots
