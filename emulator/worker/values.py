"""Conversion between Datum, the host's form of a value, and Python objects, by the converters of azure.functions.

`azure.functions` registers a converter per binding type; the converters work on the library's Datum. This module
translates between the two kinds of Datum and adds the generic converter for binding types without one. The tables of
all conversions are in docs/protocol/python-worker.md chapter 4; the texts are the official worker's.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import azure.functions as func
from azure.functions import blob as library_blob
from azure.functions import meta

from emulator import bound_json as json
from emulator.worker.http_values import library_request, response_data
from emulator.worker.large_text import LargeText
from emulator.worker.port import Datum, DatumType

T = TypeVar("T")

# A file that a function writes to a blob is read into memory up to this size, and passed on as a stream beyond.
_MAX_READ_FILE = 8 * 1024 * 1024
# The durable extension ignores the letter case of these types; a function that it calls needs their converters.
_DURABLE_TYPES = {name.lower(): name for name in ("orchestrationTrigger", "activityTrigger", "entityTrigger")}


class GenericConverter(meta.InConverter, meta.OutConverter, binding=None):
    """Converter for binding types without one in the library: text, bytes or JSON without conversion.

    The official worker has the same class. `binding=None` keeps it out of the library's registry.
    """

    @classmethod
    def check_input_type_annotation(cls, pytype: type) -> bool:
        return issubclass(pytype, (str, bytes))

    @classmethod
    def check_output_type_annotation(cls, pytype: type) -> bool:
        return issubclass(pytype, (str, bytes, bytearray))

    @classmethod
    def has_trigger_support(cls) -> bool:
        return False

    @classmethod
    def has_implicit_output(cls) -> bool:
        return True

    @classmethod
    def decode(cls, data: Any, *, trigger_metadata: Any) -> Any:
        if data is None or data.type is None:
            return None
        if data.type not in ("string", "bytes", "json"):
            raise ValueError('unexpected type of data received for the "generic" binding ', repr(data.type))
        return data.value

    @classmethod
    def encode(cls, obj: object, *, expected_type: Any) -> Any:
        kinds: tuple[tuple[type | tuple[type, ...], str | None], ...] = (
            (type(None), None),
            (str, "string"),
            ((bytes, bytearray), "bytes"),
            (dict, "dict"),
            (list, "list"),
            # bool comes before int, because it is a subclass of int.
            (bool, "bool"),
            (int, "int"),
            (float, "double"),
        )
        for python_type, kind in kinds:
            if isinstance(obj, python_type):
                return meta.Datum(obj, kind)
        raise NotImplementedError


# The host ignores the letter case of types, and a function can do nothing with a request that is not converted.
_HTTP_TYPES = {"httptrigger": "httpTrigger", "http": "http"}


def converter_for(binding_type: str) -> Any:
    """Return the converter class of a binding type.

    Case matters, as in the official worker, but for durable and HTTP types: `QueueTrigger` has no converter, so its
    functions get text.
    """
    registry: Any = meta.get_binding_registry()  # type: ignore[no-untyped-call]
    lower = binding_type.lower()
    name = _DURABLE_TYPES.get(lower) or _HTTP_TYPES.get(lower) or binding_type
    return registry.get(name) or GenericConverter


def registered_type(binding_type: str) -> str:
    """Return the spelling of a binding type for which there is a converter; the type itself if there is none."""
    registry: Any = meta.get_binding_registry()  # type: ignore[no-untyped-call]
    lower = binding_type.lower()
    # The registry has no public list of its types. Not all of its keys are texts.
    return next((name for name in getattr(registry, "_bindings", ()) if str(name).lower() == lower), binding_type)


def has_implicit_output(binding_type: str) -> bool:
    """Return whether a function with this binding may return a value without a `$return` binding."""
    converter = converter_for(binding_type)
    # Converters that are used for outputs only do not have the method.
    check = getattr(converter, "has_implicit_output", None)
    return check is not None and bool(check())


class Out(func.Out[T], Generic[T]):
    """The value of an output parameter. If it is None, set or never set, nothing is written."""

    def __init__(self) -> None:
        self._value: T | None = None

    def set(self, val: T) -> None:
        self._value = val

    def get(self) -> T:
        return self._value  # type: ignore[return-value]


def decode(binding_type: str, datum: Datum | None, trigger_metadata: Mapping[str, Datum]) -> Any:
    """The Python value of an input. Raises what the converter raises; TypeError when it cannot take the kind."""
    if datum is not None and datum.type == "http_stream":
        # A web framework builds its request from it.
        return datum.value
    if datum is not None and isinstance(datum.value, LargeText):
        return LargeContext(datum.value)
    converter = converter_for(binding_type)
    # `blob` inputs share the trigger's converter and therefore get the metadata too, as in the official worker.
    metadata = LibraryMetadata(trigger_metadata) if converter.has_trigger_support() else None
    if datum is not None and datum.type == "stream":
        # A retry gets the same Datum again.
        reopened = getattr(datum.value, "reopened", None)
        content = datum.value if reopened is None else reopened()
        if converter is GenericConverter:
            return content
        # The library's class takes the whole content. It is created without one, for its other properties.
        described = converter.decode(meta.Datum(b"", "bytes"), trigger_metadata=metadata)
        return LazyInputStream(described, content)
    try:
        return converter.decode(_to_library(datum), trigger_metadata=metadata)
    except NotImplementedError:
        kind = None if datum is None else datum.type
        raise TypeError(
            f"unable to decode incoming TypedData: unsupported combination of TypedData field {kind!r} "
            f"and expected binding type {converter}"
        ) from None


def encode(binding_type: str, value: Any, python_type: object) -> Datum | None:
    """Return the Datum of a value that a function has returned or set; None if there is nothing to write.

    `python_type` is the annotation or None. Raises what the converter raises; TypeError if the binding cannot carry the
    value.
    """
    converter = converter_for(binding_type)
    if converter is library_blob.BlobConverter and isinstance(value, io.IOBase):
        return _file_content(value)
    try:
        encoded = converter.encode(value, expected_type=python_type)
    except (NotImplementedError, AttributeError) as error:
        # Converters of input-only bindings (timerTrigger and others) have no `encode` at all. Any other AttributeError
        # is a mistake in the value, for example in a user's to_json, and must be shown as it is.
        if isinstance(error, AttributeError) and hasattr(converter, "encode"):
            raise
        raise TypeError(
            f'unable to encode outgoing TypedData: unsupported type "{converter}" '
            f'for Python type "{type(value).__name__}"'
        ) from None
    if encoded is None or encoded.type is None:
        return None
    convert = _FROM_LIBRARY.get(encoded.type)
    if convert is None:
        raise NotImplementedError(f"unexpected Datum type: {encoded.type!r}")
    return convert(encoded.value)


class LargeContext(func.OrchestrationContext):
    """A context whose body is a LargeText. Its `body` is not a str, but the durable SDK only parses it."""

    def __init__(self, body: LargeText) -> None:
        super().__init__("")
        self._large_body = body

    @property
    def body(self) -> Any:
        return self._large_body


# Streams -----------------------------------------------------------------------------------------------------


class LazyInputStream(library_blob.InputStream):
    """An InputStream whose content is read from `content` while the function reads it.

    `described`: one without content, whose name, length, URI and metadata it has.
    """

    def __init__(self, described: library_blob.InputStream, content: Any) -> None:
        # Releases of the library differ in the arguments of the constructor.
        self.__dict__.update(described.__dict__)
        self._content = content

    def read(self, size: int | None = -1) -> bytes:
        return self._content.read(size)  # type: ignore[no-any-return]

    # Also in the library, where it is the same as `read`.
    def read1(self, size: int = -1) -> bytes:
        return self._content.read1(size)  # type: ignore[no-any-return]

    # readline() of the io module reads single bytes without it.
    def peek(self, size: int = 0) -> bytes:
        return self._content.peek(size)  # type: ignore[no-any-return]


class _Continued:
    """A file whose beginning has been read already."""

    def __init__(self, beginning: bytes, rest: Any) -> None:
        self._beginning = beginning
        self._rest = rest

    def read(self, size: int) -> bytes:
        if self._beginning:
            block, self._beginning = self._beginning[:size], self._beginning[size:]
            return block
        return self._rest.read(size)  # type: ignore[no-any-return]


def _file_content(file: Any) -> Datum:
    """Return the content of a file that a function writes to a blob, or a large one as a stream.

    The library reads every file as a whole. Raises what reading the file raises.
    """
    beginning = bytearray()
    while len(beginning) < _MAX_READ_FILE:
        # A raw file may return less than it has.
        block = file.read(_MAX_READ_FILE - len(beginning))
        if isinstance(block, str):
            return Datum("string", block + file.read())
        if not block:
            return Datum("bytes", bytes(beginning))
        beginning += block
    return Datum("stream", _Continued(bytes(beginning), file))


# To the library ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Collection:
    """A collection Datum's value. Like in the protobuf message, the values are in the attribute named by the type."""

    string: list[str]
    bytes: list[bytes]
    double: list[float]
    sint64: list[int]


