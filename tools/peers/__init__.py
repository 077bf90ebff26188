"""Runs clients that others wrote against localcloud."""
