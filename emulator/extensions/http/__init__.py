"""HTTP triggers and outputs: routes of functions, requests as trigger values, return values as responses."""
