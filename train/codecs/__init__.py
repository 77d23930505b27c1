"""Encoders of landmarks as maps, and decoders of maps as landmarks."""
