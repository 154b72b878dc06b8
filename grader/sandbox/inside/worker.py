"""The worker: loads a student's module and answers the examiner's requests about it.

It holds no expected value and decides nothing. Requests and replies are tuples in frames of `codec`; every reply
carries its request's number. While a student's function runs it may call back into the examiner through functions
that were passed as arguments.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import socket
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from .codec import HEADER, Decoder, Encoder, Unsendable, WireError, pack, read_head, unpack

MAX_TEXT = 400
MAX_REQUEST = 1 << 30
READ_AHEAD = 1 << 16


class Channel:
    """Frames over one connected socket, read and written whole.

    `read_into` and `write` are the system calls: plain ones on a descriptor in a box (no socket call is allowed
    there), the socket's own elsewhere.
    """

    def __init__(self, read_into: Callable[[memoryview], int], write: Callable[[memoryview], int]) -> None:
        self.read_into = read_into
        self.write = write
        self.ahead = bytearray()

    def _read(self, count: int) -> bytearray:
        """Return the next `count` bytes; whatever came with them is kept for the next call."""
        if not self.ahead and count < READ_AHEAD:
            room = bytearray(READ_AHEAD)
            got = self.read_into(memoryview(room))
            if not got:
                os._exit(0)  # the examiner is done with this worker
            self.ahead = room[:got]
        data = bytearray(count)
        start = min(len(self.ahead), count)
        data[:start] = self.ahead[:start]
        del self.ahead[:start]
        view = memoryview(data)[start:]
        while view:
            got = self.read_into(view)
            if not got:
                os._exit(0)  # the examiner is done with this worker
            view = view[got:]
        return data

    def receive(self) -> tuple[Any, list[memoryview]]:
        head = read_head(self._read(HEADER.size), MAX_REQUEST)
        return unpack(head, self._read(head.body))

    def send(self, tree: Any, buffers: list[Any]) -> None:
        for piece in pack(tree, buffers):
            view = memoryview(piece)
            while view:
                view = view[self.write(view[: 1 << 20]) :]


class Handles:
    """Objects that stay here while the examiner holds their number; they die with their check."""

    def __init__(self) -> None:
        self.epoch = -1
        self.objects: dict[int, Any] = {}
        self.numbers: dict[int, int] = {}  # id(object) -> number, so that the same object keeps its number
        self.next = 1

    def turn(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch = epoch
            self.objects.clear()
            self.numbers.clear()

    def number(self, value: Any) -> int:
        known = self.numbers.get(id(value))
        if known is not None:
            return known
        number = self.next
        self.next += 1
        self.objects[number] = value
        self.numbers[id(value)] = number
        return number


def _cut(text: object, limit: int = MAX_TEXT) -> str:
    try:
        plain = str.__str__(text) if isinstance(text, str) else str(text)
        return plain[:limit]
    except BaseException:
        return "(a message that could not be read)"


class Worker:
    """One submission's process: its namespace, its handles and its end of the wire."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.handles = Handles()
        self.module = types.ModuleType("submission")
        self.names: frozenset[str] = frozenset()
        self.labels: dict[str, str] = {}
        self.request = 0
        self.depth = 0

    # --- values -----------------------------------------------------------------------------------------------

    def _encoder(self) -> Encoder:
        return Encoder(self._opaque)

    def _opaque(self, value: Any) -> list[Any]:
        return ["h", self.handles.number(value), type(value).__name__[:80]]

    def tree(self, encoder: Encoder, value: Any, spec: Any) -> Any:
        """Encode `value`; where `spec` says opaque, keep it here and send a handle."""
        if spec == "opaque":
            return self._opaque(value)
        if isinstance(spec, list) and isinstance(value, tuple | list) and len(spec) == len(value):
            return ["t", *[self.tree(encoder, v, s) for v, s in zip(value, spec, strict=True)]]
        if isinstance(spec, dict) and isinstance(value, dict):
            return [
                "d",
                *[[encoder.tree(k, 1), self.tree(encoder, v, spec.get(k))] for k, v in dict.items(value)],
            ]
        return encoder.tree(value)

    def _handle(self, number: int, _type: str) -> Any:
        try:
            return self.handles.objects[number]
        except KeyError:
            raise WireError("a handle that is not there") from None

    def _callback(self, number: int) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            request = self.request
            encoder = self._encoder()
            tree = ["t", request, "call", number, encoder.tree(args), encoder.tree(kwargs)]
            self.channel.send(tree, encoder.buffers)
            while True:
                message = self._receive()
                if message[1] == "return":
                    self.request = request
                    return message[2]
                self._serve(message)  # the examiner's function calls the student again

        return call

    def _receive(self) -> tuple[Any, ...]:
        tree, buffers = self.channel.receive()
        message = Decoder(buffers, handle=self._handle, callback=self._callback).value(tree)
        if not isinstance(message, tuple):
            raise WireError("not a request")
        return message

    # --- serving ----------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Answer requests until the examiner hangs up."""
        while True:
            self._serve(self._receive())

    def _serve(self, message: tuple[Any, ...]) -> None:
        number, operation, epoch, *arguments = message
        self.request = number
        if self.depth == 0:
            self.handles.turn(epoch)
        self.depth += 1
        encoder = self._encoder()
        try:
            result = getattr(self, "do_" + operation)(encoder, *arguments)
            reply = ["t", number, "ok", result]
        except BaseException as error:
            encoder = self._encoder()
            reply = ["t", number, "error", encoder.tree(self._describe(error))]
        finally:
            self.depth -= 1
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        try:
            self.channel.send(reply, encoder.buffers)
        except Unsendable as error:
            encoder = self._encoder()
            self.channel.send(["t", number, "error", encoder.tree(self._describe(error))], encoder.buffers)

    def _describe(self, error: BaseException) -> dict[str, Any]:
        """Return type, cut message and the last line of the student's own source that the error passed."""
        label, line = "", 0
        if isinstance(error, SyntaxError):
            label, line = self.labels.get(error.filename or "", ""), error.lineno or 0
        trace = error.__traceback__
        while trace is not None:
            source = trace.tb_frame.f_code.co_filename
            if source in self.labels:
                label, line = self.labels[source], trace.tb_lineno
            trace = trace.tb_next
        kind = "raised"
        if isinstance(error, NotImplementedError):
            kind = "not attempted"
        elif isinstance(error, MemoryError) or "can't allocate memory" in _cut(error):
            kind = "out of memory"
        elif type(error) is Unsendable:
            kind = "unsendable"
        message = error.msg if isinstance(error, SyntaxError) else error
        return {
            "kind": kind,
            "type": _cut(type(error).__name__, 80),
            "message": _cut(message),
            "label": label,
            "line": int(line),
        }

    # --- operations -------------------------------------------------------------------------------------------

    def do_load(self, encoder: Encoder, name: str, chunks: Sequence[tuple[str, str]], names: Sequence[str]) -> Any:
        """Run the submission's chunks in one namespace; tell which names exist and which chunks failed."""
        self.module = types.ModuleType(name)
        self.names = frozenset(names)
        sys.modules[name] = self.module
        failures = []
        for index, (label, source) in enumerate(chunks):
            # the file name in tracebacks; linecache lets inspect.getsource work without a file
            filename = f"<{label}>" if len(chunks) == 1 else f"<{label} #{index}>"
            self.labels[filename] = label
            lines = source.splitlines(keepends=True)
            linecache.cache[filename] = (len(source), None, lines, filename)
            if index == 0:
                self.module.__file__ = label
            try:
                code = compile(source, filename, "exec", dont_inherit=True)
                exec(code, self.module.__dict__)
            except BaseException as error:
                failures.append({**self._describe(error), "chunk": label})
        defined = [n for n in names if n in self.module.__dict__]
        return encoder.tree({"defined": defined, "failures": failures[:50]})

    def _target(self, name: str) -> Any:
        if name not in self.names:
            raise WireError("a name that is not declared")
        try:
            return self.module.__dict__[name]
        except KeyError:
            raise NotImplementedError(f"{name} is not defined") from None

    def do_call(
        self,
        encoder: Encoder,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        spec: Any,
        return_args: bool,
    ) -> Any:
        """Call a top-level name (str) or a handle's object."""
        function = self._target(target) if type(target) is str else target
        result = function(*args, **kwargs)
        tree = self.tree(encoder, result, spec)
        if return_args:
            return ["t", tree, encoder.tree(list(args))]
        return tree

    def do_method(
        self,
        encoder: Encoder,
        target: Any,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        spec: Any,
    ) -> Any:
        """Call a method of a handle's object."""
        return self.tree(encoder, getattr(target, name)(*args, **kwargs), spec)

    def do_attribute(self, encoder: Encoder, target: Any, name: str, spec: Any) -> Any:
        """Read an attribute of a handle's object, or a top-level name."""
        value = self._target(name) if target is None else getattr(target, name)
        return self.tree(encoder, value, spec)

    def do_item(self, encoder: Encoder, target: Any, key: Any, spec: Any) -> Any:
        """Index a handle's object."""
        return self.tree(encoder, target[key], spec)

    def do_value(self, encoder: Encoder, target: Any) -> Any:
        """Send a handle's object by value."""
        return encoder.tree(target)

    def do_parameters(self, encoder: Encoder, target: Any) -> Any:
        """Send a module's named parameters by value."""
        return encoder.tree({name: p.detach() for name, p in target.named_parameters()})

    def do_set_parameters(self, encoder: Encoder, target: Any, values: dict[str, Any]) -> Any:
        """Overwrite named parameters in place; names and shapes must fit."""
        import torch

        own = dict(target.named_parameters())
        with torch.no_grad():
            for name, value in values.items():
                if name not in own:
                    raise AttributeError(f"there is no parameter named {name}")
                new = torch.as_tensor(value)
                if tuple(new.shape) != tuple(own[name].shape):
                    raise ValueError(f"parameter {name} has shape {tuple(own[name].shape)}, not {tuple(new.shape)}")
                own[name].copy_(new)
        return None

    def do_grad(
        self,
        encoder: Encoder,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wrt: Sequence[int | str],
        module: Any,
        path: Sequence[int | str],
        upstream: Any,
    ) -> Any:
        """Run the call with autograd and send (value, gradients).

        `wrt` names positional arguments by index and parameters of `module` by name; `path` picks the tensor
        to differentiate out of a structured result; the scalar is sum(result * upstream), or sum(result).
        """
        import torch

        function = self._target(target) if type(target) is str else target
        owner = module if module is not None else target
        own = dict(owner.named_parameters()) if any(type(w) is str for w in wrt) else {}
        inputs = list(args)
        leaves = []
        for w in wrt:
            if type(w) is int:
                leaf = torch.as_tensor(inputs[w]).detach().clone().requires_grad_(True)
                inputs[w] = leaf
            else:
                if w not in own:
                    raise AttributeError(f"there is no parameter named {w}")
                leaf = own[w]
                leaf.requires_grad_(True)
            leaves.append(leaf)
        with torch.enable_grad():
            result = function(*inputs, **kwargs)
            for step in path:
                result = result[step]
            scalar = result.sum() if upstream is None else (result * torch.as_tensor(upstream)).sum()
            if not scalar.requires_grad:
                gradients: Sequence[Any] = [None] * len(leaves)
            else:
                gradients = torch.autograd.grad(scalar, leaves, allow_unused=True)
        return encoder.tree((result.detach(), list(gradients)))


def _run(channel: Channel) -> None:
    try:
        Worker(channel).serve()
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"worker: {type(error).__name__}: {_cut(error)}\n".encode("utf-8", "replace"))
    finally:
        os._exit(70)


def run(fd: int) -> None:
    """Serve the examiner on the connected socket `fd`; never returns."""
    _run(Channel(lambda view: os.readv(fd, [view]), lambda view: os.write(fd, view)))


def serve_socket(sock: socket.socket) -> None:
    """Serve the examiner on a socket object (tier 0); never returns."""
    _run(Channel(sock.recv_into, sock.send))
