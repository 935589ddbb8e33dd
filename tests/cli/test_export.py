"""`export` and `import` as commands: what they print, where files appear, and what they refuse."""

from __future__ import annotations

import gzip
import json
import os
import pty
import signal
import stat
import subprocess
import time

import pytest

from llm_cache import LLMCache
from tests.cli.conftest import COMMAND, answer, call


def listed(run):
    return json.loads(run("list", "--json").out)


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_export_and_import_as_the_readme_shows_them(run, filled, tmp_path):
    before = listed(run)
    dump, array, only = (tmp_path / name for name in ("cache_dump.jsonl", "cache_dump.json", "openai_entries.jsonl"))
    ran = run("export", str(dump))
    assert (ran.out, ran.err) == ("", f"3 entries exported to {dump}.\n")
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600
    run("export", str(array), "--format", "json")
    assert json.loads(array.read_text("utf-8")) == lines(dump)
    run("export", str(only), "--provider", "openai")
    assert {record["provider"] for record in lines(only)} == {"openai"}
    assert [record["key"] for record in lines(dump)] == [entry["key"] for entry in before]

    run("purge", "--all", "--yes")
    assert run("import", str(dump)).out == "3 entries imported.\n"
    assert listed(run) == before
    assert run("import", str(array)).out == "0 entries imported, 3 already there.\n"
    assert json.loads(run("import", "--json", str(only)).out)["already_there"] == 2


def test_standard_output_and_input(run, filled, tmp_path):
    exported = run("export", "-")
    assert exported.err == ""
    assert len(exported.out.splitlines()) == 3
    assert json.loads(run("export", "-", "--format", "json").out)
    run("purge", "--all", "--yes")
    assert run("import", "-", stdin=exported.out).out == "3 entries imported.\n"
    assert run("export", "-").out == exported.out


@pytest.mark.parametrize(
    ("name", "array"), [("a.json", True), ("a.json.gz", True), ("a.jsonl.gz", False), ("a", False)]
)
def test_the_format_goes_by_the_suffix(run, filled, tmp_path, name, array):
    path = tmp_path / name
    run("export", str(path))
    data = path.read_bytes()
    data = gzip.decompress(data) if name.endswith(".gz") else data
    assert data.startswith(b"[") == array


def test_nothing_to_export_is_an_empty_file(run, tmp_path, file):
    path = tmp_path / "dump.jsonl"
    run("export", str(path))
    assert path.read_bytes() == b""
    assert run("export", "-", "--format", "json").out == "[]\n"
    assert not file.exists()
    assert run("import", str(path)).out == "0 entries imported.\n"


def test_a_file_appears_whole_or_not_at_all(run, filled, tmp_path):
    path = tmp_path / "nowhere" / "dump.jsonl"
    assert run("export", str(path), status=1).err == f"llm-cache: {path}: No such file or directory\n"
    target = tmp_path / "dump.jsonl"
    target.write_text("what was there before")
    # A limit on the size of files is as good as a full disk.
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 1; trap '' XFSZ; exec {COMMAND} export {target}"],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert target.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [target]


def test_export_into_a_pipe_that_closes(filled):
    done = subprocess.run(
        ["bash", "-c", f"{COMMAND} export - | head -c 10"], capture_output=True, text=True, env=os.environ
    )
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [["export"], ["import"], ["export", "x", "--format", "xml"], ["import", "-x"]])
def test_wrong_usage(run, arguments):
    run(*arguments, status=2)


def test_import_of_what_is_not_there(run, tmp_path, file):
    missing = tmp_path / "missing.jsonl"
    assert run("import", str(missing), status=1).err == f"llm-cache: {missing}: No such file or directory\n"


def test_import_of_what_is_damaged_changes_nothing(run, filled, tmp_path):
    path = tmp_path / "dump.jsonl"
    run("export", str(path))
    run("purge", "--all", "--yes")
    path.write_text(path.read_text("utf-8") + '{"key": 1}\n', "utf-8")
    err = run("import", str(path), status=1).err
    assert err.startswith(f"llm-cache: {path}, line 4: ")
    assert err.count("\n") == 1
    assert listed(run) == []
    # Standard input can be read but once: what came before the damage is there, and is said to be.
    assert "the 3 entries before it are imported" in run("import", "-", stdin=path.read_text(), status=1).err
    assert len(listed(run)) == 3


