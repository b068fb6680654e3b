"""Operations that processors round differently, made exact where the library's statements need it, in graphs too.

The same 1 / sqrt(1) is 1 on one processor and 0.99999988 on another, and a graph is rewritten before it runs (1 / sqrt(x) as
rsqrt(x)). So no formula helps, but only choosing: `tf.where`.
"""

import tensorflow as tf


def rsqrt(x):
    """Compute 1 / sqrt(x), and exactly 1 where x is 1: the scale of the prior, as of a product of no expert."""
    return exact_at_one(tf.math.rsqrt(x), x)


def reciprocal(x):
    """Compute 1 / x, and exactly 1 where x is 1."""
    return exact_at_one(tf.math.reciprocal(x), x)


def exact_at_one(y, x):
    """Return y, a power of x, but exactly 1 where x is 1; the gradient is that of y."""
    return y + tf.stop_gradient(tf.where(tf.equal(x, 1.0), 1.0 - y, 0.0))


def not_negative(divergence):
    """Return the divergence, but 0 where rounding has made it negative; the gradient stays."""
    return divergence + tf.stop_gradient(tf.nn.relu(-divergence))
