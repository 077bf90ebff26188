"""The HTTP server: one port, its controls, the trace of calls, and faults on demand."""
