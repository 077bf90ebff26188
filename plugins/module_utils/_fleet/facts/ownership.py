# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tag by which this kit recognises what it made. Standard library only.

Letters, digits, `:` and `-` are allowed in a tag key everywhere, also where instances read their tags at the metadata
service (EC2 User Guide, "View tags for your EC2 instances using instance metadata"); only `aws:` is reserved.
"""

from __future__ import annotations

KEY, VALUE = "ghosthands:managed-by", "wekruit.ghosthands"
