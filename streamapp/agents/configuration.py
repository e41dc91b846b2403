"""What the configurations of built-in agents have in common."""

from pydantic import BaseModel, ConfigDict


class AgentConfiguration(BaseModel):
    """A configuration that cannot be changed, and refuses settings that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
