"""Losses that Keras layers add: per call (`add_loss`, activity regularisers), and per weight (regularisers)."""

import tensorflow as tf


def call_with_losses(layer, function):
    """Call a function that runs a layer, and return its value and the sum of the losses that the layer added in it, [].

    Collected call by call: a layer forgets the losses of its last call, and those made in a branch of a graph cannot be
    read outside of it.
    """
    layer._clear_losses()
    value = function()
    weights = [v for v in layer.trainable_weights if getattr(v, "regularizer", None) is not None]
    losses = layer.losses
    losses = losses[: len(losses) - len(weights)]  # those of the weights come last
    layer._clear_losses()
    return value, total(losses)


def weight_losses(layer):
    """Sum the regularisers of a layer's weights, []."""
    weights = [v for v in layer.trainable_weights if getattr(v, "regularizer", None) is not None]
    return total([variable.regularizer(variable) for variable in weights])


def total(losses):
    return tf.add_n([tf.cast(loss, tf.float32) for loss in losses]) if losses else tf.zeros([])
