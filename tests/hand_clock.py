"""A clock whose time tests advance."""


class HandClock:
    """Stands still until `advance`; monotonic and wall time move together."""

    def __init__(self, monotonic: float = 1000.0, time: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._time = time

    def monotonic(self) -> float:
        return self._monotonic

    def time(self) -> float:
        return self._time

    def advance(self, seconds: float) -> None:
        self._monotonic += seconds
        self._time += seconds

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
