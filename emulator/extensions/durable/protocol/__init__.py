"""The JSON that azure-functions-durable 1.x reads and writes, one module per kind of function.

These texts exist only between the host and a Python function; what is stored is the business of `azurestorage`.
"""
