"""Whether a caller may make a call: who calls, which permissions the call needs, what the caller's policies decide."""
