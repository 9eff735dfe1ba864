"""The guest image, and what brings up an engine and a base image on a bare host."""
