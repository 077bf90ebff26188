"""The read-only web page: ``collect`` reads the groups under the world's lock, ``html`` renders them afterwards."""

from localcloud.page.data import GroupData, PageData, collect, is_requested
from localcloud.page.render import HEADERS, html

__all__ = ["HEADERS", "GroupData", "PageData", "collect", "html", "is_requested"]
