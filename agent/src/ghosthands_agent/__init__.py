"""The agent on a GhostHands instance: boots the worker, protects the instance while a job runs, drains the worker."""
