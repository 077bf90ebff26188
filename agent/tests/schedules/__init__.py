"""Chaos: randomised lives of a fleet in virtual time, under the agent's own procedures."""
