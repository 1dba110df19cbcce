"""Text forms of .NET: JSON as Newtonsoft.Json reads and writes it, time spans, dates, GUIDs, and query values.

Everything that is compared with, stored beside or sent to the .NET implementation is written and read here.
"""
