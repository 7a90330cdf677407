"""Replays dead letters: the job is queued anew, its message handed over, and only then its letter acknowledged."""

from __future__ import annotations

from rich.text import Text
from rubydraw import wiring
from rubydraw.errors import Misconfigured, SketchError, StoreUnavailable
from rubydraw.jobs.message import JobMessage
from rubydraw.pubsub import Publisher
from rubydraw.redis import store
from rubydraw.settings import Settings

from cli.failure import Exit, Failure
from cli.letter import Letter
from cli.report import Report
from cli.retained import Retained

WORDS = {
    "queued": "queued again",
    "done": "is done already: the letter is not needed any more",
    "running": "is running again already: the letter is not needed any more",
    "busy": "is held by a worker now: the letter is kept",
    "unreadable": "cannot be read as a job: the letter is kept",
}


class Replay:
    """
    Replays one letter after the other.

    If it is killed at any point, the letter stays where it was, and the next replay does what is missing.
    """

    def __init__(self, settings: Settings, retained: Retained, report: Report) -> None:
        self._settings, self._retained, self._report = settings, retained, report
        self._store = store.connect(settings.redis_url, settings.redis_ca_cert)
        self._jobs = wiring.jobs(settings, self._store)
        self._publisher = Publisher(settings.pubsub_url, timeout_s=settings.publish_timeout_s)
        self._became: dict[str, str] = {}
        self._raised: dict[str, int] = {}
        self._why: dict[str, str] = {}

    async def __call__(self, letter: Letter) -> None:
        """
        Replay a letter, unless this command has queued its job already.

        Such a letter is a copy or older, and is acknowledged. But if the job was given up again meanwhile, its new
        letter is kept: else a job that fails at once would be replayed for ever.
        """
        job = letter.job()
        if isinstance(job, str):
            self._why[letter.id] = job
            return self._tell(letter, "unreadable")
        if letter.id not in self._raised:
            self._tell(letter, await self._again(letter, job))
        again_given_up = job.generation >= self._raised.get(letter.id, job.generation + 1)
        if self._became[letter.id] != "busy" and not again_given_up:
            await self._retained.acknowledge(letter)
        return None

    @property
    def told(self) -> dict[str, list[str]]:
        """The ids of the letters, grouped by what became of them."""
        return {kind: [each for each, became in self._became.items() if became == kind] for kind in WORDS}

    def trouble(self) -> Failure | None:
        """Return what kept letters from being replayed, if anything did."""
        if self._why:
            (first, why), *others = self._why.items()
            more = f", nor can {len(others)} more" if others else ""
            return Failure(Exit.REFUSED, f"{first} cannot be read as a job ({why}){more}: show it, or drop it.")
        if busy := self.told["busy"]:
            return Failure(Exit.TRY_AGAIN, f"A worker holds {', '.join(busy)} now; replay again later.")
        return None

    async def aclose(self) -> None:
        await self._publisher.close()
        await self._store.close()

    def _tell(self, letter: Letter, became: str) -> None:
        if self._became.get(letter.id) != became:
            self._became[letter.id] = became
            self._report.say(Text(f"{letter.id:<36}  {WORDS[became]}"))

    async def _again(self, letter: Letter, job: JobMessage) -> str:
        """Queue the job and publish it; after a Failure the letter is kept."""
        try:
            status, job = await self._jobs.replay(job)
            if status == "queued":
                await self._publisher.publish(self._settings.pubsub_topic, letter.data, job.attributes())
                self._raised[letter.id] = job.generation
            return status
        except StoreUnavailable:
            raise Failure(
                Exit.TRY_AGAIN, f"Redis does not answer; {letter.id} and the letters after it are kept."
            ) from None
        except Misconfigured:
            where = self._settings.pubsub_topic
            raise Failure(Exit.REFUSED, f"{where} does not accept messages from here; {letter.id} is kept.") from None
        except SketchError:
            sentence = f"Pub/Sub did not take {letter.id} in time; it and the letters after it are kept."
            raise Failure(Exit.TRY_AGAIN, sentence) from None
