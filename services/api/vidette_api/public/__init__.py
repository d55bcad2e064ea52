"""What clients see: submit a video, ask how it goes, read its results, and list the pipelines."""
