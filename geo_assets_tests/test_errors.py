"""Errors are data: they survive pickling and say rule, got, where and fix."""

import inspect
import pickle

import pytest

from geo_assets import errors

CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, errors.GeoAssetsError)
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_class_survives_pickling(cls):
    error = cls("A rule", "this", "raw/scenes[a]", "Do that.")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is cls
    assert (back.rule, back.got, back.where, back.fix) == (
        "A rule", "this", "raw/scenes[a]", "Do that.",
    )  # fmt: skip
    assert str(back) == "A rule, got this, in raw/scenes[a]. Do that."


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_location_is_put_in_front_and_the_class_kept(cls):
    error = cls("A rule", "this", "chunk 3").located("raw/scenes[a]")
    assert type(error) is cls
    assert error.where == "raw/scenes[a]: chunk 3"


def test_kinds_are_unique():
    kinds = [cls.kind for cls in CLASSES]
    assert len(set(kinds)) == len(kinds)


def test_builtin_bases_catch_input_and_config_errors():
    with pytest.raises(ValueError, match="A rule"):
        raise errors.InputError("A rule")
    with pytest.raises(ValueError, match="A rule"):
        raise errors.ConfigError("A rule")
