"""Errors that pass by themselves: the one list for boot, watch and drain, and the pauses between tries. Pure.

The plugins have a list of their own, for what a group's creation and update do not see yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .ports import NO_CREDENTIALS, PortError, Refused

#: Codes that a retry may solve at any time: "Common Errors" of the API references, those of credentials that expired or
#: are not known yet, since the role's are renewed, and a clock that its time server has not set yet.
ALWAYS = frozenset(
    """
    Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException
    TooManyRequestsException RequestLimitExceeded BandwidthLimitExceeded LimitExceededException
    PriorRequestNotComplete SlowDown InternalFailure InternalError InternalServiceError
    InternalServiceErrorException ServiceUnavailable ServerException ResourceContention
    ScalingActivityInProgress RequestTimeout RequestTimeoutException ExpiredToken ExpiredTokenException
    RequestExpired RequestTimeTooSkewed InvalidClientTokenId UnrecognizedClientException
    """.split()
)
#: Codes that pass within so many seconds after the begin of a boot. "Changes that I make are not always immediately
#: visible" (IAM User Guide, "Troubleshoot IAM"): a policy or a role that was written just before the launch.
AT_FIRST = {
    **dict.fromkeys(("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"), 120.0),
    **dict.fromkeys(("InvalidSignatureException", "SignatureDoesNotMatch"), 120.0),
}

#: Exponential back-off with full jitter up to this (Builders' Library, "Timeouts, retries, and backoff with jitter").
#: All Auto Scaling calls of an account in a region share one bucket ("Request throttling for the Amazon EC2 Auto
#: Scaling API"), so that callers who all come back after a fixed second keep it empty for each other.
LONGEST_PAUSE = 30.0


def passes(error: PortError, seconds: float) -> bool:
    """Whether a retry may solve it, so many seconds after the begin of a boot."""
    return not isinstance(error, Refused) or seconds < AT_FIRST.get(error.code, 0.0)


def alike(error: PortError, other: PortError) -> bool:
    """Whether two errors are the same one again: all is equal but the numbers and ids in a command's output."""
    return (error.call, error.code) == (other.call, other.code) and _shape(error.output) == _shape(other.output)


def _shape(output: str) -> str:
    return re.sub(r"\b[0-9a-f-]{8,}\b|\d+", "#", output)


def lacks_credentials(error: PortError) -> bool:
    """Whether the call was not made because the metadata service had no credentials."""
    return error.code == NO_CREDENTIALS


class BackOff:
    """Pauses between the tries of one thing.

    Args:
        random: a number from 0 to 1.
        first: the longest first pause; each next one may be twice as long.
        longest: the longest of all.
    """

    def __init__(self, random: Callable[[], float], first: float, longest: float = LONGEST_PAUSE) -> None:
        self._random, self._first, self._longest = random, first, longest
        self._tries = 0

    def pause(self) -> float:
        """Seconds to wait after one more failure; at least a tenth of the longest that they could be."""
        ceiling: float = min(self._longest, self._first * 2 ** min(self._tries, 16))
        self._tries += 1
        return ceiling * max(0.1, self._random())

    def reset(self) -> None:
        """It worked: the next pause is a first one."""
        self._tries = 0
