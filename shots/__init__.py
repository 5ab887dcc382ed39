"""Pictures of the microscope for docs/, taken from the running page: `python -m shots`."""
