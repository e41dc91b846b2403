"""The network of the memory broker, which a test or a simulation can take down."""

from streamapp.errors import BrokerError

ADDRESS = "memory:0"


class Network:
    """Decides whether clients can connect.

    Attributes:
        is_up: while this is false, a client that starts fails as if the broker were unreachable.
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
