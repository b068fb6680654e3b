"""tf_mopoe: one generative model of several data types, any of which may be missing (MoPoE-VAE)."""

from tf_mopoe import datasets, evaluation, likelihoods, networks, objectives
from tf_mopoe.layers import Decoder, GaussianEncoder, JointEncoder, LaplaceEncoder, MixtureOfProducts
from tf_mopoe.model import MultimodalVAE

__version__ = "0.1.0"
__all__ = [
    "Decoder",
    "GaussianEncoder",
    "JointEncoder",
    "LaplaceEncoder",
    "MixtureOfProducts",
    "MultimodalVAE",
    "datasets",
    "evaluation",
    "likelihoods",
    "networks",
    "objectives",
]
