"""Create, list and destroy machines at cloud providers, each step an event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast, get_args

from sylvite.cloud.cloud import Cloud
from sylvite.cloud.driver import Change, Offer
from sylvite.cloud.maps import read_map
from sylvite.errors import InvalidInput
from sylvite.functions import clouds
from sylvite.functions.given import __bus__, __opts__

Instances = str | Iterable[str] | None


def profile(prof: str | None = None, instances: Instances = None) -> dict[str, Any]:
    """
    Create machines from a profile; return what is known of each, by name.

    prof
        The name of the profile.
    instances
        The names of the machines, as a list or with commas.

    CLI Example:

        sylvite run cloud.profile small web1,web2
    """
    if prof is None:
        raise InvalidInput("prof must be the name of a profile")
    return _create(instances, lambda _: prof, {})


def create(provider: str, instances: Instances, **kwargs: Any) -> dict[str, Any]:
    """
    Create machines at a provider, without a profile; return what is known of each, by name.

    provider
        The name of the provider.
    instances
        The names of the machines, as a list or with commas.
    kwargs
        What stands in a profile: size, image, location, ...

    CLI Example:

        sylvite run cloud.create lab web1 size=m1.small image=debian-12
    """
    said = {name: value for name, value in kwargs.items() if not name.startswith("__pub_")}
    return _create(
        instances, lambda name: name, {name: {"provider": provider, **said} for name in clouds.names_of(instances)}
    )


def _create(instances: Instances, profile_of: Callable[[str], str], more: dict[str, Any]) -> dict[str, Any]:
    names = _named(instances)
    with clouds.opened(__opts__, __bus__, more) as cloud:
        for name in names:
            cloud.check_create(name, profile_of(name))
        return {name: cloud.create(name, profile_of(name)).facts() for name in names}


def map_run(path: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Create the machines of a map that are not there yet; return what is known of each that was created, by name.

    path
        The file: names of machines below their profiles.

    CLI Example:

        sylvite run cloud.map_run /etc/sylvite/web.map
    """
    del kwargs
    if path is None:
        raise InvalidInput("path must name the file of a map")
    machines = read_map(Path(path))
    with clouds.opened(__opts__, __bus__, mapped=machines) as cloud:
        there = cloud.there([(each.name, each.key) for each in machines])
        return {each.name: cloud.create(each.name, each.key).facts() for each in machines if each.name not in there}


def destroy(instances: Instances) -> clouds.ByProvider:
    """
    Destroy machines; return which, by provider and driver. All are looked for before the first is destroyed.

    CLI Example:

        sylvite run cloud.destroy web1,web2
    """
    names = _named(instances)
    with clouds.opened(__opts__, __bus__) as cloud:
        machines = [cloud.find(name) for name in names]
        for machine in machines:
            cloud.destroy(machine)
        return clouds.by_provider(machines, True)


def action(
    fun: str | None = None, instances: Instances = None, provider: str | None = None, instance: str | None = None
) -> clouds.ByProvider:
    """
    Start, stop or reboot machines; return which, by provider and driver.

    fun
        start, stop or reboot.
    provider
        Only at this one.

    CLI Example:

        sylvite run cloud.action stop instances=web1,web2
        sylvite run cloud.action reboot instance=web1 provider=lab
    """
    if fun not in get_args(Change):
        raise InvalidInput(f"fun must be one of {', '.join(get_args(Change))}, not {fun!r}")
    names = _named(instance if instance is not None else instances)
    with clouds.opened(__opts__, __bus__) as cloud:
        machines = [cloud.find(name, [provider] if provider is not None else []) for name in names]
        for machine in machines:
            cloud.change(cast("Change", fun), machine)
        return clouds.by_provider(machines, True)


def query(query_type: str = "list_nodes") -> clouds.ByProvider:
    """
    Return all machines at all providers, by provider and driver.

    query_type
        Whatever it is, all that is known of a machine is returned.

    CLI Example:

        sylvite run cloud.query
    """
    del query_type
    with clouds.opened(__opts__, __bus__) as cloud:
        listing = cloud.list()
    for error in listing.failed.values():
        raise error
    return clouds.by_provider(listing.machines)


def full_query(query_type: str = "list_nodes_full") -> clouds.ByProvider:
    """
    As cloud.query.

    CLI Example:

        sylvite run cloud.full_query
    """
    return query(query_type)


def list_sizes(provider: str = "all") -> clouds.ByProvider:
    """
    Return the sizes that providers offer, by provider and driver.

    CLI Example:

        sylvite run cloud.list_sizes lab
    """
    return _offers("sizes", provider)


def list_images(provider: str = "all") -> clouds.ByProvider:
    """
    Return the images that providers offer, by provider and driver.

    CLI Example:

        sylvite run cloud.list_images lab
    """
    return _offers("images", provider)


def list_locations(provider: str = "all") -> clouds.ByProvider:
    """
    Return the locations of providers, by provider and driver.

    CLI Example:

        sylvite run cloud.list_locations lab
    """
    return _offers("locations", provider)


def _offers(what: Offer, provider: str) -> clouds.ByProvider:
    with clouds.opened(__opts__, __bus__) as cloud:
        names = list(cloud.settings.providers) if provider == "all" else [provider]
        return {name: _offer(cloud, name, what) for name in names}


def _offer(cloud: Cloud, name: str, what: Offer) -> dict[str, dict[str, Any]]:
    provider = cloud.provider(name)
    return {provider.driver: cloud.driver(provider).offers(what)}


def _named(instances: Instances) -> list[str]:
    names = clouds.names_of(instances)
    if not names:
        raise InvalidInput("instances must name at least one machine")
    return list(dict.fromkeys(names))
