"""Dates of cookies, with dateutil and without it."""

from __future__ import annotations

import sys

import pytest

from emulator.worker.cookie_dates import http_date

DATES = {
    "Thu, 12 Jan 2017 13:55:08 GMT": "Thu, 12 Jan 2017 13:55:08 GMT",
    "Thu, 12-Jan-2017 13:55:08 GMT": "Thu, 12 Jan 2017 13:55:08 GMT",
    "Thursday, 12-Jan-17 13:55:08 GMT": "Thu, 12 Jan 2017 13:55:08 GMT",
    "Thu Jan 12 13:55:08 2017": "Thu, 12 Jan 2017 13:55:08 GMT",
    "2017-01-12": "Thu, 12 Jan 2017 00:00:00 GMT",
    "2017-01-12T13:55:08Z": "Thu, 12 Jan 2017 13:55:08 GMT",
    "2017-01-12 13:55:08+02:00": "Thu, 12 Jan 2017 11:55:08 GMT",
    "12 January 2017": "Thu, 12 Jan 2017 00:00:00 GMT",
    "January 12, 2017 1:05 PM": "Thu, 12 Jan 2017 13:05:00 GMT",
    "01/12/2017 13:55": "Thu, 12 Jan 2017 13:55:00 GMT",
    "2017/01/12": "Thu, 12 Jan 2017 00:00:00 GMT",
}


@pytest.fixture(params=["dateutil", "none"], autouse=True)
def _installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "none":
        # An app without azure-functions-durable has no dateutil. None makes its import fail.
        monkeypatch.setitem(sys.modules, "dateutil", None)


@pytest.mark.parametrize("text", DATES)
def test_date_is_sent_in_the_form_of_the_http_standard(text: str) -> None:
    assert http_date(text) == DATES[text]


@pytest.mark.parametrize("text", ["never", "32 January 2017", "tomorrow at 5"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"Can not parse value {text} of expires in the cookie due to invalid format"):
        http_date(text)
