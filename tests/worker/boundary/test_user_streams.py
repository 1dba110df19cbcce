"""sys.stdout and sys.stderr as user code sees them."""

from __future__ import annotations

import logging
import sys

import pytest

from tests.worker.apps import Load

HEAD = """
import asyncio, codecs, io, json, subprocess, sys
import azure.functions as func
app = func.FunctionApp()
"""
TRIGGER = '\n@app.generic_trigger(arg_name="x", type="someTrigger")\n'

WAYS = {
    "bytes": "sys.stdout.buffer.write('ä line\\n'.encode())",
    "bytes in the middle of a character": """
    data = 'ä line\\n'.encode()
    sys.stdout.buffer.write(data[:1]); sys.stdout.buffer.write(memoryview(data)[1:])""",
    "writelines": "sys.stdout.writelines(['ä ', 'line', '\\n'])",
    "a wrapper": """
    wrapper = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8', write_through=True)
    print('ä line', file=wrapper); del wrapper""",
    "a writer of codecs": "codecs.getwriter('utf-8')(sys.stdout.detach()).write('ä line\\n')",
    "json.dump": "json.dump('ä line', sys.stdout, ensure_ascii=False); print()",
    "after closing": "sys.stdout.close(); sys.stdout.buffer.close(); print('ä line')",
    "after reconfiguring": "sys.stdout.reconfigure(line_buffering=True); print('ä line')",
    "a with block": "\n    with sys.stdout as out: out.write('ä line\\n')",
}


@pytest.mark.parametrize("code", WAYS.values(), ids=list(WAYS))
async def test_output_belongs_to_the_invocation(load: Load, code: str) -> None:
    app = await load(HEAD + TRIGGER + f"def f(x):\n    {code.strip()}\n    print('end')")
    await app.call("f", x=None)
    assert [line.strip('"') for line in app.lines] == ["ä line", "end"]


async def test_stream_has_the_attributes_of_a_text_file(load: Load) -> None:
    app = await load(
        HEAD
        + TRIGGER
        + """
def f(x):
    out = sys.stdout
    assert isinstance(out, io.TextIOBase) and isinstance(out.buffer, io.BufferedIOBase)
    assert codecs.lookup(out.encoding) and codecs.lookup_error(out.errors)
    assert out.writable() and not out.readable() and not out.seekable() and not out.closed
    assert isinstance(out.isatty(), bool) and isinstance(out.line_buffering, bool)
    assert out.name and out.mode and out.newlines is None
    for wrong, stream in ((1, out), (b"x", out), ("x", out.buffer)):
        try:
            stream.write(wrong)
        except TypeError:
            print("refused", type(wrong).__name__)
"""
    )
    await app.call("f", x=None)
    assert app.lines == ["refused int", "refused bytes", "refused str"]


async def test_stream_without_file_has_them_too(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    below = io.StringIO()
    monkeypatch.setattr(sys, "stdout", below)
    app = await load(
        HEAD
        + "print('importing'); sys.stdout.buffer.write('bytes\\n'.encode()); sys.stdout.reconfigure(encoding='ascii')\n"
        + TRIGGER
        + "def f(x): return [sys.stdout.encoding, sys.stdout.errors, sys.stdout.name, sys.stdout.mode]"
    )
    returned = await app.call("f", x=None)
    assert returned.value is not None
    assert returned.value.value == '["utf-8", "strict", "<stdout>", "w"]'
    assert below.getvalue() == "importing\nbytes\n"


async def test_child_process_writes_to_the_file_below(load: Load, capfd: pytest.CaptureFixture[str]) -> None:
    with capfd.disabled():
        pass  # From here on sys.stdout has a file descriptor.
    app = await load(
        HEAD
        + TRIGGER
        + "def f(x): subprocess.run([sys.executable, '-c', 'print(6 * 7)'], stdout=sys.stdout, check=True)"
    )
    await app.call("f", x=None)
    assert capfd.readouterr().out == "42\n"


async def test_records_of_the_workers_own_loggers_are_marked(load: Load) -> None:
    code = "\n".join(
        f"    logging.getLogger('{name}').error('x')"
        for name in ("azure.functions.inner", "azure_functions_worker", "azure.storage", "root.azure.functions")
    )
    app = await load(HEAD + "import logging\n" + TRIGGER + f"def f(x):\n{code}")
    await app.call("f", x=None)
    assert [record.is_system for record in app.logs] == [True, True, False, False]
    assert {record.level for record in app.logs} == {logging.ERROR}
