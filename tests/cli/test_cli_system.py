"""The real program against a real broker."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.eventlog.eventlog import LogSettings
from sylvite.testing.broker import BrokerProcess
from tests.cli.program import Program, read_line


@pytest.fixture
def run(sylvite_broker: BrokerProcess, tmp_path: Path) -> Program:
    return Program(sylvite_broker.socket, tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A broker whose log holds @0 to @29, for tests that only read: numbers, a failure among them each tenth."""
    folder = tmp_path_factory.mktemp("shared")
    with BrokerProcess(folder / "b") as process:
        program = Program(process.socket, folder)
        lines = "".join(
            json.dumps({"tag": f"myco/{'even' if n % 2 == 0 else 'odd'}/{n}", "data": {"n": n, "ok": n % 10 != 9}})
            + "\n"
            for n in range(30)
        )
        assert program("publish", "--lines", stdin=lines).out == "30 events\n"
        yield program


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A broker to which nothing gets."""
    folder = tmp_path_factory.mktemp("empty")
    with BrokerProcess(folder / "bus") as process:
        yield Program(process.socket, folder)


def until_subscribed(run: Program) -> None:
    """Return once a subscription of another program stands."""
    for _ in range(100):
        if json.loads(run("status", "--json").out)["subscriptions"]:
            return
    raise AssertionError("nobody has subscribed")


def offsets(lines: list[str]) -> list[int]:
    return [json.loads(line)["offset"] for line in lines]


# -- publish -----------------------------------------------------------------------------------------------------


def test_publish_prints_the_offset_and_get_shows_the_event(run: Program) -> None:
    done = run("publish", "myco/deploy/done", "version=1.4.2", "ok=True", "hosts=[web1, web2]")
    assert (done.code, done.out, done.err) == (0, "@0\n", "")
    shown = json.loads(run("get", "@0", "--json").out)
    assert shown["tag"] == "myco/deploy/done"
    assert shown["data"] == {"version": "1.4.2", "ok": True, "hosts": ["web1", "web2"]}
    assert shown["sender"] == f"uid:{os.geteuid()}"


def test_publish_takes_data_from_the_line_from_files_and_from_stdin(run: Program) -> None:
    (run.folder / "data.yaml").write_text("disk: /var\nfree: 0.04\n")
    assert run("publish", "a", '{"x": 1}', "y=2").code == 0
    assert run("publish", "a", "--file", "data.yaml", "free=0.5").code == 0
    assert run("publish", "a", "--file", "-", stdin='{"z": null}').code == 0
    assert run("publish", "a").code == 0
    found = [json.loads(line)["data"] for line in run("tail", "-o", "json").lines]
    assert found == [{"x": 1, "y": 2}, {"disk": "/var", "free": 0.5}, {"z": None}, {}]


def test_publish_says_what_was_reached(run: Program) -> None:
    for level in ("written", "synced"):
        answer = json.loads(run("publish", "a", "--ack", level, "--json").out)
        assert answer["level"] == level
    nothing = run("publish", "a", "--ack", "none")
    assert (nothing.code, nothing.out) == (0, "")
    assert json.loads(run("publish", "a", "--ack", "none", "--json").out)["offset"] is None
    assert run("publish", "a", "-q").out == ""


def test_publish_names_the_cause(run: Program) -> None:
    run("publish", "a")
    run("publish", "b", "--cause", "@0")
    shown = json.loads(run("get", "1", "--json").out)
    assert (shown["cause"], shown["hop"]) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "part"),
    [
        (["publish", "bad\ttag"], None, 2, "tag 'bad\\ttag' is not valid"),
        (["publish", ""], None, 2, "at least one character"),
        (["publish", "a", "text"], None, 2, "must be a map"),
        (["publish", "a", "--file", "-"], "[1]", 2, "must be a map"),
        (["publish", "a", "--file", "no-such-file"], None, 74, "no-such-file: No such file or directory"),
        (["publish", "a", "--file", "-"], '{"x": "' + "x" * 1_100_000 + '"}', 2, "Put large content elsewhere"),
        (["publish", "sylvite/own"], None, 77, "may not publish"),
        (["publish", "a", "n=1", "--socket", "nowhere.sock"], None, 69, "no broker at nowhere.sock"),
        (["get", "99"], None, 1, "no event at offset 99"),
        (["tail", "--where", "data.x =="], None, 2, "data.x =="),
        (["tail", "--match", "regex", "("], None, 2, "no regular expression"),
        (["cursors", "show", "nobody"], None, 1, "there is no cursor 'nobody'"),
        (["log", "status", "--dir", "."], None, 78, "there is no log in ."),
        (["broker", "--dir", "b", "--config", "none.yaml"], None, 78, "none.yaml"),
    ],
)
def test_bad_input_ends_with_its_exit_code_and_a_cure(
    empty: Program, arguments: list[str], stdin: str | None, code: int, part: str
) -> None:
    """And nothing of it gets into the log, but for the broker's word of what it has refused."""
    done = empty(*arguments, stdin=stdin)
    assert part in done.err
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("sylvite: ")
    assert "Traceback" not in done.err
    assert empty("tail", "-o", "tag", "--exclude", "sylvite/refused").out == ""


