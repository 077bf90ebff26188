"""Wishes of operators, as they arrive; the record of what became of them; the answers, as they are sent.

A wish comes by the instance's tag or is left on the host; the tag has the last word. Each is begun once, by its id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .passing_errors import BackOff
from .ports import Control, Level, PortError, Ports, Task
from .wishes import State, Wish, answer, name_of, parse

#: A wish is seen within that time; later while the instance drains, when it is ignored. Reading takes 1 to 2 ms and no
#: call of AWS's API.
READ_SECONDS, DRAINING_READ_SECONDS = 2.0, 10.0
#: CreateTags shares EC2's bucket of non-mutating and mutating calls with whoever launches instances in the account.
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
SPREAD_SECONDS = 2.0  # the answers of instances that were tagged in one call, and a `begun` that is over by then
HANDLED = 16  # ids that are remembered: those of the two sources, and of commands that followed each other closely
DRAINS = "the instance drains"


class Channel:
    """What operators want of this instance, and what they are answered.

    Args:
        answered: called with the error of each call of AWS, None if it worked.
        failed, works: log that a subject fails, and that it works again.

    Attributes:
        control: the record.
        saved: whether it is written.
    """

    def __init__(
        self,
        ports: Ports,
        answered: Callable[[PortError | None], None],
        failed: Callable[[str, PortError], None],
        works: Callable[[str], None],
    ) -> None:
        self._ports = ports
        self._answered, self._failed, self._works = answered, failed, works
        self.control = Control()
        self.saved = True
        self._loaded = False
        self._texts = {"host": "", "tag": ""}
        self._invalid: set[str] = set()
        self._next_read = self._next_send = 0.0
        self._back_off = BackOff(ports.random, FIRST_PAUSE, LONGEST_PAUSE)
        self._sent = self._sending = self._planned = ""
        self._task: Task[None] | None = None

    def update(self, *, drains: bool) -> None:
        """Read wishes if it is time; send the answer if there is a new one. Waits for nothing.

        :param drains: whether the instance drains, so that wishes are ignored.
        """
        now = self._ports.clock.monotonic()
        if now >= self._next_read:
            self._next_read = now + (DRAINING_READ_SECONDS if drains else READ_SECONDS)
            self._read()
        if drains and self._loaded:
            self._ignore_all()
        self._send(now)

    def next_wish(self) -> Wish | None:
        """The next one to begin. Of two that arrived together, the one left on the host is first."""
        if not self._loaded:
            return None
        for text in filter(None, self._texts.values()):
            wish = parse(text)
            if wish is None:
                self._answer_invalid(text)
            elif wish.id not in self.control.handled:
                return wish
        return None

    def begin(self, wish: Wish, **changes: Any) -> None:
        """Record that it is under way, with other changes of the record."""
        if (before := parse(self.control.wish)) is not None:
            self._ports.journal.step("wish_superseded", "warning", wish=before.name, by=wish.name)
        self._ports.journal.step("wish_begun", wish=wish.text)
        handled = (*self.control.handled, wish.id)[-HANDLED:]
        begun = {"wish": wish.text, "phase": "", "reason": "", "answer": answer(wish.name, "begun"), "handled": handled}
        self.change(**{**begun, **changes})

    def end(self, wish: Wish, state: State, reason: str = "") -> None:
        """Record what became of the wish under way."""
        level: Level = "error" if state == "failed" else "info"
        self._ports.journal.step("wish_ended", level, wish=wish.name, state=state, reason=reason)
        self.change(wish="", phase="", reason="", answer=answer(wish.name, state, reason))

    def change(self, **changes: Any) -> None:
        """Change the record. Where it cannot be written that is tried again, and `saved` is false until then."""
        self.control, self.saved = replace(self.control, **changes), False
        self._save()

    def _save(self) -> None:
        try:
            self._ports.records.write_control(self.control)
        except PortError as error:
            self._failed("control_record", error)
            return
        self.saved = True
        self._works("control_record")

    def _load(self) -> None:
        """Read the record; one of another instance, from which this one's image was made, is void. Raises PortError."""
        instance, found = self._ports.metadata.instance().id, self._ports.records.control()
        self.control = found if found.instance == instance else Control(instance=instance)
        self._loaded = True

    def _read(self) -> None:
        if not self.saved:
            self._save()
        try:
            if not self._loaded:
                self._load()
        except PortError as error:
            self._failed("control_record", error)
            return
        for source, read in (("host", self._ports.records.wish), ("tag", self._ports.metadata.wish)):
            try:
                self._texts[source] = read() or ""
            except PortError as error:
                self._failed(f"wish_{source}", error)
            else:
                self._works(f"wish_{source}")

    def _ignore_all(self) -> None:
        if (wish := parse(self.control.wish)) is not None:
            self.end(wish, "ignored", DRAINS)
        while (wish := self.next_wish()) is not None:
            self.begin(wish)
            self.end(wish, "ignored", DRAINS)

    def _answer_invalid(self, text: str) -> None:
        if text in self._invalid:
            return
        self._invalid.add(text)
        self._ports.journal.step("wish_invalid", "warning", wish=text[:120])
        if name := name_of(text):
            self.change(answer=answer(name, "ignored", "this is no wish that the agent knows"))

    def _send(self, now: float) -> None:
        if self._task is not None:
            if not self._task.done():
                return
            task, self._task = self._task, None
            try:
                task.result()
            except PortError as error:
                self._answered(error)
                self._failed("answer", error)
                self._next_send = now + self._back_off.pause()
            else:
                self._answered(None)
                self._works("answer")
                self._back_off.reset()
                self._sent = self._sending
        if self.control.answer != self._planned:
            self._planned = self.control.answer
            self._next_send = max(self._next_send, now + SPREAD_SECONDS * self._ports.random())
        if self.control.answer not in ("", self._sent) and now >= self._next_send:
            self._sending = self.control.answer
            self._task = self._ports.answers.write(self._sending)
