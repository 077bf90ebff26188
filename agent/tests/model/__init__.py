"""A model of the fleet's worker and of the instance that it runs on, for unit tests and schedules."""