def test_errors_are_json_where_asked_for(empty: Program) -> None:
    error = json.loads(empty("get", "99", "--json").err)["error"]
    assert (error["code"], error["message"][:30]) == ("no_such_offset", "there is no event at offset 99")


def test_lines_are_published_in_order_and_counted(run: Program) -> None:
    done = run("publish", "numbers", "--lines", stdin="".join(f'{{"n": {n}}}\n' for n in range(5000)))
    assert (done.code, done.out) == (0, "5 000 events\n")
    found = [json.loads(line)["data"]["n"] for line in run("tail", "--from", "oldest", "-o", "json").lines]
    assert found == list(range(5000))


def test_a_bad_line_stops_it_with_everything_before_it_acknowledged(run: Program) -> None:
    done = run("publish", "--lines", stdin='a\t{"n": 1}\n\nb\t{"n": 2}\nnot one\nc\t{"n": 3}\n')
    assert (done.code, done.out) == (1, "2 events\n")
    assert done.err.startswith("sylvite: line 4: ")
    assert run("tail", "-o", "tag").lines == ["a", "b"]


def test_a_refused_line_ends_it_with_the_brokers_answer(run: Program) -> None:
    done = run("publish", "--lines", "--json", stdin="a\t{}\nsylvite/own\t{}\n")
    assert done.code == 77
    assert json.loads(done.out)["published"] == 0
    assert json.loads(done.err)["error"]["code"] == "not_allowed"


def test_lines_go_out_while_the_input_pauses(run: Program) -> None:
    """`tail -F log | sylvite publish t --lines` must not hold lines back until a batch is full."""
    feeding = run.start("publish", "live", "--lines", stdin=subprocess.PIPE)
    try:
        assert feeding.stdin is not None
        feeding.stdin.write(b"first\n")
        feeding.stdin.flush()
        found = run("wait", "live", "--since", "1h", "--timeout", "30s", "-o", "template={data.line}")
        assert (found.code, found.out) == (0, "first\n")
        out, _ = feeding.communicate(b"last, without an end", timeout=30)
        assert out == b"2 events\n"
    finally:
        feeding.kill()
        feeding.communicate()


# -- tail --------------------------------------------------------------------------------------------------------


