"""The read-only web page: ``read`` takes a ``Picture`` of every group under the server's lock, ``html`` draws it afterwards."""

from localcloud.page.draw import HEADERS, html
from localcloud.page.picture import Picture, Portrait, asked_for, read

__all__ = ["HEADERS", "Picture", "Portrait", "asked_for", "html", "read"]
