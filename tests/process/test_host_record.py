"""Records by which commands find the running hosts of an app."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from emulator.config.start import StartOptions, configure
from emulator.process.host_record import recorded_host, recorded_hosts
from emulator.storage.file_lock import try_lock


def test_a_host_is_found_although_a_command_reads_its_record_while_it_starts(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    (tmp_path / "function_app.py").touch()
    configuration = configure(StartOptions(app=tmp_path), {})
    is_reading = threading.Event()

    def read_slowly() -> None:
        with try_lock(tmp_path / ".azemu" / "ports" / "7071.alive") as lock:
            assert lock is not None
            is_reading.set()
            # As if other processes interrupted the command, before it has released the lock.
            time.sleep(0.1)

    reader = threading.Thread(target=read_slowly)
    reader.start()
    is_reading.wait()
    with recorded_host(configuration, port=7071, started_at=datetime(2030, 1, 1, tzinfo=UTC)):
        reader.join()
        [record] = recorded_hosts(tmp_path)
        assert (record.port, record.is_alive) == (7071, True)
    assert recorded_hosts(tmp_path) == []
