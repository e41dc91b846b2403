"""Names that users write, of the file, of a variable and of an option; they load nothing else."""

FILE_NAME = "atomic_data_config.json"
"""Name of the file in the working directory, which may be missing."""

PACKAGES_VARIABLE = "STREAMAPP_ALLOWED_PACKAGES"
"""Environment variable with names of packages, separated by commas."""

PACKAGES_OPTION = "--allow-package"
"""Option of the commands that import agents; repeatable."""
