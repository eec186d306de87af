"""What is built on top of loaders: a progress bar, and a measurement of the time that training waits.

Uses loaders as any user could. Nothing else in the core imports this room.
"""
