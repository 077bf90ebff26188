"""Randomised schedules of a fleet in virtual time, under the agent's real procedures."""
