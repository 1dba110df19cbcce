"""XML of queue messages and of listings of queues, containers and blobs."""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.sax.saxutils import escape

Element = ElementTree.Element

# Characters that XML 1.0 does not allow, not even as references.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def queue_message(text: str, *, ascii_only: bool) -> bytes:
    """Return the body of Put Message and Update Message. Raises ValueError for a text with an illegal character.

    `ascii_only`: write all other characters as references. Azurite decodes the packets of a request one by one and so
    destroys a character whose bytes are in two packets.
    """
    illegal = _ILLEGAL.search(text)
    if illegal is not None:
        raise ValueError(f"XML cannot carry the character U+{ord(illegal.group()):04X}")
    # A parser changes a bare carriage return into a line feed, but not a reference to one.
    inner = escape(text).replace("\r", "&#13;")
    xml = f"<QueueMessage><MessageText>{inner}</MessageText></QueueMessage>"
    return xml.encode("ascii", "xmlcharrefreplace") if ascii_only else xml.encode()


def parse(body: bytes) -> Element:
    """Parse the body of a response. Raises ElementTree.ParseError."""
    # The body comes from the user's own storage, so entity expansion attacks need no defence.
    return ElementTree.fromstring(body)


def text_of(element: Element, name: str) -> str:
    """Return the text of a child element, "" if it is absent."""
    return element.findtext(name) or ""


def next_marker(listing: Element) -> str:
    """Return the marker of the next page of a listing, "" on the last page."""
    return text_of(listing, "NextMarker")
