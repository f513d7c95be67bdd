"""Errors that ptocr raises on purpose. Each message says what, which value, where, and what to do."""

from __future__ import annotations


class PtocrError(Exception):
    """Base of all errors that ptocr raises on purpose."""


class SpecError(PtocrError):
    """A model or pipeline description is wrong: unknown name, key or value."""


class WeightsError(PtocrError):
    """Weights cannot be found, read, verified or fitted into the network."""


class InputError(PtocrError):
    """An input (picture, PDF, folder, URL) cannot be read."""


class DeviceError(PtocrError):
    """A device, data type, engine or compiler that was asked for is not there."""


class TrainError(PtocrError):
    """A training run cannot go on, or would destroy an earlier one."""
