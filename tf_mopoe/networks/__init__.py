"""Encoder and decoder networks. Any Keras network does as well: these are the ones this project's runs use."""

from tf_mopoe.networks import celeba, digits, mnist_svhn_text, polymnist
from tf_mopoe.networks.joint import joint_encoder
from tf_mopoe.networks.mlp import mlp_decoder, mlp_encoder

__all__ = ["celeba", "digits", "joint_encoder", "mlp_decoder", "mlp_encoder", "mnist_svhn_text", "polymnist"]
