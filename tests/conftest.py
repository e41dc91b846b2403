from tests.prometheus import prometheus

__all__ = ["prometheus"]
