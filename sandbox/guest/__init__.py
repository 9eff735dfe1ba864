"""What runs inside the container. Imports nothing of the project but itself."""
