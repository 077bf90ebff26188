"""The on-host agent of a GhostHands worker: boots it, shields it while it is busy, drains it, lets its instance go."""
