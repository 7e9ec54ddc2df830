"""The operator's own policies of one process: a Python function, a plug-in, both or none."""

from relay.background import BackgroundTasks
from relay.conf import Config
from relay.ingest import plugin, python_policy
from relay.ingest.judgements import Judge, Judgements
from relay.ingest.plugin import Plugin
from relay.ingest.python_policy import PythonPolicy, function_named


class OperatorPolicy:
    """`judgements` is None if the operator has configured neither: then an event pays nothing."""

    def __init__(self, conf: Config, tasks: BackgroundTasks) -> None:
        """Raises ImportError or TypeError if RELAY_POLICY names no function."""
        self._function = PythonPolicy(function_named(conf.policy)) if conf.policy else None
        self._plugin = Plugin(conf.plugin, conf.policy_seconds, tasks) if conf.plugin else None
        judges: list[tuple[str, Judge]] = []
        if self._function is not None:
            judges.append((python_policy.NAME, self._function))
        if self._plugin is not None:
            judges.append((plugin.NAME, self._plugin))
        self.judgements: Judgements | None = None
        if judges:
            self.judgements = Judgements(
                judges,
                tasks,
                seconds=conf.policy_seconds,
                events=conf.policy_queue,
                accepts=conf.policy_accepts,
            )

    @property
    def waiting(self) -> int:
        """Events that wait for a verdict."""
        return 0 if self.judgements is None else len(self.judgements)

    def start(self) -> None:
        """Start the plug-in, if there is one; needs a running loop."""
        if self._plugin is not None:
            self._plugin.start()

    async def stop(self) -> None:
        """End the plug-in."""
        if self._plugin is not None:
            await self._plugin.stop()
        if self._function is not None:
            self._function.stop()
