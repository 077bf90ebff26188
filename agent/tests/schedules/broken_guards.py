"""Guards that break one promise each. The rules must catch every one of them."""

from __future__ import annotations

from dataclasses import replace

from model.worker import Guard

from schedules.schedule import Event, Schedule

GUARD = Guard()
#: The broken guard, and what at least one rule says about it.
BROKEN: dict[str, tuple[Guard, str]] = {
    "forgets_the_pickup_under_way": (replace(GUARD, counts_pickup=False), "is lost"),
    "goes_on_taking_jobs": (replace(GUARD, stops_pickup=False), "after it was to drain"),
    "releases_at_drain_after_thirty_seconds": (replace(GUARD, waits=False), "is lost|is doubled"),
    "puts_back_while_the_job_still_runs": (replace(GUARD, exit_seconds=14.0), "is doubled"),
    "lets_others_take_the_job_at_once": (replace(GUARD, delay_seconds=0.0), "is doubled"),
    "does_not_send_to_pg_boss_again": (replace(GUARD, resends=False), "is lost"),
    "puts_back_a_job_in_review": (replace(GUARD, puts_back_reviews=True), "is put back from its review"),
    "claims_what_another_worker_has_claimed": (replace(GUARD, exclusive=False), "is claimed twice"),
    "says_that_it_is_attached_and_is_not": (replace(GUARD, works=False), "is lost"),
    "hides_that_it_could_not_put_back": (replace(GUARD, exit_code_tells=False), "calls the drain clean"),
}


def schedule(drawn: Schedule, name: str) -> Schedule:
    """The schedule to run it in: drains that soon end by force, a slow database or one that is often away."""
    if name == "hides_that_it_could_not_put_back":
        away = tuple(Event(at, "database down", 60) for at in range(60, int(drawn.ends), 80))
        return replace(drawn, drain_limit=60, events=tuple(sorted((*drawn.events, *away), key=lambda event: event.at)))
    claim_seconds = {"forgets_the_pickup_under_way": 8.0, "claims_what_another_worker_has_claimed": 2.0}
    return replace(drawn, drain_limit=60, claim_seconds=claim_seconds.get(name, drawn.claim_seconds))
