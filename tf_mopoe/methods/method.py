"""What every preset is, and a preset on top of another."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tf_mopoe import objectives
from tf_mopoe.encoders import GaussianEncoder


class Method:
    """A preset. A subclass has `parts`."""

    encoder = GaussianEncoder  # the class of the published encoders
    needs_private = False  # whether the encoders must have private latent variables

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        """Return the arguments of `MultimodalVAE` that the method sets, {name: value}, for {modality: encoder}."""
        raise NotImplementedError

    def arguments(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        """Return `parts`, after a check of the encoders.

        Raises:
            ValueError: for encoders without private latent variables, if the method is about these.
        """
        if self.needs_private and not any(encoder.private_dim for encoder in encoders.values()):
            raise ValueError(
                f"methods.{type(self).__name__} needs `encoders` with private latent variables, "
                "GaussianEncoder(..., private_dim=P). Received: encoders without any"
            )
        return self.parts(encoders)


@dataclasses.dataclass(frozen=True)
class WithInfoNCE(Method):
    """Another method, with InfoNCE between the experts' means on top (the cross-modal term of IDMVAE, ICLR 2026)."""

    method: Method
    weight: float = 80.0
    temperature: float = 1.0

    @property
    def encoder(self) -> type[GaussianEncoder]:
        return self.method.encoder

    @property
    def needs_private(self) -> bool:
        return self.method.needs_private

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        parts = self.method.parts(encoders)
        return parts | {"objective": objectives.InfoNCE(parts["objective"], self.weight, self.temperature)}
