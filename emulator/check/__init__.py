"""Check of an app before its deployment: will it run on Azure? See docs/check.md."""