def test_tail_shows_the_last_ten(shared: Program) -> None:
    done = shared("tail")
    assert (done.code, done.err) == (0, "")
    assert len(done.lines) == 10
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}  @29  myco/odd/29  n=29 ok=false", done.lines[-1])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-n", "3"], [27, 28, 29]),
        (["-n", "0"], []),
        (["-n", "3", "myco/even"], [24, 26, 28]),
        (["-n", "3", "*/1?"], [17, 18, 19]),
        (["-n", "99", "myco/odd/1"], [1, 11, 13, 15, 17, 19]),
        (["-n", "2", "--where", "data.ok == False"], [19, 29]),
        (["-n", "2", "--exclude", "myco/odd"], [26, 28]),
        (["-n", "2", "nothing"], []),
        (["--from", "@28"], [28, 29]),
        (["--from", "@3", "--until", "@5"], [3, 4, 5]),
        (["--from", "@20", "-n", "2"], [28, 29]),
        (["--from", "@28", "-n", "5"], [28, 29]),
        (["-n", "2", "--until", "@9"], [8, 9]),
        (["--from", "oldest", "--count", "2"], [0, 1]),
        (["--from", "newest"], []),
        (["--since", "1h", "--count", "3"], [0, 1, 2]),
        (["--from", "time:1h", "--count", "1"], [0]),
        (["--until", "1h"], []),
        (["--since", "1h", "-n", "1"], [29]),
        (["--count", "2"], [28, 29]),
        (["--match", "endswith", "/9", "--from", "oldest"], [9]),
        (["--match", "regex", "myco/odd/2[1-3]", "--from", "oldest"], [21, 23]),
        (["--match", "exact", "myco/odd/5", "myco/even/6", "--from", "oldest"], [5, 6]),
        (["--match", "find", "n/2", "-n", "9"], [2, 20, 22, 24, 26, 28]),
    ],
)
def test_tail_shows_what_is_asked_for(shared: Program, arguments: list[str], expected: list[int]) -> None:
    done = shared("tail", *arguments, "-o", "json")
    assert (offsets(done.lines), done.code, done.err) == (expected, 0, "")


def test_tail_in_the_formats(shared: Program) -> None:
    assert shared("tail", "-n", "2", "-o", "tag").lines == ["myco/even/28", "myco/odd/29"]
    assert shared("tail", "-n", "1", "-o", "salt").out == 'myco/odd/29\t{"n": 29, "ok": false}\n'
    assert shared("tail", "-n", "1", "-o", "template={tag} {data.n} {data.no|?}").out == "myco/odd/29 29 ?\n"
    assert json.loads(shared("tail", "-n", "1", "--json", "--fields", "tag,n").out) == {"tag": "myco/odd/29", "n": 29}
    assert shared("tail", "-n", "1", "-o", "full").lines[0] == "@29  myco/odd/29"
    assert "\033[" in shared("tail", "-n", "1", "--color", "always").out


def test_tail_follows_from_history_into_what_comes(run: Program) -> None:
    """No seam, each event at once, and Ctrl-C is its proper end."""
    run("publish", "a", "n=0")
    following = run.start("tail", "-f", "-o", "template={data.n}")
    try:
        assert read_line(following.stdout) == "0\n"
        for number in (1, 2):
            run("publish", "a", f"n={number}")
            assert read_line(following.stdout) == f"{number}\n"
        following.send_signal(signal.SIGINT)
        assert following.communicate(timeout=30) == (b"", b"")
        assert following.returncode == 0
    finally:
        following.kill()
        following.communicate()


def test_tail_survives_a_restart_of_the_broker(run: Program, sylvite_broker: BrokerProcess) -> None:
    following = run.start("tail", "-f", "-n", "1", "-o", "template={data.n}")
    try:
        run("publish", "a", "n=0")
        assert read_line(following.stdout) == "0\n"
        sylvite_broker.kill()
        sylvite_broker.start()
        run("publish", "a", "n=1")
        assert read_line(following.stdout) == "1\n"
    finally:
        following.kill()
        following.communicate()


def test_a_bounded_tail_that_is_interrupted_was_not_finished(run: Program) -> None:
    following = run.start("tail", "-f", "--count", "5", "-o", "tag")
    try:
        # `--count` counts what comes: without -n there is no history with it.
        until_subscribed(run)
        run("publish", "a")
        assert read_line(following.stdout) == "a\n"
        following.send_signal(signal.SIGINT)
        following.communicate(timeout=30)
        assert following.returncode == 130
    finally:
        following.kill()
        following.communicate()


def test_tail_ends_when_its_time_is_over(shared: Program) -> None:
    done = shared("tail", "-f", "-n", "1", "--timeout", "300ms", "-o", "tag")
    assert (done.code, done.out, done.err) == (124, "myco/odd/29\n", "")


