"""Joint coherence of a model with private latents: they come from their prior, whatever z comes from."""

import numpy as np
import pytest
import tables

from tf_mopoe import evaluation


def test_private_latents_come_from_their_prior_whatever_z_comes_from():
    model = tables.model(2, private_dim=2)
    seen = {}

    def reader(name):
        def read(x):
            seen.setdefault(name, []).append(np.asarray(x))
            return np.zeros(len(x), int)

        return read

    def latent(num_samples, seed):
        return np.zeros((num_samples, 3), np.float32)

    readers = {name: reader(name) for name in model.modalities}
    evaluation.joint_coherence(model, readers, 400, seed=1, latent=latent)
    evaluation.joint_coherence(model, readers, 400, seed=1)
    for name, (fixed, drawn) in seen.items():
        kernel = model.decoders[name].network.get_weights()[0]  # [3 + 2, 2], linear
        # z is 0, so all the variance is w's: that of a standard normal through the last rows of the kernel.
        expected = np.sqrt(np.sum(np.square(kernel[3:]), axis=0))
        assert fixed.std(axis=0) == pytest.approx(expected, rel=0.15)
        assert drawn.std(axis=0) == pytest.approx(np.sqrt(np.sum(np.square(kernel), axis=0)), rel=0.15)
