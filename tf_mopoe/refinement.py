"""Posteriors of single rows, refined by gradient steps: they close the encoders' gap, largest where cells are missing."""

import keras
import tensorflow as tf

from tf_mopoe.mixture import Mixture

LEARNING_RATE = 0.02


def refined(q, p, steps, stream):
    """Optimise a Gaussian per row, from q on, for the bound on log p(X) of what the row has, with p fixed.

    Semi-amortised inference (Kim et al., ICML 2018): steps of Adam on loc and log of the scale. Private latent variables
    stay those of q.

    Args:
        q: `Posterior`.
        p: `Generative` of the same batch.
        steps: how many.
        stream: of `tf_mopoe.streams`.

    Returns:
        `Mixture` of one component.
    """
    start = q.subset()
    loc = keras.Variable(start.loc[:, 0])
    log_scale = keras.Variable(tf.math.log(start.scale[:, 0]))
    optimizer = keras.optimizers.Adam(LEARNING_RATE)
    optimizer.build([loc, log_scale])

    def posterior():
        scale = tf.exp(tf.convert_to_tensor(log_scale))
        return Mixture(start.weights, tf.convert_to_tensor(loc)[:, None], scale[:, None], start.family, start.names)

    @tf.function(autograph=False)
    def step(number):
        own = stream.child(number)
        with tf.GradientTape() as tape:
            mixture = posterior()
            sample = mixture.sample(own)
            w = p.infer_private(q, sample.z, own.child("private"))
            bound = sum(p.log_prob(sample.z, w, frozen=True).values()) - mixture.kl_to(p.prior, sample)
            loss = -tf.reduce_sum(bound)
        variables = [loc, log_scale]
        optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)

    for number in range(steps):
        step(tf.constant(number))
    return posterior()