def test_a_damaged_entry_is_left_out_and_said_so(run, filled, tmp_path):
    with LLMCache() as cache:
        row = next(cache.engine.store.scan())
        cache.engine.store.put(row._replace(value=row.value[:-3]))
    ran = run("export", str(tmp_path / "dump"))
    assert "2 entries exported" in ran.err
    assert "1 could not be read" in ran.err


def test_a_dry_run(run, filled, tmp_path):
    path = tmp_path / "dump.jsonl"
    run("export", str(path))
    run("purge", "--all", "--yes")
    assert run("import", str(path), "--dry-run").out == "3 entries would be imported.\n"
    assert listed(run) == []


def test_redacted(run, filled, tmp_path):
    with LLMCache() as cache:
        call(cache, "four", prompt="the secret of the house")
    out = run("export", "-", "--redact").out
    assert "secret of the house" not in out
    assert "hello" not in out
    assert "--redact" in run("import", "-", stdin=out, status=1).err


def test_progress_is_for_terminals_only(filled, tmp_path):
    def errors_of(*arguments, terminal):
        primary, secondary = pty.openpty() if terminal else os.pipe()
        done = subprocess.Popen(
            [COMMAND, *arguments], stdout=subprocess.PIPE, stderr=secondary, env={**os.environ, "TERM": "xterm"}
        )
        os.close(secondary)
        out, _ = done.communicate(timeout=30)
        err = b""
        try:
            while chunk := os.read(primary, 10_000):
                err += chunk
        except OSError:
            pass
        os.close(primary)
        return out, err

    assert errors_of("export", "-", terminal=False)[1] == b""
    out, err = errors_of("export", str(tmp_path / "dump"), terminal=True)
    assert out == b""
    assert b"Exporting" in err


def until(holds, what):
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_an_import_that_is_stopped_keeps_what_it_has_and_goes_on_where_it_was(run, filled, tmp_path):
    with LLMCache() as cache:
        for number in range(600):
            call(cache, f"many {number}")
    dump = tmp_path / "dump.jsonl"
    run("export", str(dump))
    text = dump.read_bytes()
    where = {"LLMCACHE_DATABASE_URL": str(tmp_path / "other.db")}
    with subprocess.Popen(
        [COMMAND, "import", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **where}
    ) as process:
        half = text.splitlines(keepends=True)[:400]
        process.stdin.write(b"".join(half))
        process.stdin.flush()
        with LLMCache(database_url=where["LLMCACHE_DATABASE_URL"]) as other:
            until(lambda: other.stats().entries, "some are written while others are still to come")
            process.send_signal(signal.SIGINT)
            said = process.stderr.read().decode()
            assert process.wait(30) == 1
            assert said.strip() == "llm-cache: stopped."
            assert 200 < other.stats().entries <= 400
    ran = run("import", str(dump), **where)
    assert "already there" in ran.out
    assert run("export", "-", **where).out.encode() == text


def test_an_export_that_is_stopped_leaves_what_was_there(run, filled, tmp_path):
    with LLMCache() as cache:
        for number in range(150):
            call(cache, f"many {number}", reply=answer(os.urandom(150_000).hex()))
    folder = tmp_path / "out"
    folder.mkdir()
    dump = folder / "dump.jsonl"
    dump.write_text("what was there")
    with subprocess.Popen([COMMAND, "export", str(dump)], stderr=subprocess.PIPE) as process:
        until(lambda: any(each != dump and each.stat().st_size for each in folder.iterdir()), "it has begun")
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
        assert process.wait(30) == 1
        assert said.strip() == "llm-cache: stopped."
    assert [each.name for each in folder.iterdir()] == ["dump.jsonl"]
    assert dump.read_text() == "what was there"
