"""The loops of `objective_reference`, for the rest of the family: each a row at a time, in float64, of what was drawn."""

import numpy as np


def info_nce(batch, base, weight, temperature):
    """`base`: [N], the loss of the objective below."""

    def cosine(a, b):
        return np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b))

    def mean(name, row):
        return batch.expert(name, row)[0]

    def loss(row):
        present, total = batch.present(row), 0.0
        for name in present:
            for other in present:
                if other == name:
                    continue
                both = [r for r in range(batch.count) if {name, other} <= set(batch.present(r))]
                scores = [np.exp(cosine(mean(name, row), mean(other, r)) / temperature) for r in both]
                total -= np.log(np.exp(cosine(mean(name, row), mean(other, row)) / temperature) / sum(scores))
        return base[row] + weight * total / max(len(present) - 1, 1)

    return batch.rows(loss)
