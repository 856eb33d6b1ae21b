"""Samplers, their schedules, and the noise they draw."""
