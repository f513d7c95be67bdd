"""HTTP serving with PaddleX's interface: `POST /ocr`."""

from ptocr.serving.app import create_app

__all__ = ["create_app"]