def test_tail_ends_in_silence_when_its_reader_goes(run: Program) -> None:
    """As in `sylvite tail | head -1`."""
    run("publish", "a", "--lines", stdin="x\n" * 50_000)
    tailing = run.start("tail", "--from", "oldest", "-o", "json")
    assert tailing.stdout is not None
    assert tailing.stderr is not None
    assert tailing.stdout.readline().startswith(b'{"offset":0')
    tailing.stdout.close()
    assert tailing.wait(timeout=60) == 141
    assert tailing.stderr.read() == b""
    tailing.stderr.close()


def test_a_cursor_goes_on_where_it_stopped(run: Program) -> None:
    run("publish", "a", "--lines", stdin="".join(f'{{"n": {n}}}\n' for n in range(6)))
    arguments = ("tail", "--from", "cursor:billing", "-o", "template={data.n}")
    assert run(*arguments, "--count", "2").lines == ["0", "1"]
    assert run(*arguments, "--count", "1").lines == ["2"]
    assert run(*arguments).lines == ["3", "4", "5"]
    assert run(*arguments).lines == []


def test_gaps_are_said_as_wanted(tmp_path: Path) -> None:
    """Retention has taken what the cursor had not seen: shown, hidden, or an error."""
    settings = BrokerSettings(log=LogSettings(segment_bytes=64 * 1024, keep_free_bytes=0))
    with BrokerProcess(tmp_path / "b", settings=settings) as process:
        run = Program(process.socket, tmp_path)
        for name in ("shown", "hidden", "wrong", "tags"):
            run("publish", "a", f"name={name}")
            run("tail", "--from", f"cursor:{name}", "-q")
        lines = "".join(f'{{"n": {n}, "pad": "{"x" * 1000}"}}\n' for n in range(1000))
        assert run("publish", "b", "--lines", stdin=lines).code == 0
        assert json.loads(run("log", "prune", "--before", "@900", "-y", "--json").out)["segments"]
        shown = run("tail", "--from", "cursor:shown", "-o", "json")
        gap = json.loads(shown.lines[0])["gap"]
        assert (gap["first"], gap["reason"]) == (1, "retention")
        assert json.loads(shown.lines[1])["offset"] == gap["next"]
        hidden = run("tail", "--from", "cursor:hidden", "--gaps", "hide", "-o", "json")
        assert (hidden.err, json.loads(hidden.lines[0])["offset"]) == ("", gap["next"])
        wrong = run("tail", "--from", "cursor:wrong", "--gaps", "error")
        assert (wrong.code, wrong.out) == (1, "")
        assert "are missing, retention" in wrong.err
        tags = run("tail", "--from", "cursor:tags", "-o", "tag")
        assert (set(tags.lines), tags.code) == ({"b", "sylvite/log/pruned"}, 0)
        assert tags.err.startswith("-- gap: ")
        listed = {each["name"]: each for each in json.loads(run("cursors", "list", "--json").out)}
        assert listed["shown"]["behind"] == 0
        assert run("get", "2").code == 1
        assert "the log now starts at" in run("get", "2").err


# -- wait --------------------------------------------------------------------------------------------------------


def test_wait_gives_up_with_exit_code_124(shared: Program) -> None:
    done = shared("wait", "never", "--timeout", "200ms")
    assert (done.code, done.out) == (124, "")
    assert done.err == "sylvite: no event that matches came within 0.2 s\n"


def test_wait_counts_what_has_been_if_asked(shared: Program) -> None:
    done = shared("wait", "myco/odd", "--since", "1h", "--count", "2", "--where", "data.ok == False", "-o", "tag")
    assert (done.code, done.lines) == (0, ["myco/odd/9", "myco/odd/19"])
    assert shared("wait", "myco/odd", "--since", "1h", "-q").out == ""


def test_wait_sees_what_is_published_after_it_started(run: Program) -> None:
    waiting = run.start("wait", "go", "-o", "template={data.n}")
    try:
        until_subscribed(run)
        run("publish", "go", "n=7")
        assert waiting.communicate(timeout=30)[0] == b"7\n"
        assert waiting.returncode == 0
    finally:
        waiting.kill()
        waiting.communicate()


# -- cursors, status, doctor -------------------------------------------------------------------------------------


