"""Reading the text of a frame with two served models, PP-OCR detection and PP-OCR recognition.

The numbers and rules follow the `rapidocr` package (3.10, default configuration), and the text that comes out is held against
it by a test. The package itself is not imported: its post-processing brings in a downloader, a configuration language and a
drawing library (measured: 0.8 s and 27 MB more), and its wheel the models that Triton serves.

Left out on purpose is its direction classifier, which turns over lines that it believes to stand upside down. It would be a third
model, and on upright text it only does harm: of 152 rendered frames it changed 10, turning short or dense upright lines over
("6op" for "dog"). On the others the text is the same with it and without. Text turned by 180 degrees is not read here.
"""

from vidette_frame_worker.ocr.recogniser import TextRecogniser, join_lines

__all__ = ["TextRecogniser", "join_lines"]
