"""Binding types whose services azemu does not emulate: functions are run with data of the caller, outputs captured."""
