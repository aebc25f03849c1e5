"""A GPU that is not there: tensors claim to be on `cuda:0`, hold host data, refuse mixed devices.

Inside `simulated_gpu()`, what is asked for on `cuda:0` is a `GpuTensor`. An operation that mixes it
with a host tensor raises as on a GPU, and every point at which the host would have to wait for all
that the device is doing is counted. There are no streams, no memory limits, no speed and no
half-precision autocast.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

#: Whether tests that take the fixture `gpu` are to run on the GPU of this machine.
ON_GPU = bool(os.environ.get("STRATA_TEST_GPU"))

aten = torch.ops.aten
_CUDA = torch.device("cuda:0")
# Operations whose result has a size or a value that the host must read from the device.
_WAITS = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.unique_consecutive.default,
    aten.equal.default,
    aten.bincount.default,
}
_INDEXED = {aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default}
_COPIES = {aten.copy_.default, aten._to_copy.default}


class GpuTensor(torch.Tensor):
    """A tensor that claims to be on `cuda:0`; its data are on the host, in `held`."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, real: torch.Tensor) -> GpuTensor:
        shape = torch.empty_strided(real.size(), real.stride(), dtype=real.dtype, device="meta")
        made = torch.Tensor._make_subclass(cls, shape, False)
        made.held = real
        return made

    device = property(lambda self: _CUDA)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]
    is_meta = property(lambda self: False)  # type: ignore[assignment]

    def tolist(self) -> Any:
        _note_wait("tolist")
        return self.held.tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")

    __array__ = numpy

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"GpuTensor({self.held!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.detach().__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class _Event:
    """An event of the device. Copies to the host that are not waited for arrive by it alone."""

    def record(self, stream: str) -> None:
        """An event of no stream is one of the current card's, which may be another card."""
        assert stream == "of cuda:0"
        self._sent = _on_the_way.copy()
        _on_the_way.clear()

    def synchronize(self) -> None:
        for target, source in self._sent:
            target.copy_(source)


#: Copies to the host that no event was recorded for yet: what they are to hold, they do not.
_on_the_way: list[tuple[torch.Tensor, torch.Tensor]] = []

# The backend that the process group was asked for; what NCCL would carry, gloo carries in fact.
_backend: list[str] = []
# All that gloo does on tensors of a GPU.
_GLOO_ON_GPU = {"c10d::allreduce_", "c10d::broadcast_"}

#: Waits for the device so far, by operation and place in the library.
waits: Counter[str] = Counter()


@contextlib.contextmanager
def no_gpu() -> Iterator[None]:
    """Hides a real GPU, for what is computed on the CPU to compare with."""
    with mock.patch.object(torch.cuda, "is_available", lambda: False):
        yield


@contextlib.contextmanager
def real_gpu() -> Iterator[None]:
    """The GPU of this machine; float32 is float32 there, without TF32.

    Raises:
        RuntimeError: there is none.
    """
    if not torch.cuda.is_available():
        raise RuntimeError("STRATA_TEST_GPU is set, but there is no GPU")
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@contextlib.contextmanager
def simulated_gpu(cards: int = 1) -> Iterator[None]:
    """Makes `cuda:0` mean the simulated GPU, and starts counting `waits` anew.

    Args:
        cards: how many the machine seems to have; every process uses its own `cuda:0`.
    """
    waits.clear()
    move = torch.Tensor.to

    def to(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """`cuda` without a number would ask the driver, before this module is asked."""
        args = tuple(_CUDA if _unnumbered(each) else each for each in args)
        if _unnumbered(kwargs.get("device")):
            kwargs["device"] = _CUDA
        return move(tensor, *args, **kwargs)

    cuda = {
        "is_available": lambda: True,
        "device_count": lambda: cards,
        "set_device": lambda device: None,
        "get_device_capability": lambda device=None: (8, 0),
        "current_device": lambda: 0,
        "is_bf16_supported": lambda: False,
        "get_rng_state": lambda device=None: torch.get_rng_state(),
        "set_rng_state": lambda state, device=None: None,
        "_lazy_init": lambda: None,
    }
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    with contextlib.ExitStack() as stack:
        for name, replacement in cuda.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, replacement))
        init = torch.distributed.init_process_group

        def start(backend: str, **how: Any) -> None:
            _backend[:] = [backend]
            init(backend.replace(",cuda:nccl", ""), **how)

        stack.enter_context(mock.patch.object(torch.distributed, "init_process_group", start))
        stack.enter_context(mock.patch.object(torch.cuda, "Event", _Event))
        stream = mock.patch.object(torch.cuda, "current_stream", lambda device: f"of {device}")
        stack.enter_context(stream)
        check = "_accelerator_graph_capture_health_check"
        stack.enter_context(mock.patch.object(torch.optim.Optimizer, check, lambda self: None))
        stack.enter_context(mock.patch.object(torch.Tensor, "to", to))
        # What a DataLoader asks in the thread that pins its batches, where the mode is not.
        accelerator = {"current_device_index": lambda: 0, "set_device_index": lambda index: None}
        stack.enter_context(mock.patch.multiple(torch.accelerator, **accelerator))
        stack.enter_context(mock.patch.object(torch.Tensor, "pin_memory", _pinned))
        # Tensor subclasses cannot be made in inference mode.
        stack.enter_context(mock.patch.object(torch, "inference_mode", torch.no_grad))
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrite)
        # Backward has to run in this thread, where the mode is.
        stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        stack.enter_context(_Mode())
        yield


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


