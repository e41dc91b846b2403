"""Playback quality of a video service: events of players, scored, with alerts on poor ones."""
