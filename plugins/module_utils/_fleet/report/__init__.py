# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found about a fleet, for a terminal, for programs, for CI systems and for people. Pure: values in, text out.

A fleet is what `summary` returns, of JSON's types: `{name, group, region, account, endpoint, at, template_version,
image, desired, min, max, hook_timeout_seconds, drain_limit_seconds, instances, drains, monthly_price}`. Text from AWS,
a host or the registry is not trusted: `text` makes it visible, and the page's template escapes it.
"""
