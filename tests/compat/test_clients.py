"""`salt.client`, `salt.runner`, `salt.wheel` against a real master and minion of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from sylvite.client.sync_client import Client
from tests.compat.places import (
    GOLDEN,
    count_subscriptions,
    finish,
    run_program,
    shim_environment,
    start_program,
    wait_until,
)
from tests.daemons.nodes import WITHIN_S, Site


ACCEPT = """
import sys
from sylvite.cli.main import main
sys.exit(main(["--socket", {bus!r}, "keys", "accept", "-y", "--dir", {data!r}, "alpha"]))
"""


class Nodes(NamedTuple):
    site: Site
    environment: dict[str, str]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A master, and the minion alpha, which is let in; and how programs find them."""
    site = Site(tmp_path_factory.mktemp("nodes"))
    site.configure_minion(acceptance_wait_time="1")
    environment = {
        **shim_environment(), "SALT_MASTER_CONFIG": str(site.master_file), "SALT_MINION_CONFIG": str(site.minion_file),
    }  # fmt: skip
    with site.master(), site.minion("--trust-first-master"), Client.connect(site.bus) as bus:
        bus.wait("salt/auth", where="data.act == 'pend'", since="oldest", timeout_s=WITHIN_S)
        run_program(ACCEPT.format(data=str(site.data), bus=str(site.bus)))
        bus.wait("salt/minion/alpha/start", since="oldest", timeout_s=WITHIN_S)
        yield Nodes(site, environment)


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
    assert event.data["id"] == "alpha"


def test_a_caller_without_such_a_function(nodes: Nodes) -> None:
    source = "import salt.client\ntry:\n    salt.client.Caller().cmd('no.such')\nexcept KeyError as error:\n    print('KeyError', error)\nprint(salt.client.Caller().function('test.arg', '5', 'b=true'))\n"
    assert run_program(source, env=nodes.environment) == "KeyError 'no.such'\n{'args': (5,), 'kwargs': {'b': True}}\n"


def test_jobs(nodes: Nodes) -> None:
    source = """
import salt.client
with salt.client.LocalClient() as local:
    print(local.cmd('*', 'test.ping'))
    found = local.cmd('alpha', 'test.arg', ['a'], kwarg={'b': 1})['alpha']
    print(found['args'], found['kwargs']['b'])
    print([sorted(found) for found in local.cmd_iter('al*', 'test.ping')])
    print(local.cmd('nobody', 'test.ping'))
    print(local.cmd_async('nobody', 'test.ping'))
    jid = local.cmd_async('alpha', 'test.ping')
    print(local.get_returns(jid, ['alpha'], timeout=30))
    print(local.run_job(['alpha'], 'test.ping', tgt_type='list')['minions'])
    print(local.cmd('*', 'test.ping', full_return=True)['alpha']['ret'])
    try:
        local.cmd('(', 'test.ping', tgt_type='pcre')
    except salt.exceptions.SaltInvocationError:
        print('refused')
"""
    assert run_program(source, env=nodes.environment).splitlines() == [
        "{'alpha': True}", "['a'] 1", "[['alpha']]", "{}", "0", "{'alpha': True}", "['alpha']", "True",
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
    assert printed == "{'args': ('x',), 'kwargs': {'y': 1}}\nsalt/run/\n['alpha']\n"


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
        before = count_subscriptions(bus)
        program = start_program(listener, env=nodes.environment)
        wait_until(lambda: count_subscriptions(bus) > before or program.poll() is not None, "it listens")
    fire = "import salt.client\nprint(salt.client.LocalClient().cmd('alpha', 'event.fire', [{'data': 'message for the minion'}, 'customtag/african/unladen']))\n"
    assert run_program(fire, env=nodes.environment) == "{'alpha': True}\n"
    assert finish(program) == "message for the minion\n"
