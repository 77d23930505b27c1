"""Packaged models and detectors, with their checksums, cards and licences."""