def _pinned(values: torch.Tensor) -> torch.Tensor:
    if getattr(values, "in_pinned_memory", False):
        return values
    made = values.clone()
    made.in_pinned_memory = True  # type: ignore[attr-defined]
    return made


def _note_wait(what: str) -> None:
    frames = [f for f in traceback.extract_stack() if "/strata_labels/" in f.filename]
    place = "outside"
    if frames:
        file = frames[-1].filename.rsplit("/strata_labels/", 1)[1]
        place = f"{file}:{frames[-1].lineno} {frames[-1].line}"
    waits[f"{what} at {place}"] += 1


def _unwaited(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a copy was asked for with `non_blocking`, and is none to or from pageable memory."""
    last = args[2] if func is aten.copy_.default and len(args) > 2 else False
    source = args[0] if func is aten._to_copy.default else args[1]
    on_gpu = isinstance(source, GpuTensor)
    pinned = func is aten._to_copy.default if on_gpu else hasattr(source, "in_pinned_memory")
    return bool(kwargs.get("non_blocking", last)) and pinned


def _unnumbered(value: Any) -> bool:
    return isinstance(value, str | torch.device) and str(value) == "cuda"


def _is_cuda(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if func in (aten.pin_memory.default, aten._pin_memory.default):
        return args[0]
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    if func.namespace == "c10d":
        return _collective(func, args, kwargs, tensors)
    on_gpu = any(isinstance(tensor, GpuTensor) for tensor in tensors)
    if on_gpu:
        _check(func, args, tensors)
    result_on_gpu = _result_on_gpu(func, args, kwargs, on_gpu)

    real_args, real_kwargs = tree_map(_real, args), tree_map(_real, kwargs)
    if real_kwargs.get("device") is not None and torch.device(real_kwargs["device"]).type in (
        "cuda",
        "meta",
    ):
        real_kwargs["device"] = torch.device("cpu")
    real_kwargs.pop("pin_memory", None)
    with _disable_current_modes():
        result = func(*real_args, **real_kwargs)
    returns = func._schema.returns
    alias = returns[0].alias_info if func._schema.is_mutable and returns else None
    if alias is not None and alias.is_write:  # an operation in place gives its argument
        if "out" in kwargs:
            return kwargs["out"]
        return tuple(args)[: len(result)] if isinstance(result, tuple | list) else args[0]
    if not result_on_gpu:
        if func is aten._to_copy.default and on_gpu and _unwaited(func, args, kwargs):
            _on_the_way.append((result, result.clone()))
            result.fill_(torch.nan if result.is_floating_point() else -1)
        return result
    return tree_map(
        lambda value: (
            GpuTensor(value)
            if isinstance(value, torch.Tensor) and not isinstance(value, GpuTensor)
            else value
        ),
        result,
    )


def _real(value: Any) -> Any:
    return value.held if isinstance(value, GpuTensor) else value


def _collective(func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> Any:
    """Carries tensors between processes; raises where the backend has no way to."""
    places = {"cuda" if isinstance(tensor, GpuTensor) else "cpu" for tensor in tensors}
    known = {"cpu"} | ({"cuda"} if func.name() in _GLOO_ON_GPU else set())
    if _backend != ["gloo"]:
        known = {part.split(":")[0] for part in _backend[0].split(",")}
    if len(places) > 1 or not places <= known:
        raise RuntimeError(f"{func.name()} of tensors on {sorted(places)} with {_backend[0]!r}")
    with _disable_current_modes():
        return func(*tree_map(_real, args), **tree_map(_real, kwargs))


def _check(func: Any, args: tuple[Any, ...], tensors: list[torch.Tensor]) -> None:
    """Raises where devices mix; counts what the host has to wait for."""
    # Numbers may come from the host, and copies and indices are what moves data.
    host = [each for each in tensors if not isinstance(each, GpuTensor) and each.dim() > 0]
    moves = func in _COPIES or (func in _INDEXED and isinstance(args[0], GpuTensor))
    if host and not moves:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"cuda:0 and cpu! ({func}, a host tensor of shape {tuple(host[0].shape)})"
        )
    masks = func in _INDEXED and any(
        each is not None and each.dtype in (torch.bool, torch.uint8) for each in args[1]
    )
    if func in _WAITS or masks:
        _note_wait(str(func))


def _result_on_gpu(func: Any, args: Any, kwargs: dict[str, Any], on_gpu: bool) -> bool:
    device = kwargs.get("device")
    if func in _COPIES:
        source = args[0] if func is aten._to_copy.default else args[1]
        to_gpu = isinstance(args[0], GpuTensor)
        if func is aten._to_copy.default and device is not None:
            to_gpu = _is_cuda(device) or (to_gpu and torch.device(device).type == "meta")
        if isinstance(source, GpuTensor) and not to_gpu and not _unwaited(func, args, kwargs):
            _note_wait("copy to the host")
        if to_gpu and not isinstance(source, GpuTensor) and not _unwaited(func, args, kwargs):
            _note_wait("copy to the device")
        return to_gpu
    if device is not None:
        return _is_cuda(device) or (on_gpu and torch.device(device).type == "meta")
    return on_gpu and func is not aten._local_scalar_dense.default