def test_cursors_are_listed_moved_and_deleted(run: Program) -> None:
    run("publish", "a", "--lines", stdin="x\ny\nz\n")
    run("tail", "--from", "cursor:one")
    assert "one" in run("cursors", "list").out
    assert "offset  @3" in run("cursors", "show", "one").lines
    planned = run("cursors", "seek", "one", "oldest", "--dry-run")
    assert planned.out == "one would be moved from @3 to oldest\n"
    refused = run("cursors", "seek", "one", "@1")
    assert refused.code == 2
    assert "add -y" in refused.err
    assert run("cursors", "seek", "one", "@1", "-y").out == "one is moved from @3 to @1\n"
    assert json.loads(run("cursors", "show", "one", "--json").out)["offset"] == 1
    assert run("cursors", "seek", "one", "time:1h", "-y", "--json").code == 0
    assert json.loads(run("cursors", "show", "one", "--json").out)["offset"] == 0
    assert run("cursors", "seek", "one", "@99", "-y").code == 1
    assert run("cursors", "delete", "one", "--dry-run").code == 0
    assert run("cursors", "delete", "one", "-y").code == 0
    assert run("cursors", "delete", "one", "-y").code == 1
    assert json.loads(run("cursors", "list", "--json").out) == []


def test_a_cursor_in_use_is_left_alone(run: Program) -> None:
    run("publish", "a")
    holding = run.start("tail", "-f", "--from", "cursor:held", "-o", "tag")
    try:
        assert read_line(holding.stdout) == "a\n"
        for arguments in (("cursors", "seek", "held", "@0", "-y"), ("tail", "--from", "cursor:held")):
            done = run(*arguments)
            assert done.code == 75
            assert "in use" in done.err
    finally:
        holding.kill()
        holding.communicate()


def test_status_shows_the_bus(shared: Program) -> None:
    done = shared("status")
    assert done.code == 0
    assert "@0 to @30: 30 events" in done.out
    assert json.loads(shared("status", "--json").out)["log"]["end"] == 30


def test_status_watches_until_it_is_told_to_stop(shared: Program) -> None:
    watching = shared.start("status", "--watch", "--every", "100ms", "--json")
    try:
        assert json.loads(read_line(watching.stdout))["log"]["end"] == 30
        assert json.loads(read_line(watching.stdout))["log"]["end"] == 30
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=30)
        assert watching.returncode == 0
    finally:
        watching.kill()
        watching.communicate()


def test_doctor_finds_a_healthy_node_healthy(shared: Program) -> None:
    done = shared("doctor", "--json")
    findings = json.loads(done.out)
    assert done.code == 0
    assert {finding["name"] for finding in findings} == {"program", "socket", "broker", "log", "disk", "files", "clock"}
    assert not [finding for finding in findings if finding["state"] == "FAIL"]


def test_doctor_says_what_fails_and_what_to_do(run: Program, sylvite_broker: BrokerProcess) -> None:
    (sylvite_broker.folder / "log").chmod(0o777)
    done = run("doctor")
    assert done.code == 1
    assert "FAIL  log" in done.out
    assert f"-> chmod go-w {sylvite_broker.folder / 'log'}" in done.out
    sylvite_broker.stop()
    gone = run("doctor")
    assert gone.code == 1
    assert "FAIL  socket" in gone.out
    assert "-> start a broker" in gone.out


# -- log ---------------------------------------------------------------------------------------------------------


def test_log_status_and_segments_with_and_without_a_broker(run: Program, sylvite_broker: BrokerProcess) -> None:
    run("publish", "a", "--lines", stdin="x\ny\n")
    asked = json.loads(run("log", "status", "--json").out)
    assert (asked["oldest"], asked["end"], asked["synced"]) == (0, 2, 2)
    assert "events  @0 to @2: 2" in run("log", "status").lines
    assert len(json.loads(run("log", "segments", "--json").out)) == 1
    sylvite_broker.stop()
    for place in (sylvite_broker.folder, sylvite_broker.folder / "log"):
        found = json.loads(run("log", "status", "--dir", str(place), "--json").out)
        assert (found["log_id"], found["end"]) == (asked["log_id"], 2)
    assert "seg-00000000000000000000.log  @0" in run("log", "segments", "--dir", str(sylvite_broker.folder)).out


