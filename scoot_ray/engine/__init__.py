"""The engine's side: what it can be tuned on, its command line, its processes, and why it failed.

Knows neither the search's algorithms nor the load; an engine is a command, a port and a log file.
"""
