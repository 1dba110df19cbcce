"""Text forms of .NET: JSON as Newtonsoft.Json reads and writes it, time spans, dates, GUIDs, and query values.

All texts that azemu exchanges with .NET implementations, or stores in the same tables, are written and read here.
"""