class LibraryMetadata(Mapping[str, Any]):
    """Trigger metadata as the library's Datums, converted on access.

    Most converters read none or few of them, and the metadata of a trigger may be as large as its payload.
    """

    def __init__(self, metadata: Mapping[str, Datum]) -> None:
        self._metadata = metadata

    def __getitem__(self, key: str) -> Any:
        return _to_library(self._metadata[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._metadata)

    def __len__(self) -> int:
        return len(self._metadata)


def _to_library(datum: Datum | None) -> Any:
    if datum is None:
        return None
    if datum.type == "http":
        return meta.Datum(library_request(datum.value), "http")
    if datum.type.startswith("collection_"):
        field = datum.type.removeprefix("collection_")
        empty: dict[str, list[Any]] = {"string": [], "bytes": [], "double": [], "sint64": []}
        return meta.Datum(_Collection(**{**empty, field: list(datum.value)}), datum.type)
    return meta.Datum(datum.value, datum.type)


# From the library --------------------------------------------------------------------------------------------


def _same(kind: DatumType) -> Callable[[Any], Datum]:
    return lambda value: Datum(kind, value)


def _int64(value: int) -> int:
    # TypedData has 64 bits. Without this check a huge number fails where its text is made, as a defect of the host.
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"Value out of range: an integer of {value.bit_length()} bits. Set a text instead.")
    return value


def _as_json(value: Any) -> Datum:
    return Datum("json", json.dumps(value))


_FROM_LIBRARY: Mapping[str, Callable[[Any], Datum | None]] = {
    "string": _same("string"),
    "bytes": lambda value: Datum("bytes", bytes(value)),
    # Already text: orchestrators and entities return the JSON of their decisions. None leaves the field unset.
    "json": lambda value: None if value is None else Datum("json", value),
    "int": lambda value: Datum("int", _int64(value)),
    "double": _same("double"),
    # TypedData has no field for bool.
    "bool": lambda value: Datum("int", int(value)),
    "dict": _as_json,
    "list": _as_json,
    "http": lambda value: Datum("http", response_data(value)),
}
