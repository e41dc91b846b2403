"""The connection to the memory broker: there, unless a test or a simulation takes it away."""

from streamapp.errors import BrokerError

ADDRESS = "memory:0"


class Network:
    """Whether clients can connect.

    Attributes:
        is_up: clients that start while it is false fail as with an unreachable broker.
    """

    def __init__(self) -> None:
        self.is_up = True

    def connect(self) -> None:
        """Connect a client.

        Raises:
            BrokerError: the network is down.
        """
        if not self.is_up:
            raise BrokerError(f"cannot connect to {ADDRESS}: the memory broker was taken down")
