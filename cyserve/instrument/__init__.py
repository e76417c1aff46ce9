"""Loggers that also count: what happens is told to a metrics service beside the log.

A module here holds one such Logger, chosen by settings. May not be done here: anything that could
hold up a request or end a worker when the service is slow or gone.
"""
