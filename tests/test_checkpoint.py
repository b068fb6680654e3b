"""`tf.train.Checkpoint` of a model, as loops of one's own write it."""

import numpy as np
import pytest
import small
import tensorflow as tf


@pytest.mark.integration
def test_a_checkpoint_has_the_weights_the_step_and_the_optimizer(tmp_path):
    inputs = small.rows(12)
    model, other = small.compiled(seed=0), small.compiled(seed=1)
    model.fit(inputs, batch_size=4, epochs=2, verbose=0)
    other.build_optimizer()
    assert np.any(other.embed(inputs) != model.embed(inputs))
    path = tf.train.Checkpoint(model=model).save(tmp_path / "checkpoint")
    tf.train.Checkpoint(model=other).restore(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(other.embed(inputs), model.embed(inputs))
    assert int(other.step) == int(model.step) == 6
    for one, same in zip(model.optimizer.variables, other.optimizer.variables):
        np.testing.assert_array_equal(one, same)


def test_weights_of_other_shapes_are_an_error(tmp_path):
    path = tf.train.Checkpoint(model=small.model()).save(tmp_path / "checkpoint")
    with pytest.raises(ValueError, match="shape"):
        tf.train.Checkpoint(model=small.model(hidden_units=(9,))).restore(path)
