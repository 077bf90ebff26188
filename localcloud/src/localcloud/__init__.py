"""The embedded AWS: what the kit's playbooks, images and workers call, on one machine and without an account.

Start it with ``python -m localcloud up``. The product never imports this package.
"""
