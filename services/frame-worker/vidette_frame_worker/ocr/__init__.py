"""Reading the text of a frame with two served models, PP-OCR detection and PP-OCR recognition.

The numbers and rules follow the `rapidocr` package (3.10, default configuration), and the text that comes out is held against
it by a test. The package itself is not imported: its post-processing brings in a downloader, a configuration language and a
drawing library, and its wheel the models that Triton serves.

Left out on purpose is its direction classifier, which turns over lines that it believes to stand upside down: on upright text it
can only do harm ("6op" for "dog"). docs/adr/0010 has the figures. Text turned by 180 degrees is not read here.
"""

from vidette_frame_worker.ocr.memory import ChunkMemory, Seat
from vidette_frame_worker.ocr.recogniser import TextRecogniser, join_lines

__all__ = ["ChunkMemory", "Seat", "TextRecogniser", "join_lines"]
