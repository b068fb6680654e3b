"""Importance-weighted estimates of the marginal log-likelihood log p(X)."""

import math

import tensorflow as tf

NUMBERS = 2**24  # that the decoded samples of one part may hold, about


def marginal_log_likelihood(q, p, posterior, num_samples, stream):
    """Estimate log p(X) by importance samples, in nats: [B].

        log 1/K sum{ p(X | z[k], w[k]) p(z[k]) / q(z[k] | X) * prod{ p(w[m, k]) / q(w[m, k] | x[m]) : m } : k }

    Args:
        q: `Posterior` of the given modalities, whose own w are drawn.
        p: `Generative` of the batch whose likelihood is estimated: more modalities than q has, perhaps.
        posterior: `Mixture` from which z is drawn, stratified over its components; its whole density is the denominator.
        num_samples: K.
        stream: of `tf_mopoe.streams`.
    """
    sample = posterior.sample(stream, num_samples)  # z [K, B, D]
    # A w is from its own posterior where q has one, whatever component z comes from, and is weighed so.
    sample = sample._replace(members={})
    w = p.infer_private(q, sample.z, stream.child("private"))
    log_weights = p.prior.log_prob(sample.z) - posterior.log_prob(sample.z) + p.private_ratio(q, sample, w)
    rows = tf.shape(sample.z)[1]
    largest = max(math.prod(p.decoders[name].event_shape) for name in p.batch.names)
    size = tf.clip_by_value(NUMBERS // largest // tf.maximum(rows, 1), 1, num_samples)  # samples of a part
    parts = -(-num_samples // size)

    def decode(number, log_probs):
        part = slice(number * size, tf.minimum((number + 1) * size, num_samples))
        terms = p.log_prob(sample.z[part], {name: own[part] for name, own in w.items()})
        return number + 1, tf.concat([log_probs, sum(terms.values())], axis=0)

    # A loop in the graph: however many samples, their decoding is there once.
    shapes = (tf.TensorShape([]), tf.TensorShape([None, sample.z.shape[1]]))
    _, log_probs = tf.while_loop(
        lambda number, _: number < parts,
        decode,
        (tf.constant(0), tf.zeros([0, rows])),
        shape_invariants=shapes,
        parallel_iterations=1,
    )
    return tf.reduce_logsumexp(log_weights + log_probs, axis=0) - math.log(num_samples)
