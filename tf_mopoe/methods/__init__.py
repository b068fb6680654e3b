"""The methods of the family as presets: joint posterior, objective and priors with published defaults.

`MultimodalVAE(encoders, decoders, method=methods.MoPoE())`, or by name, `method="mopoe"`. Each preset's docstring says where
its defaults come from; `private_dim` of the encoders is the user's choice, and the presets that are about private latent
variables say so if there are none.
"""

from tf_mopoe.methods.joint_encoders import JMVAE, JNF, TELBO, EverySubset, Masked
from tf_mopoe.methods.method import Method, WithInfoNCE
from tf_mopoe.methods.mixtures import MMJSD, MMVAE, MMVM, CoDE, Hoelder, HoelderPlus, MoPoE
from tf_mopoe.methods.private import CMVAE, DMVAE, MFM, MMVAEPlus, MoPoEPlus
from tf_mopoe.methods.products import CRMVAE, HELVAE, MVAE, MVTCAE, GPoE, Kurle, MoHELVAE

__all__ = [
    "CMVAE",
    "CRMVAE",
    "DMVAE",
    "HELVAE",
    "JMVAE",
    "JNF",
    "MFM",
    "MMJSD",
    "MMVAE",
    "MMVM",
    "MVAE",
    "MVTCAE",
    "TELBO",
    "CoDE",
    "EverySubset",
    "GPoE",
    "Hoelder",
    "HoelderPlus",
    "Kurle",
    "MMVAEPlus",
    "Masked",
    "Method",
    "MoHELVAE",
    "MoPoE",
    "MoPoEPlus",
    "WithInfoNCE",
    "from_name",
]

NAMES = {
    "cmvae": CMVAE,
    "code": CoDE,
    "crmvae": CRMVAE,
    "dmvae": DMVAE,
    "every_subset": EverySubset,
    "gpoe": GPoE,
    "helvae": HELVAE,
    "hoelder": Hoelder,
    "hoelder_plus": HoelderPlus,
    "jmvae": JMVAE,
    "jnf": JNF,
    "kurle": Kurle,
    "masked": Masked,
    "mfm": MFM,
    "mmjsd": MMJSD,
    "mmvae": MMVAE,
    "mmvae_plus": MMVAEPlus,
    "mmvm": MMVM,
    "mohelvae": MoHELVAE,
    "mopoe": MoPoE,
    "mopoe_plus": MoPoEPlus,
    "mvae": MVAE,
    "mvtcae": MVTCAE,
    "telbo": TELBO,
}


def from_name(method: str | Method) -> Method:
    """Return the preset of a name with its published defaults, or the given `Method`.

    Raises:
        ValueError: for another name or object.
    """
    if isinstance(method, Method):
        return method
    if not isinstance(method, str) or method not in NAMES:
        raise ValueError(
            f"`method` must be one of {', '.join(map(repr, NAMES))}, or one of tf_mopoe.methods, such as MoPoE(beta=2.5). "
            f"Received: method={method!r}"
        )
    return NAMES[method]()
