"""Endpoints of the API, one module for each page."""
