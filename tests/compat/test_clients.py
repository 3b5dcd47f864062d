"""`salt.client`, `salt.runner`, `salt.wheel` against a real master and minion of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sylvite.client.sync_client import Client
from tests.compat.nodes import Nodes
from tests.compat.places import (
    GOLDEN,
    SHIM,
    finish,
    run_program,
    shim_environment,
    start_program,
    subscriptions,
    wait_until,
)
from tests.compat.real_salt import RELEASES
from tests.daemons.nodes import WITHIN_S


def test_the_recording_of_a_caller(nodes: Nodes) -> None:
    """As documented: from a program of one's own, to the master."""
    _, _, rest = (GOLDEN / "py_caller_cmd_event_send.txt").read_text().partition("\n")
    source, _, printed = rest.partition("\n=== output\n")
    with Client.connect(nodes.site.bus) as bus, bus.subscribe("myco/event/") as events:
        assert run_program(source.replace("@CONF@", "/etc/salt"), env=nodes.environment) == printed.partition("---")[0]
        event = events.next(WITHIN_S)
    assert event is not None
    assert event.tag == "myco/event/success"
    assert event.data["data"] == {"success": True, "message": "It works!"}
    assert event.data["id"] == "minion-0042"


def test_a_caller_without_such_a_function(nodes: Nodes) -> None:
    source = "import salt.client\ntry:\n    salt.client.Caller().cmd('no.such')\nexcept KeyError as error:\n    print('KeyError', error)\nprint(salt.client.Caller().function('test.arg', '5', 'b=true'))\n"
    assert run_program(source, env=nodes.environment) == "KeyError 'no.such'\n{'args': (5,), 'kwargs': {'b': True}}\n"


def test_jobs(nodes: Nodes) -> None:
    source = """
import salt.client
with salt.client.LocalClient() as local:
    print(local.cmd('*', 'test.ping'))
    found = local.cmd('minion-0042', 'test.arg', ['a'], kwarg={'b': 1})['minion-0042']
    print(found['args'], found['kwargs']['b'])
    print([sorted(found) for found in local.cmd_iter('minion*', 'test.ping')])
    print(local.cmd('nobody', 'test.ping'))
    print(local.cmd_async('nobody', 'test.ping'))
    jid = local.cmd_async('minion-0042', 'test.ping')
    print(local.get_returns(jid, ['minion-0042'], timeout=30))
    print(local.run_job(['minion-0042'], 'test.ping', tgt_type='list')['minions'])
    print(local.cmd('*', 'test.ping', full_return=True)['minion-0042']['ret'])
    try:
        local.cmd('(', 'test.ping', tgt_type='pcre')
    except salt.exceptions.SaltInvocationError:
        print('refused')
"""
    assert run_program(source, env=nodes.environment).splitlines() == [
        "{'minion-0042': True}", "['a'] 1", "[['minion-0042']]", "{}", "0", "{'minion-0042': True}", "['minion-0042']", "True",
        "refused",
    ]  # fmt: skip


def test_jobs_without_a_master(tmp_path: Path) -> None:
    (tmp_path / "master").write_text(f"root_dir: {tmp_path}\nsock_dir: {tmp_path}\n")
    (tmp_path / "var" / "lib" / "sylvite" / "master").mkdir(parents=True)
    source = "import salt.client\ntry:\n    salt.client.LocalClient().cmd('*', 'test.ping')\nexcept salt.exceptions.SaltClientError as error:\n    print(error)\n"
    said = run_program(source, env={**shim_environment(), "SALT_MASTER_CONFIG": str(tmp_path / "master")})
    assert "is the master running?" in said


def test_runners_and_wheel(nodes: Nodes) -> None:
    source = """
import salt.config, salt.runner, salt.wheel
opts = salt.config.master_config('/etc/salt/master')
runner = salt.runner.RunnerClient(opts)
print(runner.cmd('test.arg', ['x'], kwarg={'y': 1}))
print(runner.cmd_async({'fun': 'test.arg'})['tag'][:9])
print(salt.wheel.WheelClient(opts).cmd('key.list_all')['minions'])
"""
    printed = run_program(source, env=nodes.environment)
    assert printed == "{'args': ('x',), 'kwargs': {'y': 1}}\nsalt/run/\n['minion-0042']\n"


def test_the_master_fires_to_a_listener_on_the_minion(nodes: Nodes) -> None:
    """The last lines of the page: a program listens on the minion, and the master fires an event to it."""
    listener = """
import salt.utils.event

opts = salt.config.minion_config('/etc/salt/minion')
event = salt.utils.event.MinionEvent(opts)
for evdata in event.iter_events(match_type = 'regex', tag = 'custom.*'):
    print(evdata['data'])
    break
"""
    with Client.connect(nodes.site.minion_bus) as bus:
        before = subscriptions(bus)
        program = start_program(listener, env=nodes.environment)
        wait_until(lambda: bool(subscriptions(bus) - before) or program.poll() is not None, "it listens")
    fire = "import salt.client\nprint(salt.client.LocalClient().cmd('minion-0042', 'event.fire', [{'data': 'message for the minion'}, 'customtag/african/unladen']))\n"
    assert run_program(fire, env=nodes.environment) == "{'minion-0042': True}\n"
    assert finish(program) == "message for the minion\n"


