"""A labelled contact sheet of a plan's pictures: one axis down, one along the top. Same pictures, same bytes."""

import io
import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError
from PIL.Image import Resampling

from latentpress.batch.plan.job import Job
from latentpress.batch.plan.plan import Plan
from latentpress.errors import UsageError, reason
from latentpress.files import check_regular

# Pixels. Small pictures are enlarged by whole factors so that labels fit over them; large ones are reduced.
CELL_MIN, CELL_MAX = 160, 512
GAP = 8
FONT_SIZE = 16
LABEL_MAX = 320
# A side longer than this opens in few viewers, and a sheet of it takes 2.4 GB to draw.
SIDE_MAX = 28_000

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def sheet_bytes(plan: Plan, folder: Path) -> bytes:
    """The PNG of the contact sheet of the finished pictures of `plan` in `folder`. UsageError where nothing can be shown."""
    if not plan.sheets:
        raise UsageError(f"manifest {plan.name!r} asks for no sheet; add `sheet: {{rows: AXIS, columns: AXIS}}`")
    rows, columns, cells = _cells(plan, next(iter(plan.sheets[0].rows), None), next(iter(plan.sheets[0].columns), None))
    buffer = io.BytesIO()
    draw_sheet(rows, columns, cells, folder).save(buffer, "PNG")
    return buffer.getvalue()


Cells = dict[tuple[str, str], list[Job]]


def _cells(plan: Plan, row_key: str | None, column_key: str | None) -> tuple[list[str], list[str], Cells]:
    """The labels down and along, in order of appearance, and the jobs where they meet."""
    cells: Cells = {}
    for job in plan.jobs:
        row = job.labels.get(row_key, "") if row_key else ""
        column = job.labels.get(column_key, "") if column_key else ""
        cells.setdefault((row, column), []).append(job)
    return list(dict.fromkeys(row for row, _ in cells)), list(dict.fromkeys(column for _, column in cells)), cells


@dataclass(frozen=True)
class _Grid:
    """How one cell lays out its pictures: `across` x `down` tiles of `tile` (width, height) pixels."""

    across: int
    down: int
    tile: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        return self.across * (self.tile[0] + GAP) - GAP, self.down * (self.tile[1] + GAP) - GAP


def draw_sheet(rows: list[str], columns: list[str], cells: Cells, folder: Path) -> Image.Image:
    """The sheet as an image: labels wrap to their cell and push the grid away, so none is ever clipped."""
    grid = _grid(rows, columns, cells)
    width, height = grid.size
    font = ImageFont.load_default(FONT_SIZE)
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    tops = [wrapped(label, font, max(width, CELL_MIN), pen) for label in columns]
    lefts = [wrapped(label, font, LABEL_MAX, pen) for label in rows]
    top_boxes = [text_size(text, font, pen) for text in tops]
    left_boxes = [text_size(text, font, pen) for text in lefts]
    step_x = max([width, *(box[0] for box in top_boxes)]) + GAP
    step_ys = [max(height, box[1]) + GAP for box in left_boxes]
    left = max(box[0] for box in left_boxes) + 2 * GAP if any(rows) else GAP
    top = max(box[1] for box in top_boxes) + 2 * GAP if any(columns) else GAP
    sheet = Image.new("RGB", (left + step_x * len(columns), top + sum(step_ys)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (text, box) in enumerate(zip(tops, top_boxes, strict=True)):
        x = left + step_x * number + (step_x - GAP - box[0]) // 2
        pen.multiline_text((x, top - GAP - box[1]), text, "black", font, anchor="la", align="center")
    y = top
    for row, text, box, step_y in zip(rows, lefts, left_boxes, step_ys, strict=True):
        pen.multiline_text((GAP, y + (step_y - GAP - box[1]) // 2), text, "black", font, anchor="la")
        for number, column in enumerate(columns):
            x = left + step_x * number + (step_x - GAP - width) // 2
            for place, job in enumerate(cells.get((row, column), [])):
                tile = _tile(folder / job.output, grid.tile)
                tile_x = x + place % grid.across * (grid.tile[0] + GAP)
                tile_y = y + place // grid.across * (grid.tile[1] + GAP)
                sheet.paste(tile, (tile_x, tile_y))
        y += step_y
    return sheet


def _grid(rows: list[str], columns: list[str], cells: Cells) -> _Grid:
    requests = [job.request for jobs in cells.values() for job in jobs]
    width = max(request.width for request in requests)
    height = max(request.height for request in requests)
    longest = max(width, height)
    factor = max(1, CELL_MIN // longest) if longest <= CELL_MAX else CELL_MAX / longest
    most = max(len(jobs) for jobs in cells.values())
    across = math.ceil(math.sqrt(most))
    down = math.ceil(most / across)
    room = min(SIDE_MAX / (len(columns) * across) / width, SIDE_MAX / (len(rows) * down) / height)
    if room < factor:
        factor = room
    return _Grid(across, down, (max(1, int(width * factor)), max(1, int(height * factor))))


def _tile(path: Path, size: tuple[int, int]) -> Image.Image:
    """The picture at `path`, fitted into `size` without changing its proportions."""
    try:
        check_regular(path)
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except UnidentifiedImageError:  # its own words name the path again
        raise UsageError(f"{path}: cannot be read for the sheet (no picture); render the manifest first") from None
    except OSError as error:
        why = error.strerror or reason(error)
        raise UsageError(f"{path}: cannot be read for the sheet ({why}); render the manifest first") from None
    return fitted(picture, size)


def fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`picture` on white of `size` (width, height), as large as fits without changing its proportions."""
    factor = min(size[0] / picture.width, size[1] / picture.height)
    room = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    # Enlarged pixels stay sharp squares: a blurred one would look like the model's doing.
    method = Resampling.NEAREST if factor >= 1 else Resampling.LANCZOS
    tile = Image.new("RGB", size, "white")
    tile.paste(picture.resize(room, method), ((size[0] - room[0]) // 2, (size[1] - room[1]) // 2))
    return tile


def wrapped(text: str, font: Font, width: int, pen: ImageDraw.ImageDraw) -> str:
    """`text` broken at spaces, or inside a word where one alone is wider than `width`."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if pen.textlength(joined, font) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        line = ""
        for char in word:
            if line and pen.textlength(line + char, font) > width:
                lines.append(line)
                line = ""
            line += char
    return "\n".join([*lines, line])


def text_size(text: str, font: Font, pen: ImageDraw.ImageDraw) -> tuple[int, int]:
    """Pixels that `text` takes from its origin, rounded up, with a pixel to spare for antialiasing."""
    if not text:
        return 0, 0
    box = pen.multiline_textbbox((0, 0), text, font, anchor="la")
    return math.ceil(box[2]) + 1, math.ceil(box[3]) + 1
