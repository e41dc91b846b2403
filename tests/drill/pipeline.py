"""The pipeline of the drill: one stage, which does what a file says."""

PIPELINE = """
import asyncio
import json
import time
from pathlib import Path

from streamapp import Permanent, Pipeline, Topic, agent, dead_letter

MODE = Path("mode.json")


def mode() -> dict:
    return json.loads(MODE.read_text())


@agent
async def work(value: dict) -> dict:
    now = mode()
    if now.get("block_seconds") and value["n"] % 50 == 0:
        time.sleep(now["block_seconds"])
    if now.get("down"):
        raise OSError("the catalogue does not answer")
    if value["n"] % 100 < now.get("poison", 1):
        raise Permanent("no price")
    await asyncio.sleep(now.get("seconds", 0.001))
    return value


pipeline = (
    Pipeline("drill", source=Topic("drill.in", dict))
    .stage(work, on_error=dead_letter(), concurrency=8)
    .sink("drill.out")
)
"""
