"""Results as files: JSON, text, Markdown, TSV, hOCR, ALTO, searchable PDF and pictures."""

from ptocr.document.writers.write import SUFFIXES, suffix_of, write_results

__all__ = ["SUFFIXES", "suffix_of", "write_results"]
