"""Results as files: JSON, text, Markdown, HTML, Word, spreadsheets, LaTeX, TSV, hOCR, ALTO, searchable PDF, ..."""

from ptocr.document.writers.write import SUFFIXES, suffix_of, write_results

__all__ = ["SUFFIXES", "suffix_of", "write_results"]
