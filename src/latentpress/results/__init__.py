"""What an output folder holds, as a table: one row for each picture, as JSON lines, as Parquet, and for `datasets`; and the
report of a night (report.py).

Reads the ledger and the pictures' metadata; renders nothing and changes no picture.
"""

from latentpress.results.image_folder import write_image_folder
from latentpress.results.rows import COLUMNS, result_rows
from latentpress.results.tables import json_lines, write_table

__all__ = ["COLUMNS", "json_lines", "result_rows", "write_image_folder", "write_table"]
