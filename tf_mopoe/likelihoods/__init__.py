"""Likelihoods p(x | z) of the kinds of data that a modality can have."""

from tf_mopoe.likelihoods.beta import Beta
from tf_mopoe.likelihoods.classes import Bernoulli, Categorical
from tf_mopoe.likelihoods.counts import NegativeBinomial, Poisson, ZeroInflated
from tf_mopoe.likelihoods.discretized_logistic import DiscretizedLogistic
from tf_mopoe.likelihoods.likelihood import Likelihood
from tf_mopoe.likelihoods.location_scale import Laplace, Normal, StudentT
from tf_mopoe.likelihoods.table import Table
from tf_mopoe.likelihoods.tokens import Tokens

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "DiscretizedLogistic",
    "Laplace",
    "Likelihood",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "StudentT",
    "Table",
    "Tokens",
    "ZeroInflated",
]
