"""The little XML that queues and blob listings need."""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.sax.saxutils import escape

Element = ElementTree.Element

# What XML 1.0 cannot carry in any form.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def queue_message(text: str, *, ascii_only: bool) -> bytes:
    """The body of Put Message and Update Message. Raises ValueError for a text that XML cannot carry.

    `ascii_only`: write other characters as references. Azurite turns the bytes of a request into text packet by packet
    and so destroys a character that two packets share.
    """
    found = _ILLEGAL.search(text)
    if found is not None:
        raise ValueError(f"XML cannot carry the character U+{ord(found.group()):04X}")
    # A parser turns a bare carriage return into a line feed.
    inner = escape(text).replace("\r", "&#13;")
    xml = f"<QueueMessage><MessageText>{inner}</MessageText></QueueMessage>"
    return xml.encode("ascii", "xmlcharrefreplace") if ascii_only else xml.encode()


def parse(body: bytes) -> Element:
    return ElementTree.fromstring(body)


def text_of(element: Element, name: str) -> str:
    """The text of a child, empty if it is not there."""
    return element.findtext(name) or ""


def next_marker(listing: Element) -> str:
    """Where the next page begins; empty at the end."""
    return text_of(listing, "NextMarker")
