"""Rollover: one generation of workers replaced by the next, or not at all.

New workers are started beside the old ones, and only when all of them are ready do the old ones
leave. A `Rollover` loads the application's code anew; a `Reload` puts new settings in force first.
If anything fails on the way (settings, an address, a worker that dies or takes too long),
everything is put back and the old workers have never stopped serving. Nothing here waits: the
master's loop calls `step` as it goes round.
"""

from __future__ import annotations

import os

from cyserve import sock
from cyserve.errors import user_traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cyserve.arbiter import Arbiter
    from cyserve.children import Child


class Failed(Exception):
    """The reload cannot go on; the text says why."""


class Rollover:
    """One that is under way in `arbiter`, from `begin` until `step` has finished it."""

    def __init__(self, arbiter: Arbiter) -> None:
        self.arbiter = arbiter
        self.listeners = list(arbiter.LISTENERS)
        self.generation = arbiter.generation

    def begin(self) -> bool:
        """Let the next generation be the wanted one; false if that failed and all is as before."""
        self.arbiter.generation += 1
        return True

    def step(self) -> bool:
        """Look how the new workers do; true when it is over, one way or the other."""
        arbiter = self.arbiter
        new = arbiter.current_children()
        if len(new) < arbiter.num_workers or not all(child.ready for child in new):
            return False
        for child in list(arbiter.children.values()):
            if child.generation < arbiter.generation:
                self.dismiss(child)
        kept = {id(listener) for listener in arbiter.LISTENERS}
        paths = {listener.cfg_addr for listener in arbiter.LISTENERS}
        for listener in self.listeners:
            if id(listener) not in kept:
                sock.close_sockets([listener], unlink=listener.cfg_addr not in paths)
        arbiter.log.info("Reloaded: %d new workers are ready.", len(new))
        return True

    def dismiss(self, child: Child) -> None:
        """Let an old worker leave, and know that it does so for the sake of new code."""
        child.slot.outdated += 1
        self.arbiter.retire(child)

    def abandon(self) -> None:
        """Send the new workers away and be content with the old ones."""
        arbiter = self.arbiter
        for child in list(arbiter.children.values()):
            if child.generation == arbiter.generation:
                arbiter.retire(child)
        arbiter.generation = self.generation

    def fail(self, reason: str, cause: BaseException | None = None) -> None:
        """Give up, and log why. cause: what the user's own code raised, if it was that."""
        self.abandon()
        self.report(reason, cause)

    def report(self, reason: str, cause: BaseException | None) -> None:
        """Say that it failed."""
        arbiter = self.arbiter
        arbiter.service_manager.note = f"the last reload failed: {' '.join(reason.split())}"
        text = "Reload failed, the old workers stay: %s"
        arbiter.log.error(text, reason, exc_info=cause or False)

    def fail_by(self, death: str) -> None:
        """Give up because a new worker ended, as `death` says."""
        self.fail(f"a new worker did not boot. {death}".rstrip())


class Reload(Rollover):
    """A rollover to new settings."""

    def __init__(self, arbiter: Arbiter) -> None:
        super().__init__(arbiter)
        self.cfg = arbiter.cfg
        self.app_state = dict(vars(arbiter.app))
        self.directory = os.getcwd()
        self.log_changed = False
        self.num_workers = arbiter.num_workers

    def begin(self) -> bool:
        arbiter = self.arbiter
        try:
            self._read_settings()
            self._change_listeners()
            arbiter.cfg.on_reload(arbiter)
        except (Exception, SystemExit) as error:
            self._restore()
            own = user_traceback(error)  # of a hook, or of an application that is preloaded
            cause = error.__cause__ or (own and error.with_traceback(own))
            self.report(str(error) or type(error).__name__, cause)
            return False
        arbiter.place_pidfile()
        arbiter.show_title()
        return super().begin()

    def dismiss(self, child: Child) -> None:
        self.arbiter.retire(child)

    def abandon(self) -> None:
        self._restore()
        super().abandon()
        self.arbiter.place_pidfile()
        self.arbiter.show_title()

    def _read_settings(self) -> None:
        arbiter = self.arbiter
        arbiter.restore_environment(self.cfg)
        arbiter.app.reload()
        if hasattr(arbiter.log, "setup"):
            arbiter.log.setup(arbiter.app.cfg)
            self.log_changed = True
        for text in getattr(arbiter.app, "warnings", ()):
            arbiter.log.warning("%s", text)
        if self.cfg.preload_app and arbiter.app.cfg.preload_app:
            arbiter.log.info(
                "preload_app: the application stays as it was loaded; USR2 loads it anew"
            )
        arbiter.setup(arbiter.app)
        arbiter.check_certificates()
        arbiter.log.reopen_files()

    def _change_listeners(self) -> None:
        """Open listeners for new addresses; the others are kept, those given up close at the end.

        What systemd or an old master handed over stays, whatever `bind` says.
        """
        arbiter, cfg = self.arbiter, self.arbiter.cfg
        if arbiter.address == self.cfg.address and cfg.reuse_port == self.cfg.reuse_port:
            return
        if arbiter.systemd:
            return
        known: dict[Any, sock.BaseSocket] = {}
        if len(self.cfg.address) == len(self.listeners):
            known = dict(zip(self.cfg.address, self.listeners, strict=True))
        wanted: list[sock.BaseSocket] = []
        arbiter.LISTENERS = wanted
        for address in () if cfg.reuse_port else arbiter.address:
            listener = known.get(address)
            if listener is None:
                try:
                    listener = sock.open_listener(address, cfg, arbiter.log)
                except OSError as error:
                    sock.report(error, address, arbiter.log)
                    raise Failed(f"Can't connect to {sock.shown(address)}") from None
            wanted.append(listener)
        arbiter.log.info("Listening at: %s", ",".join(map(str, wanted)))

    def _restore(self) -> None:
        """Put the settings and listeners back that were in force before."""
        arbiter = self.arbiter
        kept = {id(listener) for listener in self.listeners}
        paths = {listener.cfg_addr for listener in self.listeners}
        for listener in arbiter.LISTENERS:
            if id(listener) not in kept:
                sock.close_sockets([listener], unlink=listener.cfg_addr not in paths)
        arbiter.LISTENERS = self.listeners
        arbiter.restore_environment(arbiter.cfg)
        vars(arbiter.app).clear()
        vars(arbiter.app).update(self.app_state)
        os.chdir(self.directory)
        if self.log_changed:
            arbiter.log.setup(self.cfg)
        arbiter.setup(arbiter.app)
        if arbiter.num_workers != self.num_workers:  # signals had changed it
            arbiter.num_workers = self.num_workers
