"""Types of what a user calls: each argument and each result has one, and they are shipped."""

import functools
import importlib
import inspect
import pathlib
import typing

import tf_mopoe as mopoe

# The public modules besides those of `tf_mopoe.__all__`, and those of which a user is handed objects of classes.
MODULES = """
datasets.logmel datasets.text export families figures networks.celeba networks.digits networks.mnist_svhn_text
networks.polymnist plots streams units
"""
CLASSES = "datasets.arrays datasets.rows generative mixture posteriors.posterior predictive"
CALLED = ("__init__", "__call__", "__len__", "__getitem__")
LEAST = {
    "MultimodalVAE.translate",
    "Rows.dataset",
    "ELBO.__call__",
    "Stream.child",
    "fuse",
    "Table.of",
    "Product.mixture",
}


def public_objects():
    yield from (value for value in map(vars(mopoe).get, mopoe.__all__) if isinstance(value, type))
    public = [value for value in map(vars(mopoe).get, mopoe.__all__) if inspect.ismodule(value)]
    for module in public + [importlib.import_module(f"tf_mopoe.{name}") for name in MODULES.split()]:
        yield from map(vars(module).get, getattr(module, "__all__", own_names(module)))
    for module in (importlib.import_module(f"tf_mopoe.{name}") for name in CLASSES.split()):
        yield from (value for value in map(vars(module).get, own_names(module)) if isinstance(value, type))


def own_names(module):
    return [n for n, v in vars(module).items() if n[0] != "_" and getattr(v, "__module__", None) == module.__name__]


def functions_of(value):
    """(name, function) of a function, or of a class's public methods, inherited ones of this project included."""
    if inspect.isfunction(value):
        yield value.__name__, value
    for parent in value.__mro__ if isinstance(value, type) else ():
        if not parent.__module__.startswith("tf_mopoe"):
            continue
        for name, member in vars(parent).items():
            if name.startswith("_") and name not in CALLED:
                continue
            parts = [member.fget, member.fset] if isinstance(member, property) else [member]
            for part in parts:
                part = part.func if isinstance(part, functools.cached_property) else getattr(part, "__func__", part)
                if inspect.isfunction(part) and part.__module__.startswith("tf_mopoe"):
                    yield f"{value.__name__}.{name}", part


def lacking(name, function):
    """The arguments without a type, and "return"."""
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    untyped = [p.name for p in parameters if p.annotation is p.empty]
    needs_return = not name.endswith(".__init__") and signature.return_annotation is signature.empty
    return untyped + ["return"] * needs_return


def test_all_that_is_public_has_types():
    functions = [pair for value in public_objects() for pair in functions_of(value)]
    assert {name for name, _ in functions} >= LEAST and len(functions) > 500
    assert [(name, lacking(name, function)) for name, function in functions if lacking(name, function)] == []
    for _, function in functions:
        typing.get_type_hints(function)  # every name in quotes is there


def test_the_package_says_that_it_has_types():
    assert (pathlib.Path(mopoe.__file__).parent / "py.typed").is_file()
