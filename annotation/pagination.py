"""API lists are read by keyset: `?after=ID`, so that the last page costs what the first does."""

from rest_framework.pagination import CursorPagination


class ByIdPagination(CursorPagination):
    ordering = "id"
    cursor_query_param = "after"
    page_size_query_param = "size"
    max_page_size = 1000
