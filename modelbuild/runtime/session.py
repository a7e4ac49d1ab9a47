"""OpenVINO's runtime: the only module that imports it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from modelbuild.errors import EnvironmentTrouble, StageError
from modelbuild.runtime.feeds import match
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.packing import pack, unpack
from modelbuild.tensor.shape import Dim, Expr, Shape

_COMBINATIONS = frozenset({"AUTO", "BATCH", "HETERO", "MULTI"})
_FAST = {"PERFORMANCE_HINT": "LATENCY"}
_NAMES = frozenset({"FULL_DEVICE_NAME", "DEVICE_ARCHITECTURE"})


class Session:
    """A model compiled for a device: to be right, in single precision where the device can, or ``fast``.

    ``inputs`` and ``outputs`` are known by the first of their names; :meth:`run` takes and gives all of them.
    """

    def __init__(self, xml: Path, device: str = "CPU", *, fast: bool = False) -> None:
        core = _core()
        _expect_device(core.available_devices, device)
        try:
            model = core.read_model(xml)
            self._compiled = core.compile_model(model, device, _FAST if fast else _exact(core, device))
        except RuntimeError as error:
            raise StageError(f"{xml}: {device} does not take the model: {_reason(error)}") from error
        self._xml = xml
        self._request = self._compiled.create_infer_request()
        self.input_names = [_names(port, i) for i, port in enumerate(self._compiled.inputs)]
        self.output_names = [_names(port, i) for i, port in enumerate(self._compiled.outputs)]
        self.inputs = {n[0]: _fact(p, n[0]) for n, p in zip(self.input_names, self._compiled.inputs, strict=True)}
        self.outputs = {n[0]: _fact(p, n[0]) for n, p in zip(self.output_names, self._compiled.outputs, strict=True)}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by all of their names, for an array an input by any of its names; variables keep their content.

        Raises ``ValueError`` for feeds that are not the model's inputs, :class:`StageError` where the runtime fails.
        """
        self.feed(feeds)
        self.infer()
        results = [_from_tensor(self._request.get_output_tensor(i)) for i in range(len(self.output_names))]
        return {name: array for names, array in zip(self.output_names, results, strict=True) for name in names}

    def feed(self, feeds: Mapping[str, Array]) -> None:
        """Lay the inputs of the next runs ready; raises as `run` does."""
        arrays = match(feeds, self.input_names)
        tensors = [_to_tensor(a, fact.dtype) for a, fact in zip(arrays, self.inputs.values(), strict=True)]
        with self._explained():
            for i, tensor in enumerate(tensors):
                self._request.set_input_tensor(i, tensor)

    def infer(self) -> None:
        """Run once on what was laid ready."""
        with self._explained():
            self._request.infer()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise StageError(f"{self._xml}: the model does not run: {_reason(error)}") from error

    def reset(self) -> Self:
        """Give variables their first content again."""
        self._request.reset_state()
        return self


@cache
def _core() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the import; a model is run all the same
            import openvino
    except ImportError as error:
        raise EnvironmentTrouble("openvino is not installed: pip install 'modelbuild[prove]'") from error
    return openvino.Core()


def _expect_device(available: Iterable[str], device: str) -> None:
    """Raise :class:`EnvironmentTrouble` unless the machine has ``device``, or each of those it combines."""
    there = {name.partition(".")[0] for name in available} | _COMBINATIONS
    for name in _members(device):
        if name.strip("-()0123456789").partition(".")[0] not in there:
            raise EnvironmentTrouble(f"there is no device {name} here; there is {', '.join(available)}")


def read_model(xml: Path) -> Any:
    """The model as the runtime's own object, for the tools that work on such."""
    try:
        return _core().read_model(xml)
    except RuntimeError as error:
        raise StageError(f"{xml}: the runtime does not read the model: {_reason(error)}") from error


def exported(xml: Path, device: str) -> bytes:
    """What ``device`` makes of the model for itself.

    Raises :class:`EnvironmentTrouble` where there is no such device here, or it keeps what it makes to itself.
    """
    core = _core()
    _expect_device(core.available_devices, device)
    try:
        compiled = core.compile_model(core.read_model(xml), device)
    except RuntimeError as error:
        raise StageError(f"{xml}: {device} does not take the model: {_reason(error)}") from error
    try:
        blob: bytes = compiled.export_model().getvalue()
    except RuntimeError as error:
        raise EnvironmentTrouble(f"{device} does not export what it compiles: {_reason(error)}") from error
    return blob


