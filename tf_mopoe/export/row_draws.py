"""Draws of which each is a row's own: they depend on its seed alone, never on the batch it comes in."""

import tensorflow as tf

from tf_mopoe import sampling


def noise(seed, latent_dim, density):
    """z of the prior [B, D], seed int32 [B, 2]: a row's is what `model.generate(1, seed)` draws."""
    return each(lambda row: density.noise([latent_dim], row), seed, [latent_dim])


def sample(components, seed):
    """z [B, D] from `Components`, seed int32 [B, 2]: a row's is what `model.translate` of it alone draws with that seed."""
    loc, latent_dim = components.loc, components.loc.shape[-1]

    def shift(seed):
        return tf.random.stateless_uniform([], tf.random.split(tf.random.split(seed, 2)[0], 2)[1])  # as `stratified`

    normal = each(lambda row: components.density.noise([latent_dim], tf.random.split(row, 2)[1]), seed, [latent_dim])
    index = sampling.inverse_cdf(components.weights, each(shift, seed, []))  # [B]
    return tf.gather(loc, index, batch_dims=1) + tf.gather(components.scale, index, batch_dims=1) * normal


def private(model, encoded, seed):
    """{name: w [B, P]}, seed int32 [B, 2]: a row's is what `model.translate` of it alone draws with that seed."""

    def shaped(size, number):
        return each(lambda row: model.private.noise(number, [size], row), seed, [size])

    noises = {name: shaped(size, number) for number, (name, size) in enumerate(model.private.sizes.items()) if size}
    return model.private.from_noise(noises, encoded)


def each(function, seed, shape):
    """`function` of every row's seed: int32 [B, 2] -> [B, *shape]."""
    return tf.map_fn(function, seed, fn_output_signature=tf.TensorSpec(shape, tf.float32))
