"""Exports: events in the formats that other tools open. One module for each format."""

from rchan.export.export import FORMATS, Format, export

__all__ = ["FORMATS", "Format", "export"]
