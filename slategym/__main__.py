"""Makes `python -m slategym` the same as the command `slategym`."""

from slategym.cli import main

if __name__ == "__main__":
    main()
