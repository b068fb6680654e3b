"""An objective that a joint posterior does not suit is an error when the model is made, not a number in training."""

import pytest
import small

import tf_mopoe as mopoe
from tf_mopoe import objectives

SUBSETS = mopoe.MixtureOfProducts
REFUSED = {
    "MVTCAE of the default posterior": (objectives.MVTCAE, lambda: None, '"mvtcae"'),
    "MVTCAE with a prior expert": (objectives.MVTCAE, lambda: "mvae", '"mvtcae"'),
    "MVTCAE of another pooling": (
        objectives.MVTCAE,
        lambda: SUBSETS("full", pooling=mopoe.pooling.Hellinger()),
        '"mvtcae"',
    ),
    "MVAE of single experts": (objectives.MVAE, lambda: "mmvae", '"mvae"'),
    "MVAE of all subsets": (objectives.MVAE, lambda: "mopoe", '"mvae"'),
    "MVAE of a network": (objectives.MVAE, small.joint_encoder, '"mvae"'),
    "MMJSD of all subsets": (objectives.MMJSD, lambda: "mopoe", '"mmjsd"'),
    "MMJSD without the prior": (objectives.MMJSD, lambda: "mmvae", '"mmjsd"'),
    "MMJSD of a network": (objectives.MMJSD, small.joint_encoder, '"mmjsd"'),
    "TELBO of all subsets": (objectives.TELBO, lambda: "mopoe", "JointEncoder"),
    "TELBO of a product": (objectives.TELBO, lambda: "mvae", "JointEncoder"),
    "JMVAE of all subsets": (objectives.JMVAE, lambda: "mopoe", "JointEncoder"),
    "TELBO of features": (objectives.TELBO, mopoe.SetEncoder, "JointEncoder"),
    "JMVAE of features": (objectives.JMVAE, mopoe.SetEncoder, "JointEncoder"),
    "JNF of features": (objectives.JNF, mopoe.SetEncoder, "JointEncoder"),
    "Masked of a mixture": (objectives.Masked, lambda: "mopoe", "SetEncoder"),
    "DMVAE of a product without prior": (objectives.DMVAE, lambda: "mvtcae", '"mvae"'),
    "CRMVAE of all subsets": (objectives.CRMVAE, lambda: "mopoe", '"mvtcae"'),
    "CRMVAE with the prior": (objectives.CRMVAE, lambda: "mvae", '"mvtcae"'),
    "MMVM of all subsets": (objectives.MMVM, lambda: "mopoe", '"mmvae"'),
    "MMVM of a network": (objectives.MMVM, small.joint_encoder, '"mmvae"'),
    "CoDE of drawn subsets": (
        objectives.CoDE,
        lambda: SUBSETS(max_components=2, num_components=2),
        r"MixtureOfProducts\(\.\.\.\) of subsets that are not drawn",
    ),
    "JMVAE of single experts": (objectives.JMVAE, lambda: "mmvae", "JointEncoder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_the_constructor(case):
    objective, joint_posterior, wanted = REFUSED[case]
    name = objective.__name__
    with pytest.raises(ValueError, match=rf"objectives.{name} needs `joint_posterior={wanted}.*Received: joint_post"):
        small.model(objective=objective(), joint_posterior=joint_posterior())


@pytest.mark.parametrize("objective", [objectives.MVTCAE, objectives.MVAE, objectives.JMVAE])
def test_of_one_modality_all_are_the_same(objective):
    small.model(("sensor",), objective=objective())


SUITS = {
    "mvtcae": (objectives.MVTCAE, "mvtcae"),
    "mvae": (objectives.MVAE, "mvae"),
    "mvae without prior": (objectives.MVAE, SUBSETS("full", "none")),
    "mmjsd": (objectives.MMJSD, "mmjsd"),
    "telbo": (objectives.TELBO, small.joint_encoder()),
    "jmvae": (objectives.JMVAE, small.joint_encoder()),
}


@pytest.mark.parametrize("case", SUITS)
def test_it_is_made_with_what_suits_it(case):
    objective, joint_posterior = SUITS[case]
    small.model(objective=objective(), joint_posterior=joint_posterior)