def test_keys_and_who_is_here(nodes: Nodes) -> None:
    """`salt.key` and `salt.utils.minions`: what programs beside a master ask them for."""
    source = """
import salt.config, salt.key, salt.utils.minions
opts = salt.config.master_config('/etc/salt/master')
with salt.key.get_key(opts) as key:
    print(key.list_keys())
    print(key.list_status('acc'), key.list_status('pre'), sorted(key.list_status('all')) == sorted(key.all_keys()))
    print(list(key.finger('minion*')['minions']), list(key.key_str('*')['minions']), key.accept('nobody'))
minions = salt.utils.minions.CkMinions(opts)
print(minions.connected_ids(), minions.connected_ids(subset=['other']))
print(minions.check_minions('minion*'))
print(minions.check_minions('minion-0042,nobody', 'list'))
print(minions.check_minions('(', 'pcre'))
"""
    assert run_program(source, env=nodes.environment).splitlines() == [
        "{'minions_pre': [], 'minions_rejected': [], 'minions': ['minion-0042'], 'minions_denied': []}",
        "{'minions': ['minion-0042']} {'minions_pre': []} True",
        "['minion-0042'] ['minion-0042'] {}",
        "{'minion-0042'} set()",
        "{'minions': ['minion-0042'], 'missing': [], 'ssh_minions': False}",
        "{'minions': ['minion-0042'], 'missing': ['nobody'], 'ssh_minions': False}",
        "{'minions': [], 'missing': []}",
    ]


@pytest.mark.parametrize(
    "made",
    [
        "MasterEvent('{folder}/')",
        "SaltEvent('master', '{folder}')",
        "get_event('master', '{folder}', 'zeromq', listen=True)",
        "get_event('master', '{folder}', opts['transport'], opts)",
        "get_event('master', '{folder}', opts['transport'], opts=opts, listen=True)",
        "get_event('master', opts=opts, raise_errors=True)",
        "get_master_event(opts, opts['sock_dir'])",
    ],
)
def test_how_programs_write_it(nodes: Nodes, made: str) -> None:
    """Forms of the last ten years, from programs that are around."""
    source = f"""
import salt.config, salt.utils.event
opts = salt.config.client_config('/etc/salt/master')
with salt.utils.event.{made.format(folder=nodes.site.bus.parent)} as event:
    print(event.fire_event({{'n': 1}}, 'a/b'), event.get_event(tag='a/b', full=True)['tag'])
"""
    assert run_program(source, env=nodes.environment) == "True a/b\n"


def names_of_ours() -> dict[str, list[str]]:
    """Return what our package `salt` has, by module."""
    files = [file for file in (SHIM / "salt").rglob("*.py") if file.stem not in ("scripts", "version", "__init__")]
    parts = [".".join(file.relative_to(SHIM).with_suffix("").parts) for file in files]
    source = f"import importlib, json\nprint(json.dumps({{name: [each for each in dir(importlib.import_module(name)) if each[:1].isupper() or each in getattr(importlib.import_module(name), '__all__', ())] for name in {sorted(parts)!r}}}))\n"
    found: dict[str, list[str]] = json.loads(run_program(source))
    return found


def test_no_name_is_made_up() -> None:
    """Salt itself has each of them."""
    newest = RELEASES[0]
    newest.ensure()
    names = names_of_ours()
    assert {"salt.config", "salt.utils.event", "salt.utils.minions", "salt.syspaths", "salt.defaults.exitcodes"} <= set(
        names
    )
    source = f"import importlib, json\nprint(json.dumps([f'{{module}}.{{name}}' for module, names in {names!r}.items() for name in names if not hasattr(importlib.import_module(module), name)]))\n"
    assert json.loads(run_program(source, python=newest.python, env=newest.environment())) == []


def test_paths_and_exit_codes_are_salt_s() -> None:
    newest = RELEASES[0]
    newest.ensure()
    source = """
import json, salt.defaults, salt.defaults.exitcodes as codes, salt.syspaths as paths
of = lambda module, names: {name: getattr(module, name) for name in names}
print(json.dumps([of(codes, %r), of(paths, %r), salt.defaults.DEFAULT_TARGET_DELIM], sort_keys=True))
""" % (  # noqa: UP031 - braces are the program's
        names_of_ours()["salt.defaults.exitcodes"], names_of_ours()["salt.syspaths"],
    )  # fmt: skip
    assert run_program(source) == run_program(source, python=newest.python, env=newest.environment())
