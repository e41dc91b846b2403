# Each has a twin in Python; streamapp/native_leaves.py selects.

INTERFACE: int
VERSION: str
