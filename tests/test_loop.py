"""Background threads: jobs that end when their coroutine has, and waits that an interrupt can break."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from nbchat.loop import Latch, Worker, allow_nested_loops, shared, wait


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("test-worker")
    yield worker
    worker.stop()


async def test_a_job_gives_its_coroutines_result_to_another_loop(worker: Worker) -> None:
    async def name() -> str:
        return threading.current_thread().name

    assert await asyncio.wrap_future(worker.submit(name())) == "test-worker"


def test_an_error_comes_out_of_run(worker: Worker) -> None:
    async def fail() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        worker.run(fail())


def test_a_cancelled_job_is_done_only_when_its_coroutine_has_ended(worker: Worker) -> None:
    entered, release, cleaned = threading.Event(), asyncio.Event(), threading.Event()

    async def slow_to_end() -> None:
        try:
            entered.set()
            await asyncio.sleep(60)
        finally:
            await release.wait()
            cleaned.set()

    async def let_go() -> None:
        release.set()

    job = worker.submit(slow_to_end())
    assert entered.wait(10)
    assert job.cancel()
    assert not wait(job, 0.2)
    worker.run(let_go())
    assert wait(job, 10)
    assert job.cancelled()
    assert cleaned.is_set()
    assert not job.cancel()


def test_a_job_that_is_cancelled_before_it_begins_ends_too(worker: Worker) -> None:
    ran = threading.Event()

    async def never() -> None:
        ran.set()

    block = threading.Event()
    worker._loop.call_soon_threadsafe(block.wait)
    job = worker.submit(never())
    job.cancel()
    block.set()
    assert wait(job, 10)
    assert job.cancelled()
    assert not ran.is_set()


def test_run_gives_up_after_its_timeout_and_ends_the_coroutine(worker: Worker) -> None:
    ended = threading.Event()

    async def long() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        worker.run(long(), timeout=0.1)
    assert ended.wait(10)


def test_stop_ends_what_still_runs() -> None:
    worker, entered, ended = Worker("test-stop"), threading.Event(), threading.Event()

    async def long() -> None:
        try:
            entered.set()
            await asyncio.sleep(60)
        finally:
            ended.set()

    job = worker.submit(long())
    assert entered.wait(10)
    worker.stop()
    assert ended.is_set()
    assert job.cancelled()


def test_stop_leaves_a_stuck_thread_behind() -> None:
    worker, release = Worker("test-stuck"), threading.Event()
    worker._loop.call_soon_threadsafe(release.wait)
    worker.stop(patience=0.05)
    assert worker._thread.is_alive()
    release.set()
    worker._thread.join(10)
    assert not worker._thread.is_alive()


def test_a_worker_can_be_stopped_from_its_own_thread() -> None:
    worker = Worker("test-own")

    async def stop() -> None:
        worker.stop()

    worker.run(stop())
    worker._thread.join(10)
    assert not worker._thread.is_alive()


def test_there_is_one_shared_worker() -> None:
    assert shared() is shared()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child_gets_a_shared_worker_of_its_own() -> None:
    script = (
        "import os, asyncio\n"
        "from nbchat.loop import shared\n"
        "async def one(): return 1\n"
        "shared().run(one())\n"
        "pid = os.fork()\n"
        "if pid == 0: os._exit(0 if shared().run(one(), timeout=10) == 1 else 3)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "0\n", ran.stderr


async def test_nested_loops_let_asyncio_run_work_in_a_running_loop() -> None:
    async def one() -> int:
        return 1

    assert allow_nested_loops()
    assert asyncio.run(one()) == 1


def test_without_a_running_loop_there_is_nothing_to_nest() -> None:
    before = asyncio.run
    assert allow_nested_loops()
    assert asyncio.run is before


def test_a_latch_is_waited_for_only_so_long() -> None:
    latch = Latch()
    assert not latch.wait(0)
    assert not latch.wait(0.01)
    latch.open()
    assert latch.wait(0)
    assert latch.wait()


def test_a_latch_lets_all_through_that_wait() -> None:
    latch, through = Latch(), []
    waiting = [threading.Thread(target=lambda: through.append(latch.wait(30))) for _ in range(3)]
    for thread in waiting:
        thread.start()
    latch.open()
    for thread in waiting:
        thread.join(30)
    assert through == [True] * 3


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_a_latch_can_be_opened_after_its_wait_was_interrupted() -> None:
    for moment in range(100):
        latch = Latch()
        interrupt = (threading.main_thread().ident, signal.SIGINT)
        timer = threading.Timer(0.0005 + moment * 0.00001, signal.pthread_kill, interrupt)
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it may come as soon as the timer runs
            timer.start()
            pytest.fail(f"no interrupt came: {latch.wait(30)}")
        opener = threading.Thread(target=latch.open)
        opener.start()
        opener.join(10)
        assert not opener.is_alive()
        assert latch.wait(10)
