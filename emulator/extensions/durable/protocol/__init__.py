"""JSON between the host and Python functions, as azure-functions-durable 1.x reads and writes it.

There is one module per kind of function. None of these texts is stored.
"""
