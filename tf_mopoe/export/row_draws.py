"""Draws of which each is a row's own: they depend on its seed alone, never on the batch it comes in."""

import tensorflow as tf

from tf_mopoe import sampling


def noise(seed, latent_dim):
    """Standard normal [B, D], seed int32 [B, 2]: a row's is what `model.generate(1, seed)` draws."""
    return tf.map_fn(
        lambda row: tf.random.stateless_normal([latent_dim], row),
        seed,
        fn_output_signature=tf.TensorSpec([latent_dim], tf.float32),
    )


def sample(components, seed):
    """z [B, D] from `Components`, seed int32 [B, 2]: a row's is what `model.translate` of it alone draws with that seed."""
    weights, loc, scale = components
    latent_dim = loc.shape[-1]

    def row(seed):
        index_seed, noise_seed = tf.unstack(tf.random.split(seed, 2))
        u = tf.random.stateless_uniform([], tf.random.split(index_seed, 2)[1])  # as `stratified` of one row
        return u, tf.random.stateless_normal([latent_dim], noise_seed)

    signature = tf.TensorSpec([], tf.float32), tf.TensorSpec([latent_dim], tf.float32)
    u, normal = tf.map_fn(row, seed, fn_output_signature=signature)
    index = sampling.inverse_cdf(weights, u)  # [B]
    return tf.gather(loc, index, batch_dims=1) + tf.gather(scale, index, batch_dims=1) * normal