def is_present(device: str) -> bool:
    """Whether the machine has ``device``, and the runtime a plugin for it."""
    try:
        _expect_device(_core().available_devices, device)
    except EnvironmentTrouble:
        return False
    return True


def full_name(device: str) -> str:
    """What the maker calls a device; of a combination, what the runtime does."""
    if device.partition(":")[0] in _COMBINATIONS:
        return device
    return str(_core().get_property(device, "FULL_DEVICE_NAME")).strip()


def makeup(device: str) -> Iterator[str]:
    """What a blob of ``device`` depends on, in words: the versions of plugin and driver, and what hardware it is.

    Of a combination, what holds for each of its members; of one that is not here, that.
    """
    core = _core()
    for name in _members(device):
        try:
            _expect_device(core.available_devices, name)
        except EnvironmentTrouble:
            yield f"{name}: absent"
            continue
        for plugin, version in sorted(core.get_versions(name).items()):
            yield f"{plugin}: {version.build_number}"
        for what in sorted({*_ask(core, name, "CACHING_PROPERTIES"), *_versions(core, name)}):
            yield f"{name} {what}: {core.get_property(name, what)}"


def _members(device: str) -> list[str]:
    combination, _, members = device.partition(":")
    return members.split(",") if members else [combination]


def _versions(core: Any, device: str) -> Iterator[str]:
    """The properties that name a device and the versions of what drives it."""
    known = _ask(core, device, "SUPPORTED_PROPERTIES")
    return (name for name in known if name in _NAMES or name.endswith("_VERSION"))


def _ask(core: Any, device: str, what: str) -> Iterable[str]:
    """Names that a property lists; none where the device has no such property."""
    try:
        listed: Iterable[str] = core.get_property(device, what)
    except RuntimeError:
        return ()
    return listed


def _exact(core: Any, device: str) -> dict[str, str]:
    """Single precision, unless the device knows no such hint; combinations hand it on to those that do."""
    hint = "INFERENCE_PRECISION_HINT"
    if device.partition(":")[0] in _COMBINATIONS or hint in core.get_property(device, "SUPPORTED_PROPERTIES"):
        return {hint: "f32"}
    return {}


def _reason(error: RuntimeError) -> str:
    """The last line that says something: the first ones name source files of the runtime."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("Exception from ")]
    return (said or lines or ["no reason given"])[-1]


def _names(port: Any, index: int) -> tuple[str, ...]:
    return tuple(sorted(port.get_names())) or (str(index),)


def _fact(port: Any, name: str) -> Fact:
    return Fact(ElementType(port.get_element_type().get_type_name()), _shape(port.get_partial_shape(), name))


def _shape(partial: Any, name: str) -> Shape | None:
    if partial.rank.is_dynamic:
        return None
    return tuple(_dim(dim, f"{name}.{axis}") for axis, dim in enumerate(partial))


def _dim(dim: Any, name: str) -> Dim:
    if dim.is_static:
        return int(dim.get_length())
    high = dim.get_max_length()
    return Expr.symbol(name, dim.get_min_length(), None if high < 0 else high)


def _to_tensor(array: Array, dtype: ElementType) -> Any:
    import openvino

    if ElementType.of(array.dtype) is not dtype:
        raise ValueError(f"an array of {ElementType.of(array.dtype)} is given for an input of {dtype}")
    if dtype is ElementType.string:
        return openvino.Tensor(np.array(array.tolist(), "U").reshape(array.shape))
    tensor = openvino.Tensor(getattr(openvino.Type, dtype), openvino.Shape(array.shape))
    if array.size:
        flat = np.ascontiguousarray(array).reshape(-1)
        tensor.data.reshape(-1).view(np.uint8)[:] = pack(flat, dtype)
    return tensor


def _from_tensor(tensor: Any) -> Array:
    """A copy: the runtime writes its next answer to the same place."""
    shape = tuple(tensor.shape)
    dtype = ElementType(tensor.element_type.get_type_name())
    if dtype is ElementType.string:
        return np.array(tensor.str_data.tolist(), object).reshape(shape)
    octets = tensor.data.reshape(-1).view(np.uint8).copy() if tensor.size else np.empty(0, np.uint8)
    return unpack(octets, dtype, tensor.size).reshape(shape)
