"""Between the worker port's Datum and what user code sees, through the library's own converters.

The converters of `azure.functions` are registered there by binding type and work on the library's Datum; this module
turns ours into theirs and back, and adds the converter for every type that has none. The tables of what becomes what:
docs/protocol/python-worker.md chapter 4; the texts are the official worker's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.cookies import Morsel, SimpleCookie
from typing import Any, Generic, TypeVar

import azure.functions as func
from azure.functions import meta

from emulator.worker.port import Datum, DatumType, HttpCookie, HttpRequestData, HttpResponseData

T = TypeVar("T")


class GenericConverter(meta.InConverter, meta.OutConverter, binding=None):
    """Text, bytes or JSON as they are: for binding types that the library has no converter for."""

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
            # bool before int, of which it is a subclass.
            (bool, "bool"),
            (int, "int"),
            (float, "double"),
        )
        for python_type, kind in kinds:
            if isinstance(obj, python_type):
                return meta.Datum(obj, kind)
        raise NotImplementedError


def converter_for(binding_type: str) -> Any:
    """The converter class of a binding type. The spelling counts, as in the official worker."""
    registry: Any = meta.get_binding_registry()  # type: ignore[no-untyped-call]
    return registry.get(binding_type) or GenericConverter


def is_trigger_capable(binding_type: str) -> bool:
    """Whether the converter receives trigger metadata; true for `blob` inputs too, which share the trigger's."""
    return bool(converter_for(binding_type).has_trigger_support())


def has_implicit_output(binding_type: str) -> bool:
    """Whether a function with this binding may return a value without a `$return` binding."""
    converter = converter_for(binding_type)
    return bool(getattr(converter, "has_implicit_output", bool)())


class Out(func.Out[T], Generic[T]):
    """An output parameter. None, whether set or never set, writes nothing."""

    def __init__(self) -> None:
        self._value: T | None = None

    def set(self, val: T) -> None:
        self._value = val

    def get(self) -> T:
        return self._value  # type: ignore[return-value]


def decode(binding_type: str, datum: Datum | None, trigger_metadata: Mapping[str, Datum]) -> Any:
    """The Python value of an input. Raises what the converter raises; TypeError when it cannot take the kind."""
    if datum is not None and datum.type in ("http_stream", "stream", "sdk_object"):
        # Objects of this process need no conversion: a web framework builds its request from an HTTP stream, and user
        # code reads a stream or calls a client itself.
        return datum.value
    converter = converter_for(binding_type)
    metadata = LibraryMetadata(trigger_metadata) if is_trigger_capable(binding_type) else None
    try:
        return converter.decode(_to_library(datum), trigger_metadata=metadata)
    except NotImplementedError:
        kind = None if datum is None else datum.type
        raise TypeError(
            f"unable to decode incoming TypedData: unsupported combination of TypedData field {kind!r} "
            f"and expected binding type {converter}"
        ) from None


def encode(binding_type: str, value: Any, python_type: object) -> Datum | None:
    """The Datum of a returned or set value. Raises TypeError when the binding cannot carry it."""
    converter = converter_for(binding_type)
    try:
        encoded = converter.encode(value, expected_type=python_type)
    except NotImplementedError:
        encoded = _NOT_ENCODED
    except AttributeError:
        # A binding type with an input converter only (timerTrigger and the like) has no `encode`.
        if hasattr(converter, "encode"):
            raise
        encoded = _NOT_ENCODED
    if encoded is _NOT_ENCODED:
        raise TypeError(
            f'unable to encode outgoing TypedData: unsupported type "{converter}" '
            f'for Python type "{type(value).__name__}"'
        )
    return _from_library(encoded)


_NOT_ENCODED = object()


# To the library ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Collection:
    """Stands for the protobuf message of the same kind; converters read the attribute that belongs to the kind."""

    string: list[str]
    bytes: list[bytes]
    double: list[float]
    sint64: list[int]


