"""Keras layers that emit tfp distributions."""

from tf_mopoe.layers.decoder import Decoder
from tf_mopoe.layers.gaussian_encoder import GaussianEncoder, LaplaceEncoder
from tf_mopoe.layers.joint_encoder import JointEncoder
from tf_mopoe.layers.mixture_of_products import MixtureOfProducts

__all__ = ["Decoder", "GaussianEncoder", "JointEncoder", "LaplaceEncoder", "MixtureOfProducts"]
