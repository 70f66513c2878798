"""The tasks that are left at the end of a drain that was cut."""

from __future__ import annotations

import asyncio

from prefork.adapters.lifespan import end_tasks


async def wait_on(cancellations: int) -> None:
    """Wait for ever, and go on waiting when cancelled, some times."""
    for _ in range(cancellations):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
    await asyncio.Event().wait()


def test_task_that_waits_again_when_cancelled_ends() -> None:
    async def main() -> bool:
        task = asyncio.ensure_future(wait_on(3))
        await asyncio.sleep(0)
        await end_tasks()
        return task.cancelled()

    assert asyncio.run(main())
