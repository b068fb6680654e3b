"""The reconstruction of every modality from its own expert's latent variables."""

from tf_mopoe.objectives.terms import negate


def unimodal_terms(q, p, stream):
    """Compute E[-log p(x[m] | z[m], w[m])], z[m] of the expert of m, and the distribution it was drawn from.

    Returns:
        reconstruction: {name: [B]}, 0 where a row lacks the modality.
        samples: {name: `Sample`}.
        private_kl: [B], the sum of KL( q(w[m] | x[m]) || p(w[m]) ).
    """
    reconstruction, samples, private_kl = {}, {}, 0.0
    for name in q.batch.names:
        own, part = stream.child(name), p.select((name,))
        samples[name] = q.expert(name).sample(own)
        w = part.sample_private(q, samples[name], own.child("private"))
        reconstruction |= negate(part.log_prob(samples[name].z, w))
        private_kl += part.private_kl(q, samples[name], w)
    return reconstruction, samples, private_kl