class LibraryMetadata(Mapping[str, Any]):
    """Trigger metadata as the library's Datums, converted when a converter asks.

    Most converters never ask, and the metadata of a trigger may be as large as its payload.
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
        return meta.Datum(_http_request(datum.value), "http")
    if datum.type.startswith("collection_"):
        field = datum.type.removeprefix("collection_")
        empty: dict[str, list[Any]] = {"string": [], "bytes": [], "double": [], "sint64": []}
        return meta.Datum(_Collection(**{**empty, field: list(datum.value)}), datum.type)
    return meta.Datum(datum.value, datum.type)


def _http_request(request: HttpRequestData) -> dict[str, Any]:
    def texts(values: Mapping[str, str]) -> dict[str, Any]:
        return {name: meta.Datum(value, "string") for name, value in values.items()}

    return {
        "method": meta.Datum(request.method, "string"),
        "url": meta.Datum(request.url, "string"),
        "headers": texts(request.headers),
        "query": texts(request.query),
        "params": texts(request.route_params),
        "body": meta.Datum(request.body, "bytes"),
    }


# From the library --------------------------------------------------------------------------------------------


def _same(kind: DatumType) -> Callable[[Any], Datum]:
    return lambda value: Datum(kind, value)


def _as_json(value: Any) -> Datum:
    return Datum("json", json.dumps(value))


def _json_or_nothing(value: Any) -> Datum | None:
    # Orchestrators and entities return their JSON as text; None leaves the field unset.
    return None if value is None else Datum("json", value)


_FROM_LIBRARY: Mapping[str, Callable[[Any], Datum | None]] = {
    "string": _same("string"),
    "bytes": lambda value: Datum("bytes", bytes(value)),
    "json": _json_or_nothing,
    "int": _same("int"),
    "double": _same("double"),
    "bool": lambda value: Datum("int", int(value)),
    "dict": _as_json,
    "list": _as_json,
    "http": lambda value: Datum("http", _http_response(value)),
}


def _from_library(encoded: Any) -> Datum | None:
    if encoded is None or encoded.type is None:
        return None
    convert = _FROM_LIBRARY.get(encoded.type)
    if convert is None:
        raise NotImplementedError(f"unexpected Datum type: {encoded.type!r}")
    return convert(encoded.value)


def _http_response(value: Mapping[str, Any]) -> HttpResponseData:
    status = value["status_code"].value
    try:
        code = int(status)
    except ValueError:
        raise TypeError(f"an HTTP status code must be a whole number, not {status!r}") from None
    cookies = [_cookie(morsel) for jar in value.get("cookies") or () for morsel in _morsels(jar)]
    return HttpResponseData(
        status=code,
        headers=[(name, header.value) for name, header in value["headers"].items()],
        cookies=cookies,
        body=value["body"].value,
    )


def _morsels(jar: SimpleCookie) -> list[Morsel[str]]:
    return list(jar.values())


def _cookie(morsel: Morsel[str]) -> HttpCookie:
    """Domain and path are always there, empty if the header has none; so are the two flags."""
    max_age = morsel["max-age"]
    same_site = str(morsel["samesite"]).lower()
    return HttpCookie(
        name=morsel.key,
        value=morsel.value,
        domain=morsel["domain"],
        path=morsel["path"],
        expires=_expires(morsel["expires"]),
        secure=bool(morsel["secure"]),
        http_only=bool(morsel["httponly"]),
        same_site={"lax": "Lax", "strict": "Strict", "none": "None"}.get(same_site),
        max_age=float(max_age) if max_age not in ("", None) else None,
    )


def _expires(text: str) -> str | None:
    """The date in the form of RFC 9110. Raises ValueError, which fails the invocation, for what is no date."""
    if not text:
        return None
    # azure-functions requires werkzeug, whose HTTP module it has loaded by now.
    from werkzeug.http import http_date, parse_date

    moment = parse_date(text)
    if moment is None:
        raise ValueError(f"Can not parse value {text} of expires in the cookie due to invalid format.")
    return http_date(moment)
