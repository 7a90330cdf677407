"""Wiring: the only place that names concrete parts and opens connections; each function asks for its own half."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from rubydraw import logs
from rubydraw.drawings.archive import Archive
from rubydraw.drawings.flights import Flights
from rubydraw.drawings.images import Images
from rubydraw.drawings.kept import Kept
from rubydraw.drawings.results import Results
from rubydraw.errors import StoreUnavailable
from rubydraw.gemini.client import Gemini
from rubydraw.improve import Improve
from rubydraw.jobs.acceptance import Acceptance
from rubydraw.jobs.idempotency import IdempotencyKeys
from rubydraw.jobs.transitions import Jobs
from rubydraw.jobs.unsettled import UnsettledJobs
from rubydraw.jobs.updates import Updates
from rubydraw.limits.admission import Allowance, Gate, Intake
from rubydraw.limits.budget import Budget
from rubydraw.limits.quotas import Quotas
from rubydraw.paid_call import PaidCall
from rubydraw.pubsub import Publisher
from rubydraw.redis.store import Store, connect
from rubydraw.settings import Settings
from rubydraw.stopping import Stop
from rubydraw.submit import Submit
from rubydraw.watch import Watch
from rubydraw.work import Work


class Parts(NamedTuple):
    """What one instance holds; nothing is opened before it is first used."""

    settings: Settings
    state: Store
    results: Results
    archive: Archive
    kept: Kept
    jobs: Jobs
    updates: Updates
    intake: Intake
    gate: Gate
    stop: Stop
    improve: Improve
    gemini: Gemini
    budget: Budget
    publisher: Publisher

    async def ready(self) -> bool:
        """Whether Redis answers."""
        try:
            await asyncio.gather(*(store.command("PING") for store in {self.state, self.results.store}))
        except StoreUnavailable:
            return False
        return True


def parts(settings: Settings, *, calls_without_redis_per_minute: int) -> Parts:
    """Make the parts of one instance; must be called on the event loop of its main thread."""
    logs.start(level=settings.log_level, project=settings.project)
    state = connect(
        settings.redis_url, settings.redis_ca_cert, on_loss=lambda kind: logs.warning("redis.lost", kind=kind)
    )
    results = Results(_results_store(settings, state))
    flights = Flights(
        state,
        results,
        lease_ms=settings.lease_ms,
        heartbeat_ms=settings.heartbeat_ms,
        max_failures=settings.max_attempts,
    )
    gemini, gate, stop = Gemini(settings), Gate(settings.max_in_flight), Stop()
    archive, budget, allowance = Archive(settings), Budget(state, settings), Allowance(calls_without_redis_per_minute)
    kept = Kept(results, archive)
    call = PaidCall(gemini, gate, budget, allowance, kept, stop, timeout_s=settings.gemini_timeout_s)
    improve = Improve(kept, flights, gemini, call, stop, call_timeout_s=settings.gemini_timeout_s)
    updates = Updates(state.connection)
    stop.chain(updates.stop, improve.wind_up)
    return Parts(
        settings=settings,
        state=state,
        results=results,
        archive=archive,
        kept=kept,
        jobs=jobs(settings, state),
        updates=updates,
        intake=Intake(settings.max_in_flight),
        gate=gate,
        stop=stop,
        improve=improve,
        gemini=gemini,
        budget=budget,
        publisher=Publisher(settings.pubsub_url, timeout_s=settings.publish_timeout_s),
    )


def jobs(settings: Settings, store: Store) -> Jobs:
    return Jobs(
        store,
        lease_ms=settings.lease_ms,
        heartbeat_ms=settings.heartbeat_ms,
        max_attempts=settings.max_attempts,
        max_age_ms=settings.job_max_age_s * 1000,
    )


def _results_store(settings: Settings, state: Store) -> Store:
    """Return the results' own Redis, or else `state`; its loss has another name, as it may be absent on purpose."""
    if settings.results_url == settings.redis_url:
        return state
    return connect(
        settings.results_url, settings.redis_ca_cert, on_loss=lambda kind: logs.warning("results.lost", kind=kind)
    )


def submit(parts: Parts) -> Submit:
    settings = parts.settings
    unsettled = UnsettledJobs(parts.state, limit=settings.concurrent_jobs, max_age_ms=settings.job_max_age_s * 1000)
    return Submit(
        parts.improve,
        parts.kept,
        parts.jobs,
        IdempotencyKeys(parts.state),
        parts.publisher,
        Acceptance(parts.state, parts.budget, unsettled),
        topic=settings.pubsub_topic,
        sync_deadline_s=settings.sync_deadline_s,
    )


def images(parts: Parts) -> Images:
    return Images(parts.results, parts.archive)


def quotas(parts: Parts) -> Quotas:
    return Quotas(parts.state, requests_per_minute=parts.settings.requests_per_minute)


def watch(parts: Parts) -> Watch:
    return Watch(parts.jobs, parts.results, parts.updates)


def work(parts: Parts) -> Work:
    return Work(
        parts.improve,
        parts.kept,
        parts.jobs,
        parts.gate,
        parts.stop,
        deadline_s=parts.settings.work_deadline_s,
        call_timeout_s=parts.settings.gemini_timeout_s,
    )
