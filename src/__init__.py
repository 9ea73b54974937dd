"""Calibrate an instrument by gradient descent, every run on record."""
