"""What runs inside the container. Imports nothing of the project but itself."""

#: The version of the messages between host and supervisor.
PROTOCOL = 1

#: What the guest image runs, as root, as its process 1. ``-I`` keeps the environment and the
#: working directory out of the import path, so that no candidate can put a module in front.
ENTRY_CODE = (
    "import sys; sys.path.insert(0, '/opt/llmatic'); "
    "from sandbox.guest.supervisor import main; main()"
)
