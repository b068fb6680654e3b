"""tf_mopoe: one generative model of several data types, any of which may be missing (MoPoE-VAE)."""

from tf_mopoe import datasets, evaluation, likelihoods, methods, networks, objectives, pooling, priors, tables
from tf_mopoe.decoders import Decoder
from tf_mopoe.encoders import GaussianEncoder, LaplaceEncoder
from tf_mopoe.model import MultimodalVAE
from tf_mopoe.posteriors.joint_encoder import JointEncoder
from tf_mopoe.posteriors.mixture_of_products import MixtureOfProducts
from tf_mopoe.posteriors.set_encoder import SetEncoder
from tf_mopoe.posteriors.subset_encoders import SubsetEncoders

__version__ = "0.1.0"
__all__ = [
    "Decoder",
    "GaussianEncoder",
    "JointEncoder",
    "LaplaceEncoder",
    "MixtureOfProducts",
    "MultimodalVAE",
    "SetEncoder",
    "SubsetEncoders",
    "datasets",
    "evaluation",
    "likelihoods",
    "methods",
    "networks",
    "objectives",
    "pooling",
    "priors",
    "tables",
]