def test_log_verify_beside_a_running_broker(run: Program) -> None:
    run("publish", "a", "--lines", stdin="x\n" * 1000)
    done = run("log", "verify")
    assert done.code == 0
    assert done.out.startswith("1 segment, 1 000 events, ")
    assert done.err == ""
    found = json.loads(run("log", "verify", "--json").out)
    assert (found["ok"], found["events"], found["faults"]) == (True, 1000, [])


def test_log_verify_finds_damage(run: Program, sylvite_broker: BrokerProcess) -> None:
    for number in range(20):
        run("publish", "a", f"n={number}", "--ack", "synced") if number in (0, 10, 19) else None
    sylvite_broker.stop()
    (segment,) = (sylvite_broker.folder / "log").glob("seg-*.log")
    content = bytearray(segment.read_bytes())
    content[content.index(b"\xa1n\x0a") + 2] ^= 1  # in the data of the second event
    segment.write_bytes(content)
    done = run("log", "verify", "--dir", str(sylvite_broker.folder))
    assert done.code == 1
    assert "@1..@1 cannot be read" in done.out


@pytest.mark.parametrize("format_", ["ndjson", "evlog"])
def test_a_log_goes_into_a_file_and_back(run: Program, sylvite_broker: BrokerProcess, format_: str) -> None:
    """Tags, data, times, senders, publishers and causes are the same afterwards, and a second import changes nothing."""
    run("publish", "a", "--lines", stdin="".join(f'{{"n": {n}}}\n' for n in range(2500)))
    run("publish", "b", "why=because", "--cause", "@7")
    exported = run("log", "export", "--format", format_, "--to", "out")
    assert (exported.code, exported.err) == (0, "2 501 events exported to out\n")
    assert run("log", "export", "--to", "out").code == 74  # Never over a file that is there.
    dry = json.loads(run("log", "import", "out", "--dir", "copy", "--dry-run", "--json").out)
    assert (dry["events"], (run.folder / "copy").exists()) == (2501, False)
    assert run("log", "import", "out", "--dir", "copy").out == "2 501 events imported\n"
    again = run("log", "import", "out", "--dir", "copy")
    assert again.out == "0 events imported, 2 501 skipped: the log has them already\n"
    assert run("log", "verify", "--dir", "copy").code == 0

    def events(folder: Path) -> list[dict[str, object]]:
        lines = run("log", "export", "--dir", str(folder)).lines
        return [{name: value for name, value in json.loads(line).items() if name != "epoch"} for line in lines]

    assert events(run.folder / "copy") == events(sylvite_broker.folder)


def test_an_import_that_was_cut_short_can_be_run_again(run: Program) -> None:
    run("publish", "a", "--lines", stdin="".join(f'{{"n": {n}}}\n' for n in range(3000)))
    whole = run("log", "export").out
    lines = whole.splitlines(keepends=True)
    cut = "".join(lines[:2000]) + lines[2000][:40]
    stopped = run("log", "import", "-", "--dir", "copy", stdin=cut)
    assert stopped.code == 1
    assert stopped.err.startswith("sylvite: line 2001: ")
    assert run("log", "import", "-", "--dir", "copy", stdin=whole).out == (
        "1 000 events imported, 2 000 skipped: the log has them already\n"
    )
    copied = [json.loads(line)["data"]["n"] for line in run("log", "export", "--dir", "copy").lines]
    assert copied == list(range(3000))


def test_a_part_of_a_log_is_exported(shared: Program) -> None:
    assert len(shared("log", "export", "--tag", "myco/even", "--since", "1h").lines) == 15
    assert shared("log", "export", "--until", "1h").out == ""
    shared("log", "export", "--tag", "myco/odd", "--format", "evlog", "--to", "part")
    shared("log", "import", "part", "--dir", "part-copy")
    found = [json.loads(line)["data"]["n"] for line in shared("log", "export", "--dir", "part-copy").lines]
    assert found == list(range(1, 30, 2))


