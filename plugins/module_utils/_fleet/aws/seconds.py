# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in time as botocore returns them."""

from __future__ import annotations

from typing import Any


def since_epoch(moment: Any) -> float:
    """Seconds since the epoch of a datetime, or of a number as ECR and CloudWatch Logs return it; 0 for None."""
    return 0.0 if not moment else moment.timestamp() if hasattr(moment, "timestamp") else float(moment)
