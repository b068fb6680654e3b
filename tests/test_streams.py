"""Streams: the same numbers each time, independent children, and a row's draws that depend on its seed alone."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mopoe.streams import RowStream, Stream, as_stream

SEEDS = tf.constant([[3, 0], [7, 0], [3, 0], [2, 9]])


def test_the_same_stream_gives_the_same_numbers_and_other_children_others():
    stream = as_stream(5)
    x = stream.child("a").normal([1000, 8]).numpy()
    np.testing.assert_array_equal(x, as_stream(5).child("a").normal([1000, 8]))
    for other in (stream, as_stream(6).child("a"), stream.child("b"), stream.child("a").child("a"), stream.child(3)):
        y = other.normal([1000, 8]).numpy()
        assert abs(np.corrcoef(x.ravel(), y.ravel())[0, 1]) < 5 / np.sqrt(8000)
    assert abs(x.mean()) < 5 / np.sqrt(8000) and abs(x.std() - 1) < 5 / np.sqrt(16000)


def test_strata_are_even_over_the_batch_and_uniform_for_each_row():
    u = np.stack([as_stream(seed).strata(10).numpy() for seed in range(400)])
    np.testing.assert_array_equal(np.sort(np.floor(u * 10 * (1 - 1e-6)), axis=1), np.tile(np.arange(10.0), (400, 1)))
    assert np.all(np.abs(u.mean(axis=0) - 0.5) < 5 * np.sqrt(1 / 12 / 400))


@pytest.mark.parametrize("draw", ["normal", "uniform", "strata"])
def test_a_row_draws_what_a_batch_of_that_row_alone_draws(draw):
    def drawn(stream, rows):
        stream = stream.child("z").child(4)
        if draw == "strata":
            return stream.strata(rows).numpy()[None, :, None]
        shape, axis = ([5, rows, 3], 1) if draw == "normal" else ([5, rows], 1)
        return np.reshape(getattr(stream, draw)(shape, row_axis=axis), [5, rows, -1])

    together = drawn(RowStream(SEEDS), 4)
    for row, seed in enumerate(SEEDS):
        # Strata are divided by the number of rows, here 1.
        np.testing.assert_allclose(drawn(Stream(seed), 1)[:, 0], together[:, row], rtol=3e-7 * (draw == "strata"))
        np.testing.assert_array_equal(drawn(RowStream(SEEDS[row : row + 1]), 1)[:, 0], together[:, row])
    np.testing.assert_array_equal(together[:, 0], together[:, 2])
    assert np.any(together[:, 0] != together[:, 1])


def test_a_row_stream_of_no_rows():
    assert RowStream(tf.zeros([0, 2], tf.int32)).child("a").normal([0, 3]).shape == (0, 3)


def test_seeds():
    np.testing.assert_array_equal(as_stream(2**31 + 5).seed, [5, 1])
    assert np.any(as_stream().seed.numpy() != as_stream().seed.numpy())
    stream = as_stream(1)
    assert as_stream(stream) is stream
    for bad in (1.5, "1", True):
        with pytest.raises(ValueError, match="`seed` must be an integer, a stream or None. Received: seed="):
            as_stream(bad)
