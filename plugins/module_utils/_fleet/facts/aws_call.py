# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way to AWS, as everything but `aws/account.py` sees it. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Call = Callable[..., Any]
"""`call(service, operation, key=None, absent=(), **request)`: the response, or its part `key`.

None where AWS answers with an error code in `absent`. Raises AwsError for every other error.
"""


class AwsError(Exception):
    """A call failed. The text is one sentence on the reason and one on what to do.

    :param code: AWS's; empty: there was no answer, or the call was not sent.
    """

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code
