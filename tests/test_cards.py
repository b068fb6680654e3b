"""The command on the card of a record trains the run again."""

import pathlib
import re

from running import no_flags

from trainers import experiments, train

with no_flags():  # another main, which other tests import, has flags of the same names
    from trainers import publish

NOT_SHAPING = {"out", "resume", "strategy", "replicas", "steps_per_call", "checkpoint_steps"}


def test_it_has_every_flag_that_shapes_a_run_and_is_not_as_usual():
    experiment = experiments.Digits
    usual = experiment.defaults | publish.PLAIN | {"dataset": "digits", "method": "mopoe", "private_dim": 0}
    usual["private_beta"] = usual["beta"]
    assert publish.training_command(experiment, usual, []) == "python -m trainers.train --dataset=digits --method=mopoe"
    source = pathlib.Path(train.__file__).read_text()
    flags = set(re.findall(r'flags\.DEFINE_\w+\(\s*"(\w+)"', source))
    sources = {"data_dir", "backgrounds", "speech"}
    changed = {name: f"other_{name}" for name in flags - NOT_SHAPING - sources} | {
        "dataset": "digits",
        "method": "mopoe",
    }
    changed["method_settings"] = ["weight=5.0", "num_components=10"]
    command = publish.training_command(experiment, changed, sorted(sources))
    assert set(re.findall(r"--(\w+)=", command)) == flags - NOT_SHAPING
    assert "--method_settings=weight=5.0,num_components=10 " in command
