"""Tensors as text: by content, by recipe, or, when small, by their elements."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

import numpy as np

from modelbuild.tensor.derived import Cast, Reshaped, Scaled, Transposed
from modelbuild.tensor.dtype import ElementType, Ints
from modelbuild.tensor.quantized import Quantized
from modelbuild.tensor.storage import InMemory, Tensor

INLINE = 16
"""Constants of up to so many elements are written out."""

_WORDS = (ElementType.boolean, ElementType.string)

Contents = Callable[[str, ElementType, Ints], Tensor]
"""The tensor of a content digest, seen with a type and shape; raises ``KeyError`` where there is none."""

_LEAF = re.compile(r"@(?P<digest>[0-9a-f]{64}):(?P<dtype>\w+)\[(?P<shape>[\d,]*)\]")
_CALL = re.compile(r"(?P<call>cast|transposed|reshaped|scaled|quantized)\(")
_LIST = re.compile(r"\[([\d,]*)\], ")


def write_tensor(tensor: Tensor) -> str:
    """``@digest:f32[2,3]``, or how it derives from such; reads the content to name it."""
    match tensor:
        case Cast(source=source, dtype=dtype, saturate=saturate):
            return f"cast({dtype}, {str(saturate).lower()}, {write_tensor(source)})"
        case Transposed(source=source, order=order):
            return f"transposed({_list(order)}, {write_tensor(source)})"
        case Reshaped(source=source, shape=shape):
            return f"reshaped({_list(shape)}, {write_tensor(source)})"
        case Scaled(source=source, factors=factors, axis=axis):
            return f"scaled({axis}, {write_tensor(factors)}, {write_tensor(source)})"
        case Quantized(dtype=dtype, sources=sources):
            return f"quantized({dtype}, {', '.join(map(write_tensor, sources))})"
    return f"@{tensor.digest}:{tensor.dtype}{_list(tensor.shape)}"


def _list(numbers: Ints) -> str:
    return f"[{','.join(map(str, numbers))}]"


def read_tensor(text: str, contents: Contents) -> Tensor:
    """The tensor that :func:`write_tensor` wrote; ``ValueError`` if the text is none, ``KeyError`` without content."""
    tensor, rest = _read(text, contents, 0)
    if rest:
        raise ValueError(f"not a tensor: {text!r}")
    return tensor


def _read(text: str, contents: Contents, depth: int) -> tuple[Tensor, str]:
    if depth > 20:
        raise ValueError("a tensor derived twenty times over")
    if leaf := _LEAF.match(text):
        shape = tuple(map(int, filter(None, leaf["shape"].split(","))))
        return contents(leaf["digest"], ElementType(leaf["dtype"]), shape), text[leaf.end() :]
    call = _CALL.match(text)
    if call is None:
        raise ValueError(f"not a tensor: {text!r}")
    text = text[call.end() :]
    if call["call"] == "cast":
        dtype, saturate, text = text.split(", ", 2)
        source, text = _read(text, contents, depth + 1)
        made: Tensor = Cast(source, ElementType(dtype), saturate == "true")
    elif call["call"] == "scaled":
        axis, text = text.split(", ", 1)
        factors, text = _read(text, contents, depth + 1)
        source, text = _read(text.removeprefix(", "), contents, depth + 1)
        made = Scaled(source, InMemory(factors.numpy()), int(axis))
    elif call["call"] == "quantized":
        dtype, text = text.split(", ", 1)
        scales, text = _read(text, contents, depth + 1)
        source, text = _read(text.removeprefix(", "), contents, depth + 1)
        zeros = None
        if text.startswith(", "):
            zeros = InMemory(source.numpy())
            source, text = _read(text.removeprefix(", "), contents, depth + 1)
        made = Quantized(source, ElementType(dtype), InMemory(scales.numpy()), zeros)
    else:
        numbers = _LIST.match(text)
        if numbers is None:
            raise ValueError(f"a list of numbers expected: {text!r}")
        listed = tuple(map(int, filter(None, numbers[1].split(","))))
        source, text = _read(text[numbers.end() :], contents, depth + 1)
        made = Transposed(source, listed) if call["call"] == "transposed" else Reshaped(source, listed)
    if not text.startswith(")"):
        raise ValueError(f"a ) expected: {text!r}")
    return made, text[1:]


def write_inline(tensor: Tensor) -> str:
    """``[1.0,2.0,nan]``: the elements, flat; exact, because a real number is written as the double that it is."""
    flat = tensor.numpy().reshape(-1)
    if tensor.dtype.is_real:
        flat = flat.astype(np.float64)
    spell = json.dumps if tensor.dtype in _WORDS else repr
    return f"[{','.join(map(spell, flat.tolist()))}]"


def read_inline(text: str, dtype: ElementType, shape: Ints) -> Tensor:
    """The tensor of written elements; one element fills any shape; ``random`` is noise, the same for a shape."""
    if text == "random":
        noise = np.random.default_rng(list(shape) or None if shape else 0).standard_normal(shape)
        return InMemory((noise if dtype.is_real else noise * 100).astype(dtype.numpy))
    if dtype.is_real and "n" in text:
        text = text.replace("inf", "Infinity").replace("nan", "NaN")
    elements = json.loads(text)
    count = math.prod(shape)
    if len(elements) not in {1, count}:
        raise ValueError(f"{len(elements)} elements for {dtype}{_list(shape)}")
    if dtype is ElementType.string:
        made = np.empty(len(elements), object)
        made[:] = elements
    else:
        made = np.array(elements, np.float64 if dtype.is_real else None).astype(dtype.numpy)
    return InMemory(made.reshape(shape) if len(elements) == count else np.full(shape, made[0], made.dtype))
