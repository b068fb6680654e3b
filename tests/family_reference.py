"""The loops of `objective_reference`, for the rest of the family: each a row at a time, in float64, of what was drawn."""

import objective_reference as loops


def dmvae(batch, z, beta):
    """The bound of the product of all, and of each expert times the prior; each decodes all that the row has."""
    of_all, *of_each = z

    def loss(row):
        present = batch.present(row)
        total = batch.reconstruction(row, of_all[row]) + beta * loops.kl_to_prior(batch.product(present, row, True))
        for name, own in zip(batch.names, of_each, strict=len(batch.names) > 1):
            if name in present and len(present) > 1:
                total += batch.reconstruction(row, own[row])
                total += beta * loops.kl_to_prior(batch.product([name], row, True))
        return total

    return batch.rows(loss)
