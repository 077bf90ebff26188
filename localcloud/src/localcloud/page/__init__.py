"""The read-only web page: ``collect`` takes a ``PageData`` of every group under the server's lock, ``html`` draws it afterwards."""

from localcloud.page.data import GroupData, PageData, collect, is_requested
from localcloud.page.render import HEADERS, html

__all__ = ["HEADERS", "PageData", "GroupData", "is_requested", "html", "collect"]
