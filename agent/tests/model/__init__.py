"""A model of the fleet's worker and of the instance that it runs on, in virtual time. Unit tests and schedules share it."""
