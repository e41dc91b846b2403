"""What an agent has used of its language model."""

from dataclasses import dataclass


@dataclass(slots=True)
class ModelUsage:
    """What an agent has used of its model since it was made.

    Attributes:
        calls: calls of the agent that were passed to the model.
        requests: requests to the provider; more than calls where outputs were corrected.
        input_tokens, output_tokens: tokens as the provider counts them.
        refused: calls that ended without an output that fits, or were refused for their input.
        outages: calls that failed through the provider or the way to it.
    """

    calls: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    refused: int = 0
    outages: int = 0
