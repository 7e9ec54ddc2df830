"""Background tasks: a failure is reported, a cancellation is not."""

import asyncio
import logging

import pytest

from relay.background import BackgroundTasks, cancel


async def _raise() -> None:
    raise ValueError("broken")


async def _return() -> None:
    return


async def _run_for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_job_that_raises_is_logged_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    failed: list[str] = []
    tasks = BackgroundTasks(failed.append)
    with caplog.at_level(logging.CRITICAL):
        task = tasks.job(_raise(), "a job")
        await asyncio.wait([task])
    assert failed == ["a job"]
    assert tasks.failures == 1
    assert "broken" in caplog.text


async def test_a_task_of_a_client_that_raises_is_counted_and_does_not_end_the_process() -> None:
    failed: list[str] = []
    tasks = BackgroundTasks(failed.append)
    await asyncio.wait([tasks.for_client(_raise(), "a query")])
    assert failed == []
    assert tasks.failures == 1


async def test_a_job_may_return() -> None:
    failed: list[str] = []
    tasks = BackgroundTasks(failed.append)
    await tasks.job(_return(), "a job")
    assert not failed


async def test_a_service_that_returns_has_failed() -> None:
    failed: list[str] = []
    task = BackgroundTasks(failed.append).service(_return(), "a service")
    await asyncio.wait([task])
    assert failed == ["a service"]


async def test_a_cancelled_service_is_no_failure() -> None:
    failed: list[str] = []
    tasks = BackgroundTasks(failed.append)
    task = tasks.service(_run_for_ever(), "a service")
    assert tasks.is_running("a service")
    await cancel([task])
    assert not failed
    assert not tasks.is_running("a service")


async def test_stop_cancels_all_and_waits() -> None:
    tasks = BackgroundTasks()
    started = [tasks.service(_run_for_ever(), str(number)) for number in range(3)]
    await tasks.stop()
    assert all(task.done() for task in started)


async def test_cancel_insists_when_a_task_swallows_one_cancellation() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    tasks = BackgroundTasks()
    task = tasks.service(stubborn(), "stubborn")
    await asyncio.sleep(0)
    async with asyncio.timeout(2):
        await cancel([task, None])
    assert task.done()