def test_damaged_archives_are_refused_where_they_are_damaged(shared: Program) -> None:
    shared("log", "export", "--format", "evlog", "--to", "whole")
    content = bytearray((shared.folder / "whole").read_bytes())
    content[-1] ^= 1
    (shared.folder / "broken").write_bytes(content)
    (shared.folder / "short").write_bytes(content[:-5])
    for name, part in (("broken", "its checksum does not match"), ("short", "ends in the middle")):
        done = shared("log", "import", name, "--dir", f"{name}-copy", "--dry-run")
        assert done.code == 1
        assert part in done.err


def test_a_log_that_a_broker_runs_on_is_not_written_to(run: Program, sylvite_broker: BrokerProcess) -> None:
    run("publish", "a")
    folder = str(sylvite_broker.folder)
    run("log", "export", "--to", "out")
    for arguments in (("log", "import", "out", "--dir", folder), ("broker", "--dir", folder, "--socket", "other.sock")):
        done = run(*arguments)
        assert done.code == 75
        assert "in use by process" in done.err


def test_log_prune_of_a_folder(tmp_path: Path) -> None:
    settings = BrokerSettings(log=LogSettings(segment_bytes=64 * 1024, keep_free_bytes=0))
    folder = tmp_path / "b"
    with BrokerProcess(folder, settings=settings) as process:
        run = Program(process.socket, tmp_path)
        run("publish", "a", "--lines", stdin=f'{{"pad": "{"x" * 1000}"}}\n' * 500)
        assert run("log", "prune", "--dry-run").out.startswith("0 segments")
    planned = json.loads(run("log", "prune", "--dir", str(folder), "--before", "@300", "--dry-run", "--json").out)
    assert planned["segments"]
    assert planned["segments"][-1]["next"] <= 300
    assert run("log", "prune", "--dir", str(folder), "--before", "@300").code == 2
    done = run("log", "prune", "--dir", str(folder), "--before", "@300", "-y")
    assert done.code == 0
    assert f"the log starts at @{planned['segments'][-1]['next']}" in done.out
    status = json.loads(run("log", "status", "--dir", str(folder), "--json").out)
    assert (status["oldest"], status["end"]) == (planned["segments"][-1]["next"], 500)


# -- broker ------------------------------------------------------------------------------------------------------


def test_a_broker_on_tcp_is_reached_by_its_file(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "b", arguments=("--tcp", "0")) as process:
        run = Program(process.folder / "bus.tcp", tmp_path)
        assert run("publish", "a", "n=1").out == "@0\n"
        assert json.loads(run("doctor", "--json").out)[2]["text"].endswith(f"owner {shutil_owner(process.folder)}")


def shutil_owner(folder: Path) -> str:
    return folder.owner()


def test_what_the_command_line_says_wins_over_the_configuration(tmp_path: Path) -> None:
    settings = BrokerSettings(log=LogSettings(keep_bytes=10**9, keep_s=60.0))
    with BrokerProcess(tmp_path / "b", settings=settings, arguments=("--keep-size", "2GiB")) as process:
        log = json.loads(Program(process.socket, tmp_path)("log", "status", "--json").out)
        assert (log["keep_bytes"], log["keep_s"]) == (2 * 1024**3, 60.0)


def test_a_broker_without_a_folder_takes_the_users_own(tmp_path: Path) -> None:
    """Not root's: /var/lib and /var/run are not ours to write to in a test."""
    if os.geteuid() == 0:
        pytest.skip("root's broker would use the folders of the system")
    state, runtime = tmp_path / "state", tmp_path / "run"
    run = Program(runtime / "sylvite" / "bus.sock", tmp_path)
    run.environment |= {"XDG_STATE_HOME": str(state), "XDG_RUNTIME_DIR": str(runtime)}
    reading, writing = os.pipe()
    broker = subprocess.Popen(
        [shutil.which("sylvite") or "sylvite", "broker", "--ready-fd", str(writing)],
        pass_fds=[writing], env=run.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    try:
        with os.fdopen(reading) as ready:
            assert ready.readline() == "ready\n"
        assert run("publish", "a").out == "@0\n"
        assert (state / "sylvite" / "log").is_dir()
    finally:
        broker.terminate()
        broker.wait(30)
