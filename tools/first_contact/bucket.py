"""The probe of the bucket that all Auto Scaling calls share; the last one, because it empties it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from botocore.exceptions import ClientError

from tools.first_contact.account import Account, code
from tools.first_contact.probe import Answer, judged, probe


@probe(
    "auto-scaling-bucket",
    claim="Auto Scaling's calls share a bucket of about 50 tokens that gets about 10 a second.",
    source="localcloud (derived); API Reference, API request rate, which gives no number",
    actions="autoscaling:DescribeAutoScalingGroups",
    writes=True,  # not really, but a fleet in the same account and region feels it for some seconds
    minutes=0.5,
)
def auto_scaling_bucket(account: Account) -> Answer:
    """Calls one after the other until the first is throttled, at most 300; then one each 0.5 s for 5 s."""
    describe = account.client("autoscaling", retries=1).describe_auto_scaling_groups

    def throttled(_number: int) -> bool:
        try:
            describe(AutoScalingGroupNames=[account.name])
        except ClientError as error:
            if "Throttl" not in code(error):
                raise
            return True
        return False

    made, refused, began = 0, False, time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        while not refused and made < 300:
            refused = any(list(pool.map(throttled, range(8))))
            made += 8
    seconds = time.monotonic() - began
    later = 0
    if refused:
        for _ in range(10):
            time.sleep(0.5)
            later += not throttled(0)
    size = made - 10 * seconds
    seen = f"the first of {made} calls in {seconds:.1f} s was throttled" if refused else f"none of {made} was throttled"
    return judged(
        refused and 25 <= size <= 110, seen, calls=made, seconds=round(seconds, 2), accepted_of_10_at_2_a_second=later
    )
