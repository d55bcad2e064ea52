"""The embedded stack: every part of Vidette as a supervised process on one machine, for laptops, demos and tests."""
