"""Testing of function apps: the unmodified app with the real engine and SDK, storage in memory, and virtual time.

    async with emulator.testing.start("path/to/app") as app:
        instance = await app.client.start_new("approve_document", client_input={…})
        await app.advance(days=3)
        status = await app.wait(instance)

`start_sync` has the same methods without `await`. With pytest, the fixture `azemu` is one or the other, depending on
the test function (see `emulator.pytest_plugin`).
"""

from emulator.chaos.plan import Intensities as Intensities
from emulator.chaos.report import ChaosReport as ChaosReport
from emulator.chaos.report import RulesBroken as RulesBroken
from emulator.durable.core import events as events
from emulator.histories.replaying import HistoryDiverged as HistoryDiverged
from emulator.histories.replaying import replay as replay
from emulator.host.captured_outputs import CapturedOutput as CapturedOutput
from emulator.host.sending import NotStorable as NotStorable
from emulator.testing.app import AppUnderTest as AppUnderTest
from emulator.testing.chaos import Chaos as Chaos
from emulator.testing.errors import AppBroken as AppBroken
from emulator.testing.errors import FunctionsInError as FunctionsInError
from emulator.testing.errors import InvocationFailed as InvocationFailed
from emulator.testing.errors import NothingLeft as NothingLeft
from emulator.testing.errors import NotInvoked as NotInvoked
from emulator.testing.errors import NotSettled as NotSettled
from emulator.testing.errors import TookTooLong as TookTooLong
from emulator.testing.errors import UnknownActivity as UnknownActivity
from emulator.testing.http import Answer as Answer
from emulator.testing.manual import Invoked as Invoked
from emulator.testing.observers.determinism import NotDeterministic as NotDeterministic
from emulator.testing.observers.log_capture import LogLine as LogLine
from emulator.testing.observers.real_waits import RealWait as RealWait
from emulator.testing.starting import start as start
from emulator.testing.sync import SyncAppUnderTest as SyncAppUnderTest
from emulator.testing.sync import start_sync as start_sync
