"""Public functions say what they take and give: annotations, and the file by which type checkers find them."""

import inspect
import pathlib

import pytest

import tf_mopoe as mopoe
from tf_mopoe import export

MODULES = [mopoe, mopoe.datasets, mopoe.evaluation, mopoe.likelihoods, mopoe.methods, mopoe.networks, mopoe.objectives]
MODULES += [mopoe.pooling, mopoe.priors, mopoe.tables, export]
MODEL = (
    "adapt decode embed encode evaluate fit generate impute joint_posterior log_likelihood posterior_predictive predict"
)
MODEL += " subset_posterior train_on_batch translate"


def functions():
    """{name: function}: the functions and the classes' constructors that are public, and the methods of the model."""
    found = {f"MultimodalVAE.{name}": getattr(mopoe.MultimodalVAE, name) for name in MODEL.split()}
    for module in MODULES:
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        for name in getattr(module, "__all__", own):
            value = getattr(module, name)
            if inspect.isclass(value):
                makes = next(c for c in value.__mro__ if "__init__" in vars(c))
                if makes.__module__.startswith("tf_mopoe"):
                    found[f"{module.__name__}.{name}"] = inspect.unwrap(makes.__init__)
            elif inspect.isfunction(value):
                found[f"{module.__name__}.{name}"] = value
    return found


@pytest.mark.parametrize("name", functions())
def test_a_public_function_is_annotated(name):
    signature = inspect.signature(functions()[name])
    free = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    plain = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.kind not in free]
    assert set(plain) <= {"self"}
    assert functions()[name].__name__ == "__init__" or signature.return_annotation is not signature.empty


def test_type_checkers_find_them():
    assert (pathlib.Path(mopoe.__file__).parent / "py.typed").exists()
