"""Endpoints of the API, one module for each page; three more for the kinds of storage."""
