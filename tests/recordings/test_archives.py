"""The archives of recordings: complete, readable and reproducible."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.recordings import GOLDEN, GOLDEN_3_19, RecordingSet, rows_of
from tests.recordings.archive import Archive
from tests.recordings.pack import main as pack
from tests.recordings.pack import packed
from tests.recordings.triggers import TRIGGERS
from tests.sdk_examples import EXAMPLES

ARCHIVES = [GOLDEN.archive, GOLDEN_3_19.archive, TRIGGERS.archive, EXAMPLES]


@pytest.mark.parametrize(
    ("recordings", "scenarios", "midflight"), [(GOLDEN, 73, 12), (GOLDEN_3_19, 13, 12)], ids=["golden", "golden-3.19"]
)
def test_every_file_of_a_recording_is_readable(recordings: RecordingSet, scenarios: int, midflight: int) -> None:
    assert (len(recordings.scenarios), len(recordings.midflight_names)) == (scenarios, midflight)
    for scenario in recordings.scenarios:
        assert set(recordings.hub(scenario)) == {"tables", "queues", "blobs"}
        # The recordings of idle hosts and of purged hubs have no calls, invocations or rows.
        recordings.calls(scenario)
        recordings.invocations(scenario)
        assert "not listed" in recordings.idle_requests(scenario)
        assert all(write.table for write in recordings.writes(scenario))
    for name in recordings.midflight_names:
        assert rows_of(recordings.midflight(name)["storage"], "Instances")


def test_every_file_of_a_trigger_recording_is_readable() -> None:
    assert len(TRIGGERS.scenarios) == 85
    for scenario in TRIGGERS.scenarios:
        assert TRIGGERS.steps(scenario)
        assert set(TRIGGERS.storage(scenario)) <= {"queues", "blobs", "tables"}
        assert all(change["status"] < 300 for change in TRIGGERS.changes(scenario))
        TRIGGERS.received(scenario)
    # Not every scenario has a function that runs, a webhook or a log.
    assert "Host.Functions.TCron" in TRIGGERS.log("timer_minute")
    assert len(TRIGGERS.http("eventgrid_webhook")) > 20


def test_both_versions_have_hubs_of_the_same_killed_hosts() -> None:
    assert GOLDEN.midflight_names == GOLDEN_3_19.midflight_names


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.path.name)
def test_packing_the_files_again_gives_the_same_archive(archive: Archive, tmp_path: Path) -> None:
    # The tar files are compared, not their compressed forms, which differ between versions of zlib.
    assert packed(archive.contents) == gzip.decompress(archive.path.read_bytes())
    folder = tmp_path / "files"
    for name, data in archive.contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    pack(folder, tmp_path / "again.tar.gz")
    assert Archive(tmp_path / "again.tar.gz").contents == archive.contents
